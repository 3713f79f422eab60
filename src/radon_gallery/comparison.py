"""Tables that put fits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from radon_gallery._checks import listed

__all__ = ["compare_fits", "posterior_dataset"]


def posterior_dataset(fit: Any) -> xr.Dataset:
    """Return the posterior draws of a fit as a Dataset with the dimensions chain and draw.

    Parameters
    ----------
    fit : arviz.InferenceData or xarray.Dataset
        A fit, or its draws.

    Returns
    -------
    xarray.Dataset
        The draws.

    Raises
    ------
    TypeError
        If there are no posterior draws in `fit`.
    """
    dataset = getattr(fit, "posterior", fit)
    if hasattr(dataset, "to_dataset") and not isinstance(dataset, xr.Dataset):
        dataset = dataset.to_dataset()
    if not isinstance(dataset, xr.Dataset) or not {"chain", "draw"} <= set(dataset.dims):
        raise TypeError(
            "expected a fit with posterior draws, InferenceData or a Dataset with the dimensions "
            f"chain and draw; got {type(fit).__name__}."
        )
    return dataset


def compare_fits(
    fits: Mapping[str, Any], var_names: Sequence[str] | None = None, *, prob: float = 0.9
) -> pd.DataFrame:
    """Put two or more fits side by side, parameter by parameter.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name.
    var_names : sequence of str, optional
        Parameters to compare; by default all scalar ones that every fit has.
    prob : float
        Probability that the interval holds, equal tails.

    Returns
    -------
    pandas.DataFrame
        One row a parameter and fit: `mean`, `sd`, `lower`, `upper`, `r_hat`, `ess_bulk`,
        `divergences`. The last three are missing where they mean nothing: for draws that no Markov
        chain made, and R-hat for a single chain.

    Raises
    ------
    TypeError
        If a fit has no posterior draws.
    ValueError
        If there are no fits, `prob` is not between 0 and 1, or a fit lacks a parameter.

    References
    ----------
    Vehtari et al. (2021) [vehtari2021rank].
    """
    if not fits:
        raise ValueError("expected at least one fit by name, got none.")
    if not 0 < prob < 1:
        raise ValueError(f"prob must lie between 0 and 1, got {prob!r}.")
    posteriors = {name: posterior_dataset(fit) for name, fit in fits.items()}
    names = _shared_scalars(posteriors) if var_names is None else list(var_names)
    for fit_name, posterior in posteriors.items():
        lacking = [name for name in names if name not in posterior]
        if lacking:
            raise ValueError(
                f"fit {fit_name!r} has no parameter {listed(lacking)}; it has {listed(posterior)}."
            )
    tables = {
        fit_name: _summarise(posterior[names], _divergences(fits[fit_name]), prob)
        for fit_name, posterior in posteriors.items()
    }
    table = pd.concat(tables, names=["fit", "parameter"]).swaplevel()
    order = next(iter(tables.values())).index
    return table.reindex(pd.MultiIndex.from_product([order, tables], names=["parameter", "fit"]))


def _shared_scalars(posteriors: Mapping[str, xr.Dataset]) -> list[str]:
    first, *others = posteriors.values()
    return [
        str(name)
        for name, draws in first.items()
        if draws.ndim == 2 and all(name in other for other in others)
    ]


def _divergences(fit: Any) -> int | None:
    """Return the number of divergences, or None for draws that no Markov chain made."""
    stats = getattr(fit, "sample_stats", None)
    return None if stats is None else int(stats["diverging"].sum())


def _summarise(posterior: xr.Dataset, divergences: int | None, prob: float) -> pd.DataFrame:
    tails = [(1 - prob) / 2, (1 + prob) / 2]
    dims = ["chain", "draw"]
    interval = posterior.quantile(tails, dim=dims)
    columns = {
        "mean": posterior.mean(dims),
        "sd": posterior.std(dims, ddof=1),
        "lower": interval.isel(quantile=0, drop=True),
        "upper": interval.isel(quantile=1, drop=True),
    }
    if divergences is not None:
        columns["ess_bulk"] = az.ess(posterior, method="bulk")
        if posterior.sizes["chain"] > 1:
            columns["r_hat"] = az.rhat(posterior)
    table = pd.DataFrame({name: _flatten(values) for name, values in columns.items()})
    table["divergences"] = pd.array([divergences] * len(table), dtype="Int64")
    wanted = ["mean", "sd", "lower", "upper", "r_hat", "ess_bulk", "divergences"]
    return table.reindex(columns=wanted)


def _flatten(values: xr.Dataset) -> pd.Series:
    """Return one entry a parameter, vectors spread out as ``alpha[Aitkin]``."""
    entries: dict[str, float] = {}
    for name, array in values.items():
        if array.ndim == 0:
            entries[str(name)] = float(array)
            continue
        stacked = array.stack(entry=array.dims)
        for labels, value in zip(stacked["entry"].values, stacked.values, strict=True):
            told = ", ".join(
                str(label) for label in np.atleast_1d(np.asarray(labels, dtype=object))
            )
            entries[f"{name}[{told}]"] = float(value)
    return pd.Series(entries, dtype=float)
