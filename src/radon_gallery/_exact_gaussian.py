"""The model given its scales: all that is left is Gaussian and has a closed form.

With the scales fixed, the log radon of a home is ``x·theta + a[county] + b[county]·floor + noise``
with ``a ~ N(0, sigma_alpha²)``, ``b ~ N(0, sigma_beta²)``, noise of sd ``eps`` and a normal prior
on theta, of which the group means are members. The homes of one county on one floor, a *cell*,
differ only in x and in noise, so the sizes, means and scatter of the cells are all that is needed.

Formulas are written as sums of terms of one sign, so that they hold from a scale of zero, where
the effects vanish, to the prior sd of 10,000 of unpooled effects, where they swallow the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from radon_gallery._checks import FloatArray, IntArray, listed
from radon_gallery._exact_model import CountyEffect, FixedEffect, Problem, Scales
from radon_gallery._exact_rule import IntegrationError

__all__ = [
    "Conditional",
    "GaussianModel",
    "build_model",
    "condition",
    "describe_effects",
    "draw_effects",
]

# A column whose part not shared with earlier columns is below the first fraction of its length
# repeats them; above the second it is a column of its own. In between, rounding would spoil it.
_REPEATED, _DISTINCT = 1e-10, 1e-5

_CHUNK = 4096  # nodes at a time: the arrays stay in the processor's cache


class _Prior(NamedTuple):
    """Prior of zeta, the coefficients of the r columns kept, and the way back to theta.

    ``theta = origin + spread @ (zeta - mean) + free @ normals``: the data leave the last term to
    the prior.
    """

    kept: list[int]
    mean: FloatArray  # (r,)
    precision: FloatArray  # (r, r)
    origin: FloatArray  # (p,)
    spread: FloatArray  # (p, r)
    free: FloatArray  # (p, p - r)


@dataclass(frozen=True)
class GaussianModel:
    """What the data and the normal priors say, reduced to what `condition` needs.

    Here zeta is counted from a first fit, so that residuals stay small at any level of response,
    and theta is ``origin + spread @ zeta + free @ normals``.
    """

    n_obs: int
    spread: float  # of the response, its standard deviation
    reach: float  # of the response, the length of its vector of distances from the prior mean
    names: tuple[str, ...]  # of the p fixed effects
    effects: tuple[CountyEffect | None, CountyEffect | None]  # intercepts, floor effects
    prior: _Prior
    kinds: FloatArray  # (n_kind, 2), homes in basement and on first floor: the pairs that occur
    kind_idx: IntArray  # (n_county,)
    moments: FloatArray  # (3 n_kind, (r + 1)²), of the cell means of design and residual
    scatter: FloatArray  # ((r + 1)²,), within cells
    cell_design: FloatArray  # (2, n_county, r)
    cell_residual: FloatArray  # (2, n_county)


class Conditional(NamedTuple):
    """The Gaussian answer at J nodes."""

    log_likelihood: FloatArray  # (J,), nats; all but the scales is integrated out
    mean: FloatArray  # (J, r), of zeta
    root: FloatArray  # (J, r, r), root' root is the covariance of zeta


class _Shares(NamedTuple):
    """How the homes of J nodes and K kinds of county inform their effects, each (J, K).

    `weight_0`, `weight_1` and `weight_contrast` are the precisions, over that of one home, with
    which a county tells of its cell means and of their difference. The determinant is that of the
    cell means' covariance over that of the noise alone.
    """

    ratio_alpha: FloatArray  # (J, 1), (sigma_alpha / eps)²
    ratio_beta: FloatArray  # (J, 1), (sigma_beta / eps)²
    determinant: FloatArray
    weight_0: FloatArray
    weight_1: FloatArray
    weight_contrast: FloatArray


def build_model(problem: Problem) -> GaussianModel:
    """Reduce the survey to the sizes, means and scatter of its cells.

    Raises
    ------
    ValueError
        If a fixed effect's column nearly, but not quite, repeats the columns before it.
    """
    survey, effects = problem.survey, problem.effects
    n_obs, n_county, floor = survey.n_obs, survey.n_county, survey.floor
    design = np.array([effect.column for effect in problem.fixed], float)
    design = design.reshape(len(problem.fixed), n_obs).T
    prior = _build_prior(design, problem.fixed)
    known = [0.0 if not e or isinstance(e.centre, str) else e.centre for e in effects]
    response = survey.log_radon - known[0] - known[1] * floor

    # A first fit, shrunk towards the prior as a residual variance of the response's would have it.
    columns = design[:, prior.kept]
    residual = response - columns @ prior.mean
    reach = float(np.linalg.norm(residual))
    normal_equations = columns.T @ columns + residual.var() * prior.precision
    fit = np.linalg.solve(normal_equations, columns.T @ residual)
    residual = residual - columns @ fit
    prior = prior._replace(mean=-fit, origin=prior.origin + prior.spread @ fit)

    table = np.column_stack([columns, residual])
    cell = floor * n_county + survey.county_idx
    homes = np.bincount(cell, minlength=2 * n_county).astype(float)
    totals = np.zeros((2 * n_county, table.shape[1]))
    np.add.at(totals, cell, table)
    means = totals / np.maximum(homes, 1)[:, None]
    deviations = table - means[cell]
    basement, first = means.reshape(2, n_county, -1)
    kinds, kind_idx = np.unique(homes.reshape(2, n_county).T, axis=0, return_inverse=True)
    kind_idx = kind_idx.reshape(n_county)
    moments = np.zeros((3, len(kinds), table.shape[1] ** 2))
    for total, vectors in zip(moments, (basement, first, first - basement), strict=True):
        np.add.at(total, kind_idx, _outer_products(vectors))
    return GaussianModel(
        n_obs=n_obs,
        spread=float(survey.log_radon.std()),
        reach=reach,
        names=tuple(effect.name for effect in problem.fixed),
        effects=effects,
        prior=prior,
        kinds=kinds,
        kind_idx=kind_idx,
        moments=moments.reshape(3 * len(kinds), -1),
        scatter=_outer_products(deviations).sum(axis=0),
        cell_design=np.stack([basement[:, :-1], first[:, :-1]]),
        cell_residual=np.stack([basement[:, -1], first[:, -1]]),
    )


def condition(model: GaussianModel, scales: Scales) -> Conditional:
    """Integrate everything but the scales out, at each node.

    References
    ----------
    [rasmussen2006gaussian], eq. (2.43), with the inversion lemmas (A.9) and (A.10).
    """
    n_nodes = len(scales.eps)
    parts = [
        _condition_chunk(model, Scales(*(scale[start : start + _CHUNK] for scale in scales)))
        for start in range(0, n_nodes, _CHUNK)
    ]
    return Conditional(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def describe_effects(
    model: GaussianModel, scales: Scales, given: Conditional
) -> tuple[FloatArray, FloatArray]:
    """Return mean and sd of every effect at each node.

    Returns
    -------
    mean, sd : ndarray, shape (J, p + n_county for each county effect), log pCi/L
        The fixed effects in the order of `model.names`, then the county effects.
    """
    prior = model.prior
    means = [prior.origin + given.mean @ prior.spread.T]
    variances = [_quadratic_form(given.root, prior.spread) + (prior.free**2).sum(axis=1)]
    homes = model.kinds[model.kind_idx]
    shares = _share(scales, homes)
    residuals = [
        at_fit - given.mean @ design.T
        for at_fit, design in zip(model.cell_residual, model.cell_design, strict=True)
    ]
    for effect, gains, own in zip(
        model.effects, _gains(shares), _spare(shares, homes), strict=True
    ):
        if effect is not None:
            origin, spread, free = _centre(model, effect)
            centre = origin + (given.mean @ spread)[:, None]
            means.append(centre + gains[0] * residuals[0] + gains[1] * residuals[1])
            slope = spread - sum(
                gain[..., None] * x for gain, x in zip(gains, model.cell_design, strict=True)
            )
            informed = _quadratic_form(given.root, slope) + free @ free
            variances.append(scales.eps[:, None] ** 2 * own + informed)
    return np.concatenate(means, axis=1), np.sqrt(np.concatenate(variances, axis=1))


def draw_effects(
    model: GaussianModel, scales: Scales, given: Conditional, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Draw every effect once at each node: fixed ones (J,), county effects (J, n_county)."""
    prior, n_nodes = model.prior, len(scales.eps)
    normals = rng.standard_normal(given.mean.shape)
    zeta = given.mean + np.einsum("jlr,jl->jr", given.root, normals)
    theta = prior.origin + zeta @ prior.spread.T
    theta += rng.standard_normal((n_nodes, prior.free.shape[1])) @ prior.free.T
    draws = dict(zip(model.names, theta.T, strict=True))
    homes = model.kinds[model.kind_idx]
    shares = _share(scales, homes)
    residuals = [
        at_fit - zeta @ design.T
        for at_fit, design in zip(model.cell_residual, model.cell_design, strict=True)
    ]
    means = [gain[0] * residuals[0] + gain[1] * residuals[1] for gain in _gains(shares)]
    noise = scales.eps[:, None] * rng.standard_normal((2, n_nodes, len(model.kind_idx)))
    alpha = noise[0] * np.sqrt(_spare(shares, homes)[0])
    # Given the intercept, the floor effect is informed by the first floor's homes alone.
    ratio, first = shares.ratio_beta, homes[:, 1]
    spare = ratio / (1 + first * ratio)
    beta = noise[1] * np.sqrt(spare) - spare * first * alpha
    for effect, mean, deviation in zip(model.effects, means, (alpha, beta), strict=True):
        if effect is not None:
            centre = effect.centre
            if isinstance(centre, str):
                centre = draws[centre][:, None]
            draws[effect.name] = centre + mean + deviation
    return draws


def _build_prior(design: FloatArray, fixed: Sequence[FixedEffect]) -> _Prior:
    kept, repeated = _split_columns(design, [effect.name for effect in fixed])
    mean = np.array([effect.prior.mean for effect in fixed], float)
    sd = np.array([effect.prior.sd for effect in fixed], float)
    # A repeated column is columns[kept] @ weights, so the data see zeta = kept + weights @ others.
    weights = np.linalg.lstsq(design[:, kept], design[:, repeated], rcond=None)[0]
    zeta_mean = mean[kept] + weights @ mean[repeated]
    scaled = weights * sd[repeated]
    precision = np.linalg.inv(np.diag(sd[kept] ** 2) + scaled @ scaled.T)
    others = sd[repeated][:, None] * scaled.T @ precision
    scaled_kept = weights / sd[kept][:, None]
    unseen = np.linalg.cholesky(
        np.linalg.inv(np.diag(sd[repeated] ** -2.0) + scaled_kept.T @ scaled_kept)
    )
    spread, free = (
        np.zeros((len(fixed), len(kept))),
        np.zeros((len(fixed), len(repeated))),
    )
    spread[repeated], spread[kept] = others, np.eye(len(kept)) - weights @ others
    free[repeated], free[kept] = unseen, -weights @ unseen
    return _Prior(kept, zeta_mean, precision, mean, spread, free)


def _split_columns(design: FloatArray, names: list[str]) -> tuple[list[int], list[int]]:
    kept: list[int] = []
    repeated: list[int] = []
    basis = np.zeros((len(design), 0))
    for index, column in enumerate(design.T):
        rest = column
        for _ in range(2):  # the second pass removes what rounding left of the first
            rest = rest - basis @ (basis.T @ rest)
        length, left = np.linalg.norm(column), np.linalg.norm(rest)
        if left <= _REPEATED * length:
            repeated.append(index)
        elif left < _DISTINCT * length:
            raise ValueError(
                f"{names[index]!r} must differ from a combination of {listed(names[:index])} or "
                f"repeat it; only {left / length:.0e} of its length is its own. Centre or drop it."
            )
        else:
            kept.append(index)
            basis = np.column_stack([basis, rest / left])
    return kept, repeated


def _condition_chunk(model: GaussianModel, scales: Scales) -> Conditional:
    prior, n_kept = model.prior, len(model.prior.kept)
    shares = _share(scales, model.kinds)
    weights = np.hstack([shares.weight_0, shares.weight_1, shares.weight_contrast])
    products = (weights @ model.moments + model.scatter) / scales.eps[:, None] ** 2
    products = products.reshape(-1, n_kept + 1, n_kept + 1)
    pull = prior.precision @ prior.mean
    try:
        cholesky = np.linalg.cholesky(products[:, :-1, :-1] + prior.precision)
    except np.linalg.LinAlgError as error:
        raise IntegrationError(
            "the fixed effects and those of the counties together nearly repeat the response, "
            "beyond what double precision can tell apart; expected more homes than effects. Give "
            "more homes, fewer covariates, or a KnownScale."
        ) from error
    root = np.linalg.inv(cholesky)
    whitened = np.einsum("jlr,jr->jl", root, products[:, :-1, -1] + pull)
    squares = products[:, -1, -1] + prior.mean @ pull - (whitened**2).sum(axis=1)
    counties = np.bincount(model.kind_idx, minlength=len(model.kinds))
    log_determinant = (
        2 * model.n_obs * np.log(scales.eps)
        + np.log(shares.determinant) @ counties
        + 2 * np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(axis=1)
        - np.linalg.slogdet(prior.precision)[1]
    )
    return Conditional(
        log_likelihood=-0.5 * (model.n_obs * np.log(2 * np.pi) + log_determinant + squares),
        mean=np.einsum("jlr,jl->jr", root, whitened),
        root=root,
    )


def _share(scales: Scales, homes: FloatArray) -> _Shares:
    alpha = (scales.sigma_alpha / scales.eps)[:, None] ** 2
    beta = (scales.sigma_beta / scales.eps)[:, None] ** 2
    basement, first = homes.T
    slack = 1 + first * beta
    determinant = (1 + basement * alpha) * slack + first * alpha
    return _Shares(
        ratio_alpha=alpha,
        ratio_beta=beta,
        determinant=determinant,
        weight_0=basement * slack / determinant,
        weight_1=first / determinant,
        weight_contrast=basement * first * alpha / determinant,
    )


def _gains(
    shares: _Shares,
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Return what a county's intercept, and floor effect, take of its two cells' residuals."""
    alpha, beta = shares.ratio_alpha, shares.ratio_beta
    contrast = beta * shares.weight_contrast
    return (
        (alpha * shares.weight_0, alpha * shares.weight_1),
        (-contrast, contrast + beta * shares.weight_1),
    )


def _spare(shares: _Shares, homes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the variances, over that of the noise, left of both effects were theta known."""
    alpha, beta = shares.ratio_alpha, shares.ratio_beta
    first, both = homes[:, 1], homes.sum(axis=1)
    return (
        alpha * (1 + first * beta) / shares.determinant,
        beta * (1 + both * alpha) / shares.determinant,
    )


def _centre(model: GaussianModel, effect: CountyEffect) -> tuple[float, FloatArray, FloatArray]:
    prior = model.prior
    if isinstance(effect.centre, str):
        index = model.names.index(effect.centre)
        return float(prior.origin[index]), prior.spread[index], prior.free[index]
    return effect.centre, np.zeros(prior.spread.shape[1]), np.zeros(prior.free.shape[1])


def _quadratic_form(root: FloatArray, vectors: FloatArray) -> FloatArray:
    """Return |root @ vector|² of each node's vectors, shapes (J, r, r) and ([J,] K, r) → (J, K)."""
    return np.asarray(((vectors @ root.transpose(0, 2, 1)) ** 2).sum(axis=-1))


def _outer_products(vectors: FloatArray) -> FloatArray:
    """Return the flattened v v' of each row, shape (n, q) → (n, q²)."""
    return (vectors[:, :, None] * vectors[:, None, :]).reshape(len(vectors), -1)
