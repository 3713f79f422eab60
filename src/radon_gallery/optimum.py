"""The best Gaussian approximation of the hierarchical model, computed without sampling.

What ADVI would reach after infinitely many steps. The difference of a fit to it is the optimiser's
error, its difference to the exact posterior the family's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from scipy import optimize, special

from radon_gallery._checks import FloatArray, require_choice, require_type
from radon_gallery.data import Survey
from radon_gallery.priors import Priors, ScalePrior, UniformPrior, get_priors

__all__ = ["FamilyOptimum", "family_optimum"]

_LOG_2PI: Final = float(np.log(2 * np.pi))
_SCALES: Final = ("sigma_alpha", "sigma_beta", "eps")
_N_NODES: Final = 10  # for each scale; more of them change the ELBO by less than 1e-6 nats


@dataclass(frozen=True, eq=False)
class FamilyOptimum:
    """The best member of a family of Gaussian approximations.

    Parameters
    ----------
    elbo : float
        Its evidence lower bound, nats.
    summary : xarray.Dataset, dimensions (statistic[, county])
        `mean` and `sd` of every parameter under it, log pCi/L, named as in the exact answer.
    """

    elbo: float
    summary: xr.Dataset


def family_optimum(
    survey: Survey,
    *,
    method: str = "meanfield",
    parameterisation: str = "centred",
    priors: str | Priors = "wide",
) -> FamilyOptimum:
    """Find the Gaussian in the unconstrained space, of a family, that has the largest ELBO.

    Given the three scales the log joint is quadratic in all the rest. So for any Gaussian of the
    scales, the best Gaussian of the rest has a closed form: its mean, which in a full-rank
    approximation is linear in the unconstrained scales, and its covariance given them. What is
    left is a search over six numbers, or nine. PyMC's transformations are assumed: a logit for a
    uniform prior, a logarithm for a half-normal one.

    Parameters
    ----------
    survey : Survey
        The data.
    method : {"meanfield", "fullrank"}
        Whether the Gaussian has independent dimensions or a full covariance, as in
        `radon_gallery.inference.fit_advi`.
    parameterisation : {"centred", "noncentred"}
        How the model is written; the family differs, though the posterior does not.
    priors : str or Priors
        The priors.

    Returns
    -------
    FamilyOptimum
        Its ELBO, and means and standard deviations of all parameters.

    Raises
    ------
    TypeError
        If `survey` is of another type.
    ValueError
        If the method, the parameterisation or the priors are unknown.
    ArithmeticError
        If the search does not settle, as for a posterior that piles up at a scale of 0.

    References
    ----------
    Blei et al. (2017), eq. (17), for the closed form [blei2017variational]; Kucukelbir et al.
    (2017), section 2.3, for the families [kucukelbir2017automatic].
    """
    require_type("survey", survey, Survey)
    require_choice("method", method, ("meanfield", "fullrank"))
    require_choice("parameterisation", parameterisation, ("centred", "noncentred"))
    chosen = get_priors(priors)
    of_scale = (chosen.scale, chosen.scale, chosen.noise)
    spread = float(np.std(survey.log_radon)) or 1.0
    start = [
        _unconstrain(prior, share * spread)
        for prior, share in zip(of_scale, (0.4, 0.3, 0.9), strict=True)
    ]
    problem = _Problem(survey, chosen, parameterisation == "centred")
    # A full-rank search starts from the best mean field.
    found = _search(problem, np.concatenate([start, np.log([0.1, 0.2, 0.02])]))
    if method == "fullrank":
        found = _search(problem, np.concatenate([found, np.zeros(3)]))
    best = problem.solve(found)
    return FamilyOptimum(best.elbo, problem.summarise(best))


def _search(problem: _Problem, start: FloatArray) -> FloatArray:
    found = optimize.minimize(
        lambda packed: -problem.solve(packed).elbo, start, method="BFGS", options={"gtol": 1e-4}
    )
    # Differences of an ELBO of thousands of nats limit what the search can call settled.
    if not np.isfinite(found.fun) or np.max(np.abs(found.jac)) > 1e-2:
        raise ArithmeticError(
            f"the search for the best Gaussian did not settle ({found.message}); expected a "
            "survey that bounds all three scales away from 0. Give weaker data tighter priors."
        )
    return np.asarray(found.x)


def _unconstrain(prior: ScalePrior, scale: float) -> float:
    if isinstance(prior, UniformPrior):
        return float(special.logit(min(scale / prior.upper, 0.9)))
    return float(np.log(scale))


def _constrain(prior: ScalePrior, free: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logarithm of a scale and the log density of its unconstrained value."""
    if isinstance(prior, UniformPrior):
        log_share = special.log_expit(free)
        return np.log(prior.upper) + log_share, log_share + special.log_expit(-free)
    log_density = np.log(2 / prior.sd) - 0.5 * (_LOG_2PI + (np.exp(free) / prior.sd) ** 2)
    return free, log_density + free


class _Solution(NamedTuple):
    """The best Gaussian, given that of the scales.

    A county's vector holds its two effects (or their offsets), then mu_alpha and mu_beta. Its mean
    may change from node to node of the scales, its covariance given the scales does not.
    """

    elbo: float
    scales: FloatArray  # (n_nodes, 3)
    lift: FloatArray  # (n_nodes, 2, 4), from a county's vector to its intercept and floor effect
    mean: FloatArray  # (n_nodes, n_county, 4)
    covariance: FloatArray  # (n_county, 4, 4)


class _Problem:
    """The ELBO as a function of the Gaussian of the three unconstrained scales."""

    def __init__(self, survey: Survey, priors: Priors, centred: bool) -> None:
        self.survey, self.priors, self.centred = survey, priors, centred
        self.of_scale = (priors.scale, priors.scale, priors.noise)
        points, weights = np.polynomial.hermite_e.hermegauss(_N_NODES)
        grid = np.meshgrid(points, points, points, indexing="ij")
        self.nodes = np.stack(grid, axis=-1).reshape(-1, 3)
        joint = np.einsum("i,j,k->ijk", weights, weights, weights).ravel()
        self.weights = joint / joint.sum()
        # Of each county: products of (1, floor) with themselves and with the response.
        design = np.stack([np.ones(survey.n_obs), survey.floor], axis=1)
        self.gram = np.zeros((survey.n_county, 2, 2))
        self.cross = np.zeros((survey.n_county, 2))
        np.add.at(self.gram, survey.county_idx, design[:, :, None] * design[:, None, :])
        np.add.at(self.cross, survey.county_idx, design * survey.log_radon[:, None])

    def solve(self, packed: FloatArray) -> _Solution:
        """Return the best Gaussian for these means and log sds of the scales, and slopes if any."""
        full = len(packed) > 6
        factor = np.diag(np.exp(packed[3:6]))
        factor[np.tril_indices(3, -1)] = packed[6:] if full else 0
        free = packed[:3] + self.nodes @ factor.T
        pairs = [_constrain(prior, free[:, axis]) for axis, prior in enumerate(self.of_scale)]
        log_scales, log_priors = (np.stack(part, axis=1) for part in zip(*pairs, strict=True))
        scales = np.exp(log_scales)
        # The mean of the rest is linear in the scales if the family knows their correlation.
        basis = np.hstack([np.ones((len(free), 1)), self.nodes if full else free[:, :0]])
        lift, prior_rows = self._rows(scales)
        precision, linear = self._quadratic(lift, prior_rows, scales[:, 2], basis)
        effect, n_basis = self.priors.effect, basis.shape[1]
        of_groups = np.zeros(2 * n_basis)
        of_groups[::n_basis] = effect.mean / effect.sd**2
        coefficients, expected = _maximise(precision, linear, of_groups, effect.sd**-2.0)
        mean = np.einsum("cpr,kr->kcp", coefficients.reshape(-1, 4, n_basis), basis)
        invert = _invert_arrow if full else _invert_diagonal
        covariance, log_det = invert(precision[:, ::n_basis, ::n_basis], effect.sd**-2.0)
        elbo = self._constant(scales, log_scales, log_priors) + expected
        elbo += np.sum(packed[3:6]) - 0.5 * log_det
        return _Solution(float(elbo), scales, lift, mean, covariance)

    def _rows(self, scales: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return matrices, shape (n_nodes, 2, 4), of a county's effects and of their residuals.

        The residuals are standard normal under the prior.
        """
        effects, groups = np.eye(2, 4), np.eye(2, 4, 2)
        of_county = scales[:, :2, None]
        if self.centred:
            return np.broadcast_to(effects, (len(scales), 2, 4)), (effects - groups) / of_county
        return of_county * effects + groups, np.broadcast_to(effects, (len(scales), 2, 4))

    def _quadratic(
        self, lift: FloatArray, prior_rows: FloatArray, eps: FloatArray, basis: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return a county's precision and linear term for its coefficients, over the scales."""
        spread_lift, spread_prior = (
            (rows[..., None] * basis[:, None, None, :]).reshape(len(eps), 2, -1)
            for rows in (lift, prior_rows)
        )
        noise = self.weights / eps**2
        squares = np.tensordot(spread_lift * noise[:, None, None], spread_lift, axes=(0, 0))
        weighted = spread_prior * self.weights[:, None, None]
        of_prior = np.einsum("kua,kub->ab", weighted, spread_prior, optimize=True)
        precision = np.einsum("cuv,uavb->cab", self.gram, squares, optimize=True) + of_prior
        linear = self.cross @ np.tensordot(noise, spread_lift, axes=(0, 0))
        return precision, linear

    def _constant(
        self, scales: FloatArray, log_scales: FloatArray, log_priors: FloatArray
    ) -> float:
        """Return what the ELBO adds to the quadratic's share and the Gaussian's log widths."""
        n_obs, n_county, effect = self.survey.n_obs, self.survey.n_county, self.priors.effect
        squares = np.sum(self.survey.log_radon**2)
        of_node = log_priors.sum(axis=1) - n_obs * log_scales[:, 2]
        of_node -= 0.5 * squares / scales[:, 2] ** 2
        if self.centred:
            of_node -= n_county * log_scales[:, :2].sum(axis=1)
        constant = self.weights @ of_node - 0.5 * n_obs * _LOG_2PI + 1.5 * (1 + _LOG_2PI)
        # The log normalisers of the normal priors and of the Gaussian cancel but for these.
        return float(constant - 2 * np.log(effect.sd) - (effect.mean / effect.sd) ** 2)

    def summarise(self, best: _Solution) -> xr.Dataset:
        """Return means and standard deviations of all parameters."""
        effects = np.einsum("kup,kcp->kcu", best.lift, best.mean)
        within = np.einsum("kup,cpq,kuq->kcu", best.lift, best.covariance, best.lift, optimize=True)
        of_group = best.covariance[0].diagonal()[2:]
        parts = {
            ("alpha", "beta"): (effects, within),
            ("mu_alpha", "mu_beta"): (best.mean[:, 0, 2:], of_group),
            _SCALES: (best.scales, 0.0),
        }
        variables = {}
        for names, (mean, variance) in parts.items():
            centre = np.tensordot(self.weights, mean, axes=1)
            variance = np.tensordot(self.weights, variance + (mean - centre) ** 2, axes=1)
            for axis, name in enumerate(names):
                moments = np.stack([centre[..., axis], np.sqrt(variance[..., axis])])
                variables[name] = (("statistic", "county")[: moments.ndim], moments)
        return xr.Dataset(
            variables, {"statistic": ["mean", "sd"], "county": list(self.survey.county)}
        )


def _maximise(
    precision: FloatArray, linear: FloatArray, of_groups: FloatArray, prior_precision: float
) -> tuple[FloatArray, float]:
    """Maximise linear · x - x' precision x / 2 summed over counties that share their second half.

    Returns each county's x, shape (n_county, n), and the maximum.
    """
    half = len(of_groups)
    local, coupling = precision[:, :half, :half], precision[:, :half, half:]
    solved = np.linalg.solve(local, np.concatenate([coupling, linear[:, :half, None]], axis=2))
    slope, offset = solved[..., :-1], solved[..., -1]
    of_shared = prior_precision * np.eye(half) + precision[:, half:, half:].sum(axis=0)
    of_shared -= np.einsum("cab,cad->bd", coupling, slope)
    right = of_groups + linear[:, half:].sum(axis=0)
    shared = np.linalg.solve(of_shared, right - np.einsum("cab,ca->b", coupling, offset))
    own: FloatArray = offset - slope @ shared
    maximum = 0.5 * (np.sum(linear[:, :half] * own) + right @ shared)
    return np.hstack([own, np.broadcast_to(shared, own.shape)]), float(maximum)


def _invert_diagonal(precision: FloatArray, prior_precision: float) -> tuple[FloatArray, float]:
    """Return the best independent normals' covariances and the log determinant of all widths.

    `precision`, shape (n_county, 4, 4), is that of the counties; the last two variables are shared.
    """
    own = precision.diagonal(axis1=1, axis2=2)[:, :2]
    shared = precision.sum(axis=0).diagonal()[2:] + prior_precision
    variances = np.hstack([1 / own, np.broadcast_to(1 / shared, own.shape)])
    log_det = np.log(own).sum() + np.log(shared).sum()
    return variances[:, :, None] * np.eye(4), float(log_det)


def _invert_arrow(precision: FloatArray, prior_precision: float) -> tuple[FloatArray, float]:
    """Return each county's block of the inverse, and the log determinant of the whole."""
    own, coupling = precision[:, :2, :2], precision[:, :2, 2:]
    slope = np.linalg.solve(own, coupling)
    shared = precision.sum(axis=0)[2:, 2:] + prior_precision * np.eye(2)
    shared -= np.einsum("cab,cad->bd", coupling, slope)
    of_shared = np.linalg.inv(shared)
    cross = -slope @ of_shared
    covariance = np.block(
        [
            [np.linalg.inv(own) - cross @ slope.transpose(0, 2, 1), cross],
            [cross.transpose(0, 2, 1), np.broadcast_to(of_shared, own.shape)],
        ]
    )
    log_det = np.linalg.slogdet(own).logabsdet.sum() + np.linalg.slogdet(shared).logabsdet
    return covariance, float(log_det)
