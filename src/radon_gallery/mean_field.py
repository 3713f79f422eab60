"""The best mean-field approximation of the hierarchical model, computed without sampling.

What ADVI with independent normals would reach after infinitely many steps. The difference to a fit
is the optimiser's error, the difference to the exact posterior the family's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from scipy import optimize, special

from radon_gallery._checks import FloatArray, require_choice
from radon_gallery.data import Survey
from radon_gallery.priors import Priors, ScalePrior, UniformPrior, get_priors

__all__ = ["MeanFieldOptimum", "mean_field_optimum"]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
_LOG_2PI: Final = float(np.log(2 * np.pi))
_SCALES: Final = ("sigma_alpha", "sigma_beta", "eps")


@dataclass(frozen=True, eq=False)
class MeanFieldOptimum:
    """The best member of the mean-field family.

    Parameters
    ----------
    elbo : float
        Its evidence lower bound, nats.
    summary : xarray.Dataset, dimensions (statistic[, county])
        `mean` and `sd` of every parameter under it, log pCi/L, named as in the exact answer.
    """

    elbo: float
    summary: xr.Dataset


class _Moments(NamedTuple):
    """Expectations of a scale whose unconstrained value is normal."""

    scale: float
    square: float
    precision: float
    log: float
    log_prior: float  # with the Jacobian of the transformation

    @property
    def variance(self) -> float:
        return self.square - self.scale**2


class _Quadratic(NamedTuple):
    """The log joint averaged over the scales: constant + linear · θ - θ' precision θ / 2.

    θ holds the county intercepts and floor effects (or their offsets), mu_alpha and mu_beta.
    """

    precision: FloatArray
    linear: FloatArray
    constant: float


def mean_field_optimum(
    survey: Survey, *, parameterisation: str = "centred", priors: str | Priors = "wide"
) -> MeanFieldOptimum:
    """Find the normals, independent in the unconstrained space, with the largest ELBO.

    Given the normals of the three scales, the log joint averaged over them is quadratic in all the
    rest, for which the best normals then have a closed form. What is left is a search over six
    numbers. PyMC's transformations are assumed: a logit for a uniform prior, a logarithm for a
    half-normal one.

    Parameters
    ----------
    survey : Survey
        The data.
    parameterisation : {"centred", "noncentred"}
        How the model is written; the family differs, though the posterior does not.
    priors : str or Priors
        The priors.

    Returns
    -------
    MeanFieldOptimum
        Its ELBO, and means and standard deviations of all parameters.

    Raises
    ------
    ValueError
        If the parameterisation or the priors are unknown.
    ArithmeticError
        If the search does not settle, as for a posterior that piles up at a scale of 0.

    References
    ----------
    Blei et al. (2017), eq. (17), for the closed form [blei2017variational]; Kucukelbir et al.
    (2017), section 2.3, for the family [kucukelbir2017automatic].
    """
    require_choice("parameterisation", parameterisation, ("centred", "noncentred"))
    chosen = get_priors(priors)
    of_scale = (chosen.scale, chosen.scale, chosen.noise)
    centred = parameterisation == "centred"

    def evaluate(packed: FloatArray) -> tuple[float, FloatArray, FloatArray, list[_Moments]]:
        sds = np.exp(packed[3:])
        scales = [
            _moments(prior, mean, sd)
            for prior, mean, sd in zip(of_scale, packed[:3], sds, strict=True)
        ]
        joint = _average_over_scales(survey, chosen, scales, centred)
        mean = np.linalg.solve(joint.precision, joint.linear)
        variance = 1 / np.diag(joint.precision)
        entropy = 0.5 * np.sum(np.log(variance)) + np.sum(packed[3:])
        entropy += 0.5 * (len(mean) + 3) * (1 + _LOG_2PI)
        # The best variances are one over the diagonal, so that their share is a half each.
        expected = joint.constant + 0.5 * joint.linear @ mean - 0.5 * len(mean)
        expected += sum(scale.log_prior for scale in scales)
        return float(expected + entropy), mean, variance, scales

    spread = float(np.std(survey.log_radon)) or 1.0
    start = [
        _unconstrain(prior, share * spread)
        for prior, share in zip(of_scale, (0.4, 0.3, 0.9), strict=True)
    ]
    found = optimize.minimize(
        lambda packed: -evaluate(packed)[0],
        np.concatenate([start, np.log([0.1, 0.2, 0.02])]),
        method="BFGS",
        options={"gtol": 1e-4},
    )
    # Differences of an ELBO of thousands of nats limit what the search can call settled.
    if not np.isfinite(found.fun) or np.max(np.abs(found.jac)) > 1e-2:
        raise ArithmeticError(
            f"the search for the best mean field did not settle ({found.message}); expected a "
            "survey that bounds all three scales away from 0. Give weaker data tighter priors."
        )
    elbo, mean, variance, scales = evaluate(found.x)
    return MeanFieldOptimum(elbo, _summarise(survey, mean, variance, scales, centred))


def _unconstrain(prior: ScalePrior, scale: float) -> float:
    if isinstance(prior, UniformPrior):
        return float(special.logit(min(scale / prior.upper, 0.9)))
    return float(np.log(scale))


def _moments(prior: ScalePrior, mean: float, sd: float) -> _Moments:
    """Return the moments of a scale by Gauss-Hermite quadrature."""
    normal = mean + sd * _NODES
    if isinstance(prior, UniformPrior):
        log_scale = np.log(prior.upper) + special.log_expit(normal)
        log_prior = special.log_expit(normal) + special.log_expit(-normal)
    else:
        log_scale = normal
        log_prior = np.log(2 / prior.sd) - 0.5 * (_LOG_2PI + (np.exp(normal) / prior.sd) ** 2)
        log_prior = log_prior + normal
    values = (np.exp(log_scale), np.exp(2 * log_scale), np.exp(-2 * log_scale), log_scale)
    weights = _WEIGHTS / _WEIGHTS.sum()
    return _Moments(*(float(weights @ value) for value in (*values, log_prior)))


def _average_over_scales(
    survey: Survey, priors: Priors, scales: list[_Moments], centred: bool
) -> _Quadratic:
    """Return the log joint of responses and θ, averaged over the scales."""
    *groups, eps = scales
    n_obs, n_county = survey.n_obs, survey.n_county
    n_dim = 2 * n_county + 2
    design = np.zeros((n_obs, n_dim))
    design[np.arange(n_obs), survey.county_idx] = 1
    design[np.arange(n_obs), n_county + survey.county_idx] = survey.floor
    prior = np.zeros((n_dim, n_dim))
    weights, squares = np.ones(n_dim), np.ones((n_dim, n_dim))
    for number, scale in enumerate(groups):
        county, group = number * n_county + np.arange(n_county), 2 * n_county + number
        if centred:
            prior[county, county] = scale.precision
            prior[county, group] = prior[group, county] = -scale.precision
            prior[group, group] = n_county * scale.precision
        else:
            prior[county, county] = 1
            weights[county] = scale.scale
            design[:, group] = survey.floor if number else 1
    if not centred:
        squares = np.outer(weights, weights)
        for number, scale in enumerate(groups):
            block = slice(number * n_county, (number + 1) * n_county)
            squares[block, block] = scale.square
    effect_precision = priors.effect.sd**-2.0
    prior[[-2, -1], [-2, -1]] += effect_precision
    linear = eps.precision * weights * (design.T @ survey.log_radon)
    linear[-2:] += effect_precision * priors.effect.mean
    constant = -0.5 * (n_dim + n_obs) * _LOG_2PI - 2 * np.log(priors.effect.sd)
    constant -= effect_precision * priors.effect.mean**2
    constant -= n_obs * eps.log + 0.5 * eps.precision * np.sum(survey.log_radon**2)
    if centred:
        constant -= n_county * sum(scale.log for scale in groups)
    precision = prior + eps.precision * squares * (design.T @ design)
    return _Quadratic(precision, linear, float(constant))


def _summarise(
    survey: Survey,
    mean: FloatArray,
    variance: FloatArray,
    scales: list[_Moments],
    centred: bool,
) -> xr.Dataset:
    county = {"county": list(survey.county)}
    coords = {"statistic": ["mean", "sd"], **county}
    variables: dict[str, tuple[tuple[str, ...], FloatArray]] = {}
    for number, name in enumerate(("alpha", "beta")):
        block = slice(number * survey.n_county, (number + 1) * survey.n_county)
        centre, spread = mean[2 * survey.n_county + number], variance[2 * survey.n_county + number]
        variables[f"mu_{name}"] = (("statistic",), np.array([centre, np.sqrt(spread)]))
        effect, its_variance = mean[block], variance[block]
        if not centred:
            scale = scales[number]
            its_variance = (
                spread + scale.square * (its_variance + effect**2) - (scale.scale * effect) ** 2
            )
            effect = centre + scale.scale * effect
        variables[name] = (("statistic", "county"), np.stack([effect, np.sqrt(its_variance)]))
    for name, scale in zip(_SCALES, scales, strict=True):
        variables[name] = (("statistic",), np.array([scale.scale, np.sqrt(scale.variance)]))
    return xr.Dataset(variables, coords)
