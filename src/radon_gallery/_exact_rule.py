"""Where to integrate over the scales, the quadrature rule there, and draws from what it finds.

A scale is integrated by Gauss-Legendre quadrature in t, where ``scale = stretch · sinh(t)``: even
steps where the scale is small, since its density need not vanish at zero, and steps in proportion
to it where it is large, since with few counties its tail is long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander
from scipy.special import logsumexp

from radon_gallery._checks import FloatArray
from radon_gallery._exact_model import KnownScale, Scales, ScaleSpec
from radon_gallery.priors import UniformPrior

__all__ = [
    "OUT_OF_REACH",
    "Axis",
    "IntegrationError",
    "Rule",
    "build_rule",
    "draw_scales",
    "find_axes",
    "find_domain",
    "mesh",
    "trace_density",
]

_DEPTH: Final = 20.0  # nats below the peak at which the rule ends
_SCAN: Final = 15  # points a scale of each scan
_SHRINKING: Final = 30  # scans after which boxes only grow, so that they settle
_MAX_SCANS: Final = 60
_NEAR_ZERO: Final = 1e-7  # of the response's spread: scales are scanned from here
_LEAST_RISE: Final = 0.5  # of the log density by log scale, 1 where the density by scale is flat
_BEGINS: Final = 3.0  # nats below the peak from which the mass by log scale counts as begun
_MATTERS: Final = 10.0  # nats below the peak of the mass by log scale that a rule must resolve
_FLAT: Final = 1 / 40  # of the scale at which it begins, where the density by scale is flat
_FINE: Final = 1025  # points at which a distribution function is tabulated


#: Said where log densities differ by so much that double precision leaves one point of a grid.
OUT_OF_REACH: Final = (
    "the priors keep the scales so far below what the response asks for that the posterior cannot "
    "be resolved; expected a response and priors in the same unit. Give both in log pCi/L."
)


class IntegrationError(ArithmeticError):
    """The posterior cannot be integrated: it is improper, or no rule tried has settled."""


class Axis(NamedTuple):
    """Range of t = arcsinh(scale / stretch) that holds the posterior of a scale."""

    stretch: float
    lower: float
    upper: float

    def scale(self, x: FloatArray) -> FloatArray:
        """Return the scale at x, which runs from -1 to 1 over the axis."""
        return self.stretch * np.sinh(self._t(x))

    def slope(self, x: FloatArray) -> FloatArray:
        """Return the derivative of the scale by x."""
        return self.stretch * np.cosh(self._t(x)) * (self.upper - self.lower) / 2

    def _t(self, x: FloatArray) -> FloatArray:
        return (self.lower + self.upper + (self.upper - self.lower) * x) / 2


class Rule(NamedTuple):
    """Nodes of one scale; a known scale has one, of weight 1, and no axis."""

    axis: Axis | None
    values: FloatArray  # (n,), log pCi/L
    weights: FloatArray  # (n,), log pCi/L


def find_domain(spec: ScaleSpec, spread: float, reach: float) -> tuple[float, float]:
    """Return the ends between which a scale is looked for, log pCi/L; equal if it is known.

    Parameters
    ----------
    spec : UniformPrior, HalfNormalPrior or KnownScale
        The scale's prior.
    spread : float
        Standard deviation of the response.
    reach : float
        Length of the vector of the response's distances from its prior mean. No likelihood grows
        in a scale far above it, so that a half-normal prior's tail ends what lies beyond.
    """
    if isinstance(spec, KnownScale):
        return spec.value, spec.value
    upper = spec.upper if isinstance(spec, UniformPrior) else 9 * spec.sd + 10 * reach
    return _NEAR_ZERO * min(spread or upper, upper), upper


def mesh(lines: Sequence[FloatArray]) -> Scales:
    """Return all triples of the three scales' values, each flattened, the last running fastest."""
    return Scales(*(axis.ravel() for axis in np.meshgrid(*lines, indexing="ij")))


def find_axes(
    log_density: Callable[[Scales], FloatArray],
    domains: Sequence[tuple[float, float]],
    names: Sequence[str],
) -> list[Axis | None]:
    """Find the box that holds the posterior of the scales, by scans of ever smaller boxes.

    Raises
    ------
    IntegrationError
        If the posterior piles up at a scale of zero, or no box settles.
    """
    box = list(domains)
    for scan in range(_MAX_SCANS):
        grids = [_grid(*ends) for ends in box]
        density = _scan(log_density, grids)
        previous, box = (
            box,
            [
                _narrow(grid, _profile(density, axis), domain)
                for axis, (grid, domain) in enumerate(zip(grids, domains, strict=True))
            ],
        )
        if scan >= _SHRINKING:
            box = [
                (min(old[0], new[0]), max(old[1], new[1]))
                for old, new in zip(previous, box, strict=True)
            ]
        if all(map(_has_settled, previous, box)):
            return [
                _place(name, grid, density, axis, domain)
                for axis, (name, grid, domain) in enumerate(zip(names, grids, domains, strict=True))
            ]
    raise IntegrationError(
        f"no region that holds the posterior of the scales was found in {_MAX_SCANS} scans; "
        "look for readings far from all others, or give narrower priors."
    )


def build_rule(axis: Axis | None, known: float, n_nodes: int) -> Rule:
    """Return the rule of `n_nodes` nodes on an axis, or the one node of a known scale."""
    if axis is None:
        return Rule(None, np.array([known]), np.ones(1))
    x, weights = leggauss(n_nodes)
    return Rule(axis, axis.scale(x), weights * axis.slope(x))


def trace_density(rule: Rule, mass: FloatArray, n_points: int) -> tuple[FloatArray, FloatArray]:
    """Return values of a scale over its axis and the density there, each (n_points,)."""
    assert rule.axis is not None
    x = np.linspace(-1, 1, n_points)
    density = _interpolate(rule, x) @ mass / rule.axis.slope(x)
    return rule.axis.scale(x), np.maximum(density, 0)


def draw_scales(
    rules: Sequence[Rule], mass: FloatArray, draws: int, rng: np.random.Generator
) -> Scales:
    """Draw scales independently: the first from its marginal, each next given those before.

    Between its nodes the density is the polynomial that the quadrature rule integrates.
    """
    chosen = []
    rest = mass[None]
    for rule in rules:
        if rule.axis is None:
            chosen.append(np.full(draws, rule.values[0]))
            rest = rest[:, 0]
            continue
        line = rest.reshape(len(rest), len(rule.values), -1).sum(axis=2)
        x = _invert(rule, line, rng.random(draws))
        chosen.append(rule.axis.scale(x))
        weights = _interpolate(rule, x)[:, None, :]
        shape = rest.shape[2:]
        rest = (weights @ rest.reshape(len(rest), len(rule.values), -1)).reshape(draws, *shape)
    return Scales(*chosen)


def _grid(low: float, high: float) -> FloatArray:
    return np.geomspace(low, high, _SCAN) if low < high else np.array([low])


def _scan(log_density: Callable[[Scales], FloatArray], grids: list[FloatArray]) -> FloatArray:
    """Return the log density by the logarithms of the scales that are not known."""
    nodes = mesh(grids)
    density = log_density(nodes)
    for scale, grid in zip(nodes, grids, strict=True):
        if len(grid) > 1:
            density = density + np.log(scale)
    return density.reshape([len(grid) for grid in grids])


def _profile(density: FloatArray, axis: int) -> FloatArray:
    return np.asarray(np.moveaxis(density, axis, 0).reshape(density.shape[axis], -1).max(axis=1))


def _narrow(
    grid: FloatArray, profile: FloatArray, domain: tuple[float, float]
) -> tuple[float, float]:
    """Return the range that holds the density and its second moment, and a step either side.

    At most two thirds go at a time, for the profile of a coarse scan can mislead; where the
    density is high at an end, the range grows beyond it. A tail that only falls towards zero is
    cut where it is flat by the scale, since the rule goes on to zero.
    """
    if len(grid) == 1:
        return domain
    position = np.log(grid)
    high = np.zeros(len(grid), bool)
    for moment in (profile, profile + 2 * position):
        high |= moment > moment.max() - _DEPTH
    if not high.any():
        raise IntegrationError(OUT_OF_REACH)
    first, last = np.flatnonzero(high)[[0, -1]]
    width, step = position[-1] - position[0], position[1] - position[0]
    lower = position[first] - (step if first else width)
    upper = position[last] + (step if last < len(grid) - 1 else width)
    begins = int(np.argmax(profile > profile.max() - _BEGINS))
    if np.all(np.diff(profile[: begins + 1]) > _LEAST_RISE * step):
        lower = max(lower, position[begins] + math.log(_FLAT))
    lower = min(lower, position[0] + width / 3)
    upper = max(upper, position[-1] - width / 3)
    return max(math.exp(lower), domain[0]), min(math.exp(upper), domain[1])


def _has_settled(previous: tuple[float, float], ends: tuple[float, float]) -> bool:
    step = math.log(previous[1] / previous[0]) / (_SCAN - 1) if previous[0] < previous[1] else 0.0
    return step == 0 or all(
        abs(math.log(new / old)) < 1.01 * step for new, old in zip(ends, previous, strict=True)
    )


def _place(
    name: str,
    grid: FloatArray,
    density: FloatArray,
    axis: int,
    domain: tuple[float, float],
) -> Axis | None:
    """Choose the stretch from the last scan: the least scale at which the density changes.

    That is where the mass by the log scale begins, or where the density by scale has first fallen
    by half, as it does early if some readings are nearly fitted without error.
    """
    if len(grid) == 1:
        return None
    lines = np.moveaxis(density, axis, 0).reshape(len(grid), -1)
    marginal = logsumexp(lines, axis=1)
    rise = (marginal[1] - marginal[0]) / math.log(grid[1] / grid[0])
    if grid[0] <= domain[0] and rise < _LEAST_RISE:
        raise IntegrationError(
            f"the posterior of {name} piles up at 0, expected a density that is finite there: the "
            "effects can repeat the response without error, as they can if it is constant. "
            "Give more homes, fewer effects, or a KnownScale."
        )
    by_scale = marginal - np.log(grid)
    changes = marginal >= marginal.max() - math.log(2)
    changes |= by_scale < np.maximum.accumulate(by_scale) - math.log(2)
    stretch = grid[np.argmax(changes & (marginal > marginal.max() - _MATTERS))]
    lower, upper = math.asinh(grid[0] / stretch), math.asinh(grid[-1] / stretch)
    return Axis(stretch, 0.0 if lower < 4 * _FLAT else lower, upper)


def _interpolate(rule: Rule, x: FloatArray) -> FloatArray:
    """Return the matrix from the mass at the nodes to the density at x, shape (len(x), n)."""
    n_nodes = len(rule.values)
    degrees = np.arange(n_nodes)
    nodes, _ = leggauss(n_nodes)
    return np.asarray(
        (legvander(x, n_nodes - 1) * (degrees + 0.5)) @ legvander(nodes, n_nodes - 1).T
    )


def _invert(rule: Rule, mass: FloatArray, probability: FloatArray) -> FloatArray:
    """Return x at which each row's distribution function is its probability; one row serves all."""
    n_nodes = len(rule.values)
    x = np.linspace(-1, 1, _FINE)
    nodes, _ = leggauss(n_nodes)
    polynomials = legvander(x, n_nodes)
    integrals = (polynomials[:, 2:] - polynomials[:, :-2]) / 2  # [P(k+1) - P(k-1)] / 2, k >= 1
    integrals = np.column_stack([(x + 1) / 2, integrals])
    coefficients = mass @ legvander(nodes, n_nodes - 1)
    cumulative = coefficients @ integrals.T
    target = probability[:, None] * cumulative[:, -1:]
    above = np.clip((cumulative < target).sum(axis=1), 1, _FINE - 1)[:, None]
    rows = np.broadcast_to(cumulative, (len(probability), _FINE))
    upper, lower = (np.take_along_axis(rows, index, 1)[:, 0] for index in (above, above - 1))
    part = (target[:, 0] - lower) / (upper - lower)
    return np.asarray(x[above[:, 0] - 1] + np.clip(part, 0, 1) * (x[1] - x[0]))
