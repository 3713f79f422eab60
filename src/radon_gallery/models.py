"""The radon models; one factory of each serves the whole survey and minibatches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pymc as pm

from radon_gallery._checks import listed, require_choice, require_count, require_type
from radon_gallery.data import Rows, check_rows, require_rows
from radon_gallery.editions import edition
from radon_gallery.priors import HalfNormalPrior, NormalPrior, Priors, ScalePrior, get_priors

__all__ = ["PARAMETERISATIONS", "hierarchical_model", "pooled_model", "unpooled_model"]

Coords = Mapping[str, Sequence[Any] | npt.NDArray[Any]]

#: The known ways to write the county effects of `hierarchical_model`.
PARAMETERISATIONS: Final = ("centred", "noncentred")


def pooled_model(
    rows: Rows, coords: Coords, *, total_size: int | None = None, priors: str | Priors = "wide"
) -> pm.Model:
    """Build the model in which all counties are alike.

    ``log_radon ~ Normal(alpha + beta * floor, eps)`` with one `alpha` and one `beta`.

    Parameters
    ----------
    rows : Rows
        The whole survey's rows, arrays of shape (n_obs,), or a minibatch of them.
    coords : mapping
        Labels of the dimensions, as `Survey.coords` gives them.
    total_size : int, optional
        Number of homes in the whole survey; required with a minibatch, refused without.
    priors : {"wide", "weak"} or Priors
        The priors.

    Returns
    -------
    pymc.Model
        The model, with `alpha`, `beta`, `eps` and the observed `log_radon`.

    Raises
    ------
    TypeError
        If rows are partly data and partly symbolic, `coords` are not a mapping, or `total_size` is
        not a whole number.
    ValueError
        If it is called within the `with` block of another model; if `total_size` is forgotten,
        given with full data or smaller than the batch; if `coords` have no counties or the rows'
        codes do not fit them; if the priors are unknown.

    References
    ----------
    Gelman and Hill (2007), section 12.2 [gelman2007data].
    """
    chosen = get_priors(priors)
    rows = _checked_rows(rows, coords, total_size)
    with pm.Model(coords=_kept(coords, rows)) as model:
        alpha = _effect("alpha", chosen.effect)
        beta = _effect("beta", chosen.effect)
        _likelihood(alpha + beta * rows.floor, rows, total_size, chosen.noise)
    return model


def unpooled_model(
    rows: Rows, coords: Coords, *, total_size: int | None = None, priors: str | Priors = "wide"
) -> pm.Model:
    """Build the model in which counties have nothing in common.

    ``log_radon ~ Normal(alpha[county] + beta[county] * floor, eps)``, each `alpha` and `beta` with
    the same fixed prior.

    Parameters
    ----------
    rows : Rows
        The whole survey's rows, arrays of shape (n_obs,), or a minibatch of them.
    coords : mapping
        Labels of the dimensions, as `Survey.coords` gives them.
    total_size : int, optional
        Number of homes in the whole survey; required with a minibatch, refused without.
    priors : {"wide", "weak"} or Priors
        The priors.

    Returns
    -------
    pymc.Model
        The model, with `alpha` and `beta` by `county`, `eps` and the observed `log_radon`.

    Raises
    ------
    TypeError, ValueError
        As `pooled_model` raises.

    References
    ----------
    Gelman and Hill (2007), section 12.2 [gelman2007data].
    """
    chosen = get_priors(priors)
    rows = _checked_rows(rows, coords, total_size)
    with pm.Model(coords=_kept(coords, rows)) as model:
        alpha = _effect("alpha", chosen.effect, dims="county")
        beta = _effect("beta", chosen.effect, dims="county")
        _likelihood(_predictor(alpha, beta, rows), rows, total_size, chosen.noise)
    return model


def hierarchical_model(
    rows: Rows,
    coords: Coords,
    *,
    total_size: int | None = None,
    parameterisation: str = "centred",
    priors: str | Priors = "wide",
) -> pm.Model:
    """Build the recipe's model, in which counties vary around a common mean.

    ``log_radon ~ Normal(alpha[county] + beta[county] * floor, eps)`` with
    ``alpha ~ Normal(mu_alpha, sigma_alpha)`` and ``beta ~ Normal(mu_beta, sigma_beta)``.

    Parameters
    ----------
    rows : Rows
        The whole survey's rows, arrays of shape (n_obs,), or a minibatch of them.
    coords : mapping
        Labels of the dimensions, as `Survey.coords` gives them.
    total_size : int, optional
        Number of homes in the whole survey; required with a minibatch, refused without.
    parameterisation : {"centred", "noncentred"}
        Whether the county effects are the model's free variables, as in the recipe, or standard
        normal offsets from which the effects are computed. The posterior is the same.
    priors : {"wide", "weak"} or Priors
        The recipe's priors, weakly informative ones, or the caller's own.

    Returns
    -------
    pymc.Model
        The model, with `mu_alpha`, `sigma_alpha`, `mu_beta`, `sigma_beta`, `eps`, `alpha` and
        `beta` by `county`, and the observed `log_radon`; if non-centred also `alpha_offset` and
        `beta_offset`.

    Raises
    ------
    TypeError, ValueError
        As `pooled_model` raises, and if the parameterisation is unknown.

    References
    ----------
    Gelman and Hill (2007), section 13.1 [gelman2007data]; Papaspiliopoulos, Roberts and Sköld
    (2007) on the two parameterisations [papaspiliopoulos2007general].
    """
    chosen = get_priors(priors)
    require_choice("parameterisation", parameterisation, PARAMETERISATIONS)
    rows = _checked_rows(rows, coords, total_size)
    with pm.Model(coords=_kept(coords, rows)) as model:
        alpha, beta = (
            _county_effects(
                name,
                mean=_effect(f"mu_{name}", chosen.effect),
                sd=_scale(f"sigma_{name}", chosen.scale),
                centred=parameterisation == "centred",
            )
            for name in ("alpha", "beta")
        )
        _likelihood(_predictor(alpha, beta, rows), rows, total_size, chosen.noise)
    return model


# A tensor library may take the logarithm of a plain 10000.0 in single precision, hence float64.


def _effect(name: str, prior: NormalPrior, dims: str | None = None) -> Any:
    return pm.Normal(name, mu=prior.mean, sigma=edition.in_float_x(float(prior.sd)), dims=dims)


def _scale(name: str, prior: ScalePrior) -> Any:
    if isinstance(prior, HalfNormalPrior):
        return pm.HalfNormal(name, sigma=edition.in_float_x(float(prior.sd)))
    return pm.Uniform(name, lower=0.0, upper=edition.in_float_x(float(prior.upper)))


def _county_effects(name: str, *, mean: Any, sd: Any, centred: bool) -> Any:
    if centred:
        return pm.Normal(name, mu=mean, sigma=sd, dims="county")
    offset = pm.Normal(f"{name}_offset", mu=0.0, sigma=1.0, dims="county")
    return pm.Deterministic(name, mean + sd * offset, dims="county")


def _predictor(alpha: Any, beta: Any, rows: Rows) -> Any:
    return alpha[rows.county_idx] + beta[rows.county_idx] * rows.floor


def _likelihood(mu: Any, rows: Rows, total_size: int | None, noise: ScalePrior) -> None:
    pm.Normal(
        "log_radon",
        mu=mu,
        sigma=_scale("eps", noise),
        observed=rows.log_radon,
        total_size=None if total_size is None else int(total_size),
        dims=None if edition.is_symbolic(rows.log_radon) else "obs_id",
    )


def _kept(coords: Coords, rows: Rows) -> dict[str, Any]:
    """Leave out the labels of the homes where the rows are a minibatch."""
    if edition.is_symbolic(rows.log_radon):
        return {dim: labels for dim, labels in coords.items() if dim != "obs_id"}
    return {"obs_id": np.arange(len(rows.log_radon)), **coords}


def _checked_rows(rows: Rows, coords: Coords, total_size: int | None) -> Rows:
    """Check rows, labels and `total_size` against one another before anything is built."""
    if pm.Model.get_context(error_if_none=False) is not None:
        raise ValueError(
            "a model built within another's `with` block would become a part of it; expected no "
            "model around. Build it before the block."
        )
    require_rows(rows)
    require_type("coords", coords, Mapping)
    if "county" not in coords:
        raise ValueError(
            f"coords must have the counties' names under 'county'; they have {listed(coords)}. "
            "Give the survey's own coords."
        )
    symbolic = {name: edition.is_symbolic(vector) for name, vector in rows._asdict().items()}
    if len(set(symbolic.values())) > 1:
        told = ", ".join(
            f"{name} is {'a minibatch' if is_batch else 'data'}"
            for name, is_batch in symbolic.items()
        )
        raise TypeError(f"rows must be all data or all minibatch; {told}.")
    if symbolic["log_radon"]:
        _check_minibatch(rows, len(coords["county"]), total_size)
        return rows
    if total_size is not None:
        raise ValueError(
            f"total_size={total_size} was given with full data, which already counts in full; "
            "leave it out, or give a minibatch."
        )
    checked = check_rows(rows, n_county=len(coords["county"]))
    if len(coords.get("obs_id", checked.log_radon)) != len(checked.log_radon):
        raise ValueError(
            f"coords label {len(coords['obs_id'])} homes under 'obs_id', but rows have "
            f"{len(checked.log_radon)}; give the coords of the same survey."
        )
    return checked


def _check_minibatch(rows: Rows, n_county: int, total_size: int | None) -> None:
    if total_size is None:
        raise ValueError(
            "a minibatch needs total_size, the number of homes in the whole survey; without it "
            "the likelihood counts only batch / survey of its weight. Give total_size=survey.n_obs."
        )
    require_count("total_size", total_size)
    sizes = {name: edition.n_rows(vector) for name, vector in rows._asdict().items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"a minibatch's vectors must be of one length; {told}.")
    if total_size < sizes["log_radon"]:
        raise ValueError(
            f"total_size must be at least the batch's {sizes['log_radon']} rows, got {total_size}; "
            "give the number of homes in the whole survey."
        )
    largest = edition.largest_value(rows.county_idx)
    if largest is not None and largest >= n_county:
        raise ValueError(
            f"county_idx goes up to {largest}, but coords name {n_county} counties; give the "
            "coords of the survey that the minibatch is drawn from."
        )
