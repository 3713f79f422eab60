"""Tables that put fits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import arviz as az
import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.integrate import cumulative_trapezoid

from radon_gallery._checks import (
    FloatArray,
    finite_numbers,
    listed,
    require_count,
    require_type,
)
from radon_gallery.exact import ExactPosterior

__all__ = [
    "ElboGap",
    "compare_fits",
    "compare_with_exact",
    "posterior_dataset",
    "split_elbo_gap",
    "summarise_error",
]

# Standard errors that a bias must exceed to count: of 175 parameters, one in a hundred tables has
# one beyond four by chance.
_BEYOND_CHANCE = 4

_FEWEST_DRAWS = 4  # of a chain, for which ArviZ estimates an effective sample size


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
    fits: Mapping[str, Any], var_names: str | Sequence[str] | None = None, *, prob: float = 0.9
) -> pd.DataFrame:
    """Put two or more fits side by side, parameter by parameter.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name.
    var_names : str or sequence of str, optional
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
        If `fits` are not given by name, or a fit has no posterior draws.
    ValueError
        If there are no fits, `prob` is not between 0 and 1, a fit lacks a parameter, or there is
        none to compare.

    References
    ----------
    Vehtari et al. (2021) [vehtari2021rank].
    """
    _require_fits(fits)
    if not 0 < prob < 1:
        raise ValueError(f"prob must lie between 0 and 1, got {prob!r}.")
    posteriors = {name: posterior_dataset(fit) for name, fit in fits.items()}
    names = _shared_scalars(posteriors) if var_names is None else _as_list(var_names)
    if not names:
        raise ValueError(
            "the fits have no scalar parameter in common; name some in var_names, at least one."
        )
    for fit_name, posterior in posteriors.items():
        lacking = [name for name in names if name not in posterior]
        if lacking:
            raise ValueError(
                f"fit {fit_name!r} has no parameter {listed(lacking)}; it has {listed(posterior)}."
            )
    tables = {
        fit_name: _summarise(posterior[names], _sampler_stats(fits[fit_name]), prob)
        for fit_name, posterior in posteriors.items()
    }
    return _interleave(tables)


def compare_with_exact(
    fits: Mapping[str, Any], exact: ExactPosterior, var_names: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Measure the error of fits against the exact answer, for each parameter and county.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name.
    exact : ExactPosterior
        The exact answer of the same model.
    var_names : str or sequence of str, optional
        Parameters to compare; by default all that the exact answer has. A vector gives one row a
        county, as ``alpha[Aitkin]``.

    Returns
    -------
    pandas.DataFrame
        One row a parameter and fit: `exact_mean`, `exact_sd`; `bias`, the fit's mean less the exact
        one in exact sds, and `bias_error`, its Monte Carlo standard error; `sd_ratio`, the fit's sd
        over the exact one; `wasserstein`, the 1-Wasserstein distance in exact sds.

    Raises
    ------
    TypeError
        If `fits` are not given by name, a fit has no posterior draws, or `exact` is of another
        type.
    ValueError
        If there are no fits or no parameters, a fit or the exact answer lacks one, their counties
        differ, a draw is not finite, or a chain is too short for a Monte Carlo error.

    References
    ----------
    Vehtari et al. (2021), section 4, on the Monte Carlo error [vehtari2021rank].
    """
    _require_fits(fits)
    require_type("exact", exact, ExactPosterior)
    names = [str(name) for name in exact.summary] if var_names is None else _as_list(var_names)
    if not names:
        raise ValueError("expected at least one parameter in var_names, got none.")
    posteriors = {name: posterior_dataset(fit) for name, fit in fits.items()}
    for whose, dataset in {"the exact answer": exact.summary, **posteriors}.items():
        lacking = [name for name in names if name not in dataset]
        if lacking:
            raise ValueError(
                f"{whose} has no parameter {listed(lacking)}; it has {listed(dataset)}."
            )
    mean = _flatten(exact.summary[names].sel(statistic="mean", drop=True))
    sd = _flatten(exact.summary[names].sel(statistic="sd", drop=True))
    tables = {}
    for fit_name, posterior in posteriors.items():
        draws, dims = _matched(posterior[names], exact.summary, fit_name), ["chain", "draw"]
        distance = {name: _wasserstein(draws[name], exact.densities[name]) for name in names}
        tables[fit_name] = pd.DataFrame(
            {
                "exact_mean": mean,
                "exact_sd": sd,
                "bias": (_flatten(draws.mean(dims)) - mean) / sd,
                "bias_error": _flatten(_mean_error(draws)) / sd,
                "sd_ratio": _flatten(draws.std(dims, ddof=1)) / sd,
                "wasserstein": _flatten(xr.Dataset(distance)) / sd,
            }
        )
    return _interleave(tables)


def summarise_error(errors: pd.DataFrame) -> pd.Series:
    """Say in one line for each fit how wrong it is.

    Parameters
    ----------
    errors : pandas.DataFrame
        A table from `compare_with_exact`.

    Returns
    -------
    pandas.Series of str
        One line a fit: the largest bias beyond Monte Carlo error, the range of the spreads, and
        the parameter that is farthest off.

    Raises
    ------
    TypeError
        If `errors` is no table.
    ValueError
        If it is another table.
    """
    require_type("errors", errors, pd.DataFrame)
    lacking = {"bias", "bias_error", "sd_ratio", "wasserstein"} - set(errors)
    if lacking:
        raise ValueError(
            f"expected a table from compare_with_exact; this one lacks {listed(sorted(lacking))}."
        )
    lines = {}
    for fit, table in errors.groupby(level="fit", sort=False):
        rows = table.droplevel("fit")
        bias, worst = rows["bias"].abs(), rows["wasserstein"].idxmax()
        beyond = bias[bias > _BEYOND_CHANCE * rows["bias_error"]]
        centre = (
            f"means up to {beyond.max():.2f} exact sd off ({beyond.idxmax()})"
            if len(beyond)
            else "means right within Monte Carlo error"
        )
        spread = rows["sd_ratio"]
        lines[fit] = (
            f"{centre}; spreads {spread.min():.2f} to {spread.max():.2f} of the exact ones; "
            f"farthest off: {worst}, by {rows['wasserstein'].max():.2f} exact sd"
        )
    return pd.Series(lines, name="verdict")


@dataclass(frozen=True)
class ElboGap:
    """How far an ELBO falls short of the log evidence, and why. All in nats.

    Parameters
    ----------
    total : float
        ELBO less log evidence. Never positive, but for Monte Carlo error: it is minus the
        Kullback-Leibler divergence of the approximation from the posterior, KL(q || p).
    optimiser : float
        The part that a better optimiser would save: this fit's ELBO less that of the best member
        of its family.
    family : float
        The part that the family cannot save: the best member's ELBO less the log evidence.
    error : float
        Monte Carlo standard error of `total` and of `optimiser`.
    """

    total: float
    optimiser: float
    family: float
    error: float


def split_elbo_gap(log_weights: npt.ArrayLike, optimum: float, log_evidence: float) -> ElboGap:
    """Split the gap between a fit's ELBO and the log evidence into its two causes.

    Parameters
    ----------
    log_weights : array_like, shape (n_draws,), nats
        ``estimate_elbo(fit, …).log_weights``.
    optimum : float
        ELBO of the best member of the fit's family, nats, as from
        `radon_gallery.optimum.family_optimum`.
    log_evidence : float
        The exact log evidence, nats.

    Returns
    -------
    ElboGap
        The gap and its parts, with their Monte Carlo standard error.

    Raises
    ------
    ValueError
        If a number is not finite, there are fewer than two weights, or the optimum is above the
        evidence.

    References
    ----------
    Blei et al. (2017), eq. (14) [blei2017variational].
    """
    weights = finite_numbers("log_weights", log_weights)
    require_count("the number of log_weights", len(weights), at_least=2)
    best, evidence = finite_numbers("optimum and log_evidence", [optimum, log_evidence])
    if best > evidence:
        raise ValueError(
            f"no ELBO can exceed the log evidence, but the optimum given is {best:.3f} and the log "
            f"evidence {evidence:.3f}; give those of the same data and priors."
        )
    elbo = float(weights.mean())
    error = float(weights.std(ddof=1) / np.sqrt(len(weights)))
    return ElboGap(elbo - evidence, elbo - best, best - evidence, error)


def _require_fits(fits: object) -> None:
    if not isinstance(fits, Mapping) or isinstance(fits, xr.Dataset):
        raise TypeError(
            f"expected fits by name, such as {{'ADVI': fit}}, got {type(fits).__name__}."
        )
    if not fits:
        raise ValueError("expected at least one fit by name, got none.")


def _as_list(var_names: str | Sequence[str]) -> list[str]:
    return [var_names] if isinstance(var_names, str) else list(var_names)


def _matched(draws: xr.Dataset, exact: xr.Dataset, fit_name: str) -> xr.Dataset:
    """Return the draws with their labels in the exact answer's order, after checking them."""
    labels = {dim: exact[dim] for dim in draws.dims if dim in exact.indexes}
    for dim, wanted in labels.items():
        if set(draws[dim].values.tolist()) != set(wanted.values.tolist()):
            raise ValueError(
                f"fit {fit_name!r} and the exact answer differ in the labels of {dim!r}; compare "
                "fits of the survey that was integrated."
            )
    if not all(bool(np.isfinite(values).all()) for values in draws.values()):
        raise ValueError(f"fit {fit_name!r} has draws that are not finite; mend the fit first.")
    if draws.sizes["draw"] < _FEWEST_DRAWS:
        raise ValueError(
            f"fit {fit_name!r} has {draws.sizes['draw']} draws a chain; a Monte Carlo error needs "
            f"at least {_FEWEST_DRAWS}. Draw more."
        )
    return draws.sel(labels)


def _shared_scalars(posteriors: Mapping[str, xr.Dataset]) -> list[str]:
    first, *others = posteriors.values()
    return [
        str(name)
        for name, draws in first.items()
        if draws.ndim == 2 and all(name in other for other in others)
    ]


def _sampler_stats(fit: Any) -> xr.Dataset | None:
    """Return what the sampler recorded, or None for draws that no Markov chain made."""
    stats = getattr(fit, "sample_stats", None)
    return stats.to_dataset() if stats is not None and hasattr(stats, "to_dataset") else stats


def _summarise(posterior: xr.Dataset, stats: xr.Dataset | None, prob: float) -> pd.DataFrame:
    tails = [(1 - prob) / 2, (1 + prob) / 2]
    dims = ["chain", "draw"]
    interval = posterior.quantile(tails, dim=dims)
    columns = {
        "mean": posterior.mean(dims),
        "sd": posterior.std(dims, ddof=1),
        "lower": interval.isel(quantile=0, drop=True),
        "upper": interval.isel(quantile=1, drop=True),
    }
    divergences = None
    if stats is not None:
        # Samplers other than NUTS record none.
        divergences = int(stats["diverging"].sum()) if "diverging" in stats else None
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


def _interleave(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the fits' tables into one, parameter by parameter in the order of the first."""
    table = pd.concat(tables, names=["fit", "parameter"]).swaplevel()
    order = next(iter(tables.values())).index
    return table.reindex(pd.MultiIndex.from_product([order, tables], names=["parameter", "fit"]))


def _mean_error(draws: xr.Dataset) -> xr.Dataset:
    """Return the Monte Carlo standard error of each mean; one draw from another where ESS says."""
    ess: xr.Dataset = az.ess(draws, method="mean")
    return draws.std(["chain", "draw"], ddof=1) / ess**0.5


def _wasserstein(draws: xr.DataArray, curve: xr.DataArray) -> xr.DataArray:
    """Return the 1-Wasserstein distance of draws from an exact density, entry by entry.

    It is the mean distance between the sorted draws and the exact quantiles in their places.
    """
    ordered = np.sort(draws.stack(sample=["chain", "draw"]).transpose(..., "sample").to_numpy())
    value, density = curve.transpose("curve", ..., "point").values
    places = (np.arange(ordered.shape[-1]) + 0.5) / ordered.shape[-1]
    distances = [
        np.mean(np.abs(entry - np.interp(places, _cumulate(*pair), pair[0])))
        for entry, pair in zip(
            ordered.reshape(-1, ordered.shape[-1]),
            np.stack([value, density], axis=-2).reshape(-1, 2, value.shape[-1]),
            strict=True,
        )
    ]
    dims = [dim for dim in draws.dims if dim not in ("chain", "draw")]
    coords = {dim: draws[dim] for dim in dims}
    return xr.DataArray(np.reshape(distances, ordered.shape[:-1]), coords, dims)


def _cumulate(value: FloatArray, density: FloatArray) -> FloatArray:
    cumulated = cumulative_trapezoid(density, value, initial=0)
    return np.asarray(cumulated / cumulated[-1])
