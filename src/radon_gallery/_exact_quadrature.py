"""The quadrature over the scales: rules refined until two agree, and what the finest gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import leggauss
from scipy.interpolate import CubicSpline

from radon_gallery._checks import FloatArray
from radon_gallery._exact_gaussian import GaussianModel, condition, describe_effects
from radon_gallery._exact_model import Problem, Scales, log_prior
from radon_gallery._exact_rule import (
    OUT_OF_REACH,
    IntegrationError,
    Rule,
    build_rule,
    find_axes,
    find_domain,
    mesh,
    trace_density,
)

__all__ = ["Level", "find_quantiles", "integrate", "refine", "trace_curves"]

BoolArray = npt.NDArray[np.bool_]

_LEVELS: Final = (20, 30, 45, 68, 102)  # nodes a scale; each level refines the one before
_SETTLED: Final = 5e-5  # change, in nats and in posterior sds, at which refining stops
_TOLERATED: Final = 1e-3  # change with which the last level is still an answer
_CUT: Final = 1e-5  # density by node at the ends of the rule, over that at the peak
_NEGLIGIBLE: Final = 1e-11  # share of a node that is left out of the moments of the effects
_INVISIBLE: Final = 1e-8  # mass of a node that is left out of the densities of the effects
_POINTS: Final = 129  # of each marginal density
_REACH: Final = 8.0  # sds of an effect that its density is traced over, either side
_CHUNK: Final = 1024  # nodes at a time


class Level(NamedTuple):
    """What one rule gives; means and sds are of the unknown scales, then of the effects."""

    rules: list[Rule]
    mass: FloatArray  # posterior probability of each node, (n, n, n)
    log_evidence: float
    mean: FloatArray  # (n_parameters,)
    sd: FloatArray  # (n_parameters,)


def refine(problem: Problem, model: GaussianModel) -> tuple[Level, Level]:
    """Return the last two levels, the finer one last."""

    def log_density(scales: Scales) -> FloatArray:
        return condition(model, scales).log_likelihood + _log_priors(problem, scales)

    domains = [find_domain(spec, model.spread, model.reach) for spec in problem.scales]
    axes = find_axes(log_density, domains, Scales._fields)
    previous: Level | None = None
    change = np.inf
    for n_nodes in _LEVELS:
        rules = [
            build_rule(axis, known, n_nodes) for axis, (known, _) in zip(axes, domains, strict=True)
        ]
        level = integrate(problem, model, rules)
        if previous is not None:
            change = max(
                abs(level.log_evidence - previous.log_evidence),
                np.abs((level.mean - previous.mean) / level.sd).max(),
                np.abs(level.sd / previous.sd - 1).max(),
            )
            if change < (_TOLERATED if n_nodes == _LEVELS[-1] else _SETTLED):
                _require_whole(level, domains)
                return previous, level
        previous = level
    raise IntegrationError(
        f"refining the rule to {_LEVELS[-1]} nodes a scale still moved the answer by {change:.0e} "
        f"nats or posterior sds, expected at most {_TOLERATED:.0e}; give narrower priors or a "
        "KnownScale."
    )


def _require_whole(level: Level, domains: list[tuple[float, float]]) -> None:
    """Raise an IntegrationError if the posterior goes on beyond an end of the rule."""
    for position, (rule, domain) in enumerate(zip(level.rules, domains, strict=True)):
        if rule.axis is None:
            continue
        line = np.moveaxis(level.mass, position, 0).sum(axis=(1, 2))
        density = line / leggauss(len(line))[1]
        ends = np.array(
            [rule.axis.lower > 0, rule.axis.scale(np.ones(1))[0] < domain[1] * (1 - 1e-9)]
        )
        left = (density[[0, -1]] / density.max())[ends]
        if np.any(left > _CUT):
            raise IntegrationError(
                f"the range found for {Scales._fields[position]} cuts the posterior off at "
                f"{left.max():.0e} of its height, expected at most {_CUT:.0e}; narrow the priors."
            )


def _log_priors(problem: Problem, scales: Scales) -> FloatArray:
    total = np.zeros_like(scales.eps)
    for spec, scale in zip(problem.scales, scales, strict=True):
        total += log_prior(spec, scale)
    return total


def integrate(problem: Problem, model: GaussianModel, rules: list[Rule]) -> Level:
    nodes = mesh([rule.values for rule in rules])
    weights = np.prod(mesh([rule.weights for rule in rules]), axis=0)
    log_density = condition(model, nodes).log_likelihood + _log_priors(problem, nodes)
    peak = log_density.max()
    mass = weights * np.exp(log_density - peak)
    total = mass.sum()
    mass /= total

    unknown = [nodes[position] for position in problem.unknown]
    first = np.array([mass @ scale for scale in unknown])
    spread = np.array(
        [mass @ (scale - mean) ** 2 for scale, mean in zip(unknown, first, strict=True)]
    )
    if not np.all(spread > 0):
        raise IntegrationError(OUT_OF_REACH)
    # A node counts for the variances too: those of effects grow with the scales.
    weight = mass.copy()
    for scale, mean, variance in zip(unknown, first, spread, strict=True):
        weight += mass * (scale - mean) ** 2 / variance
    # Deviations from the mean at the heaviest node: little cancels in the variance.
    top = Scales(*(scale[[mass.argmax()]] for scale in nodes))
    centre = describe_effects(model, top, condition(model, top))[0][0]
    second, third = np.zeros_like(centre), np.zeros_like(centre)
    for part, mean, sd in _visit_nodes(model, nodes, mass, weight > _NEGLIGIBLE):
        second += part @ (mean - centre)
        third += part @ (sd**2 + (mean - centre) ** 2)
    return Level(
        rules,
        mass.reshape([len(rule.values) for rule in rules]),
        float(peak + np.log(total)),
        np.concatenate([first, centre + second]),
        np.sqrt(np.concatenate([spread, third - second**2])),
    )


def _visit_nodes(
    model: GaussianModel, nodes: Scales, mass: FloatArray, wanted: BoolArray
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield masses (J,), means and sds (J, n_effects) of the effects, of a few nodes at a time."""
    chosen = np.flatnonzero(wanted)
    chosen = chosen[np.argsort(-mass[chosen])]
    for start in range(0, len(chosen), _CHUNK):
        some = chosen[start : start + _CHUNK]
        scales = Scales(*(scale[some] for scale in nodes))
        yield (mass[some], *describe_effects(model, scales, condition(model, scales)))


def trace_curves(problem: Problem, model: GaussianModel, coarse: Level, fine: Level) -> FloatArray:
    """Return values and densities of every parameter, shape (2, n_parameters, n_points).

    The effects' densities are mixtures of normals over the nodes; those of the coarser rule do.
    """
    curves = []
    for position in problem.unknown:
        others = tuple(axis for axis in range(3) if axis != position)
        line = fine.mass.sum(axis=others)
        curves.append(trace_density(fine.rules[position], line, _POINTS))

    nodes = mesh([rule.values for rule in coarse.rules])
    mass = coarse.mass.ravel()
    parts = list(_visit_nodes(model, nodes, mass, mass > _INVISIBLE))
    mass, mean, sd = (np.concatenate(part) for part in zip(*parts, strict=True))
    mass = mass / mass.sum()
    for column in range(mean.shape[1]):
        at = column + len(problem.unknown)
        curves.append(
            _trace_mixture(mass, mean[:, column], sd[:, column], fine.mean[at], fine.sd[at])
        )
    return np.stack(curves, axis=1)


def _trace_mixture(
    mass: FloatArray, mean: FloatArray, sd: FloatArray, centre: float, width: float
) -> tuple[FloatArray, FloatArray]:
    """Return points, closest where the narrow components are, and the mixture's density there."""
    height = mass / sd
    core = height.sum() ** -1
    middle = core * (height @ mean)
    reach = np.arcsinh((_REACH * width + abs(centre - middle)) / core)
    steps = np.sinh(np.linspace(-reach, reach, _POINTS))
    # Single precision, which is several times faster, does for numbers counted from the middle.
    offset = (((mean - middle) / core).astype(np.float32), (core / sd).astype(np.float32))
    z = (steps.astype(np.float32)[:, None] - offset[0]) * offset[1]
    density = np.exp(-0.5 * z**2) @ height.astype(np.float32) / np.sqrt(2 * np.pi)
    return middle + core * steps, density.astype(np.float64)


def find_quantiles(curves: FloatArray, probability: FloatArray) -> FloatArray:
    """Return the quantiles under each density, shape (n_probabilities, n_parameters)."""
    values, densities = curves
    position = np.arange(_POINTS)
    value = CubicSpline(position, values, axis=1)
    distribution = CubicSpline(position, densities * value(position, 1), axis=1).antiderivative()
    fine = np.linspace(0, _POINTS - 1, 16 * (_POINTS - 1) + 1)
    cumulative = np.maximum.accumulate(distribution(fine), axis=1)
    rows = zip(cumulative, value(fine), strict=True)
    return np.stack([np.interp(probability * row[-1], row, at) for row, at in rows], axis=1)
