"""The models of the exact answer: what a caller asks for, checked, and its joint density.

All ways of pooling are one model with other scales. The effects of counties have a centre and a
scale: hierarchical ones a group mean and an unknown scale, unpooled ones the mean and the sd of
their prior, and pooled ones are a fixed effect, with county effects of scale zero, left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from radon_gallery._checks import (
    FloatArray,
    finite_numbers,
    listed,
    require_choice,
    require_number,
    require_same_length,
    require_type,
)
from radon_gallery.data import Survey
from radon_gallery.priors import (
    HalfNormalPrior,
    NormalPrior,
    Priors,
    ScalePrior,
    UniformPrior,
    get_priors,
)

__all__ = [
    "CountyEffect",
    "FixedEffect",
    "KnownScale",
    "Pooling",
    "Prior",
    "Problem",
    "Scales",
    "log_joint",
    "log_prior",
    "specify",
]

#: How the counties share an effect; `hierarchical` is partial pooling.
Pooling = Literal["pooled", "unpooled", "hierarchical", "absent"]

# The parameter that an effect's normal prior is of, by the way in which counties share it.
_CENTRE: Final = {"pooled": "{}", "unpooled": "{}", "hierarchical": "mu_{}"}
_WAYS: Final = (*_CENTRE, "absent")
_TAKEN: Final = (
    *("alpha", "beta", "mu_alpha", "mu_beta", "sigma_alpha", "sigma_beta", "eps"),
    *("county", "chain", "draw", "statistic", "quantile", "curve", "point"),
)


@dataclass(frozen=True)
class KnownScale:
    """A scale that is known, and not integrated over.

    Parameters
    ----------
    value : float
        Standard deviation, log pCi/L: positive, or 0 for county effects that are all alike.

    Raises
    ------
    TypeError
        If `value` is not a number.
    ValueError
        If `value` is negative or not finite.
    """

    value: float

    def __post_init__(self) -> None:
        require_number("value of KnownScale", self.value)
        if not (math.isfinite(self.value) and self.value >= 0):
            raise ValueError(
                f"KnownScale needs a finite value of at least 0, got {self.value!r}; "
                "give it in units of log radon."
            )


ScaleSpec = ScalePrior | KnownScale
Prior = NormalPrior | ScaleSpec

_P = TypeVar("_P", NormalPrior, ScaleSpec)
_NORMAL: Final = (NormalPrior,)
_SCALE: Final = (UniformPrior, HalfNormalPrior, KnownScale)


class Scales(NamedTuple):
    """Standard deviations at J nodes, each of shape (J,), log pCi/L."""

    sigma_alpha: FloatArray
    sigma_beta: FloatArray
    eps: FloatArray


class FixedEffect(NamedTuple):
    """An effect that all homes share: its column of the design, shape (n_obs,), and its prior."""

    name: str
    column: FloatArray
    prior: NormalPrior


class CountyEffect(NamedTuple):
    """An effect of each county, and its centre: a fixed effect's name, or a known value."""

    name: str
    centre: str | float


class Problem(NamedTuple):
    """A survey and a model of it."""

    survey: Survey
    fixed: tuple[FixedEffect, ...]
    effects: tuple[CountyEffect | None, CountyEffect | None]  # intercepts, floor effects
    scales: tuple[ScaleSpec, ScaleSpec, ScaleSpec]  # in the order of `Scales`

    @property
    def unknown(self) -> tuple[int, ...]:
        """Positions in `scales` of those to integrate over."""
        return tuple(
            position
            for position, spec in enumerate(self.scales)
            if not isinstance(spec, KnownScale)
        )


def specify(
    survey: Survey,
    priors: str | Priors,
    alpha: Pooling,
    beta: Pooling,
    covariates: Mapping[str, npt.ArrayLike] | None,
    overrides: Mapping[str, Prior] | None,
) -> Problem:
    """Check what the caller asks for, and write it as one model.

    Raises
    ------
    TypeError
        If an argument or a name is of a wrong type, or an override is not a prior of the kind that
        its parameter has.
    ValueError
        If a name is unknown or taken, or a covariate is of another length or not finite.
    """
    require_type("survey", survey, Survey)
    for name, given in {"covariates": covariates, "overrides": overrides}.items():
        require_type(name, {} if given is None else given, Mapping)
    chosen = get_priors(priors)
    ways = {"alpha": alpha, "beta": beta}
    for name, way in ways.items():
        require_choice(name, way, _WAYS)
    extra = {name: finite_numbers(name, values) for name, values in (covariates or {}).items()}
    for name, values in extra.items():
        require_type(f"the name of covariate {name!r}", name, str)
        if name in _TAKEN:
            raise ValueError(f"a covariate may not be called {name!r}; give it another name.")
        require_same_length(**{name: values}, log_radon=survey.log_radon)

    centres = {name: _CENTRE[way].format(name) for name, way in ways.items() if way != "absent"}
    partial = [name for name, way in ways.items() if way == "hierarchical"]
    overrides = overrides or {}
    normals = _override(dict.fromkeys((*centres.values(), *extra), chosen.effect), overrides)
    scales: dict[str, ScaleSpec] = {f"sigma_{name}": chosen.scale for name in partial}
    scales = _override(scales | {"eps": chosen.noise}, overrides)
    unknown = [name for name in overrides if name not in normals and name not in scales]
    if unknown:
        raise ValueError(
            f"overrides of {listed(unknown)} match no parameter; this model has "
            f"{listed([*normals, *scales])}."
        )
    if scales["eps"] == KnownScale(0.0):
        raise ValueError("eps must be positive, got KnownScale(0.0); give the noise some spread.")

    columns = {"alpha": np.ones(survey.n_obs), "beta": survey.floor.astype(np.float64)}
    fixed = [
        FixedEffect(centres[name], columns[name], normals[centres[name]])
        for name in centres
        if ways[name] != "unpooled"
    ]
    fixed += [FixedEffect(name, values, normals[name]) for name, values in extra.items()]
    effects: list[CountyEffect | None] = [None, None]
    specs: list[ScaleSpec] = [KnownScale(0.0), KnownScale(0.0)]
    for position, (name, way) in enumerate(ways.items()):
        if way == "unpooled":
            effects[position] = CountyEffect(name, normals[name].mean)
            specs[position] = KnownScale(normals[name].sd)
        elif way == "hierarchical":
            effects[position] = CountyEffect(name, centres[name])
            specs[position] = scales[f"sigma_{name}"]
    return Problem(
        survey, tuple(fixed), (effects[0], effects[1]), (specs[0], specs[1], scales["eps"])
    )


def log_prior(spec: ScaleSpec, values: FloatArray) -> FloatArray:
    """Return the log density of a scale's prior, nats; 0 for a known scale."""
    if isinstance(spec, KnownScale):
        return np.zeros_like(values)
    if isinstance(spec, UniformPrior):
        inside, density = values <= spec.upper, np.full_like(values, -math.log(spec.upper))
    else:
        inside = np.ones_like(values, bool)
        density = math.log(2) + norm.logpdf(values, 0, spec.sd)
    return np.where((values > 0) & inside, density, -np.inf)


def log_joint(
    survey: Survey,
    values: Mapping[str, npt.ArrayLike],
    *,
    priors: str | Priors = "wide",
    alpha: Pooling = "hierarchical",
    beta: Pooling = "hierarchical",
    covariates: Mapping[str, npt.ArrayLike] | None = None,
    overrides: Mapping[str, Prior] | None = None,
) -> float:
    """Return the log density of the responses and all parameters at one point, nats.

    It is what the log-probability of a probabilistic program's model should be, before any change
    of variables.

    Parameters
    ----------
    survey : Survey
        The data.
    values : mapping of str to array_like, log pCi/L
        A value of each parameter of `exact_posterior`: scalars, and shape (n_county,) for the
        effects of counties. Others are ignored.
    priors : str or Priors
        Priors, or the name of some.
    alpha, beta : {"pooled", "unpooled", "hierarchical", "absent"}
        How the counties share the intercept, and the effect of the first floor.
    covariates : mapping of str to array_like, shape (n_obs,), optional
        Further fixed effects by name, one value a home.
    overrides : mapping of str to prior, optional
        Priors of single parameters by name.

    Returns
    -------
    float
        The log density; minus infinity where a scale is 0 or outside its prior's support.

    Raises
    ------
    TypeError
        If an argument is of a wrong type.
    ValueError
        If the model is not one (see `exact_posterior`), a value is missing or of a wrong shape, or
        the scale of a group is known to be 0.

    References
    ----------
    [gelman2007data], eq. (13.1), without the correlation of a county's two effects.
    """
    problem = specify(survey, priors, alpha, beta, covariates, overrides)
    shapes: dict[str, tuple[int, ...]] = {effect.name: () for effect in problem.fixed}
    shapes |= {Scales._fields[position]: () for position in problem.unknown}
    shapes |= {effect.name: (survey.n_county,) for effect in problem.effects if effect}
    point = {name: np.asarray(values[name], float) for name in shapes if name in values}
    wrong = [
        name for name, shape in shapes.items() if name not in point or point[name].shape != shape
    ]
    if wrong:
        raise ValueError(
            f"values must hold {listed(shapes)}, county effects of shape ({survey.n_county},) and "
            f"the others scalars; missing or of another shape: {listed(wrong)}."
        )
    if any(
        effect and problem.scales[i] == KnownScale(0.0) for i, effect in enumerate(problem.effects)
    ):
        raise ValueError(
            "the effects of counties have no density if their scale is known to be 0; "
            "pool them, or give a positive KnownScale."
        )
    total, mean = 0.0, np.zeros(survey.n_obs)
    for name, spec in zip(Scales._fields, problem.scales, strict=True):
        if isinstance(spec, KnownScale):
            point[name] = np.asarray(spec.value)
        total += float(log_prior(spec, point[name]))
    if total == -math.inf:
        return total
    centres = [effect.centre for effect in problem.effects if effect]
    for name, column, prior in problem.fixed:
        if name not in centres:  # group means act through the counties' effects
            mean += point[name] * column
        total += float(norm.logpdf(point[name], prior.mean, prior.sd))
    for effect, slope, scale in zip(
        problem.effects, (np.ones(survey.n_obs), survey.floor), Scales._fields[:2], strict=True
    ):
        if effect:
            mean += point[effect.name][survey.county_idx] * slope
            centre = point[effect.centre] if isinstance(effect.centre, str) else effect.centre
            total += float(norm.logpdf(point[effect.name], centre, point[scale]).sum())
    return total + float(norm.logpdf(survey.log_radon, mean, point["eps"]).sum())


def _override(defaults: dict[str, _P], overrides: Mapping[str, Prior]) -> dict[str, _P]:
    """Return the defaults, those replaced that an override of the same kind names."""
    chosen = dict(defaults)
    for name, default in defaults.items():
        kinds = next(kinds for kinds in (_NORMAL, _SCALE) if isinstance(default, kinds))
        prior = overrides.get(name, default)
        if not isinstance(prior, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"the prior of {name} must be a {wanted}, got {prior!r}.")
        chosen[name] = cast(_P, prior)
    return chosen
