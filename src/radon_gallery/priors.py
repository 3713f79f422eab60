"""Priors as plain values, read by the PyMC models and by the exact answer alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from radon_gallery._checks import require_number, require_type

__all__ = [
    "WEAK",
    "WIDE",
    "HalfNormalPrior",
    "NormalPrior",
    "Priors",
    "ScalePrior",
    "UniformPrior",
    "get_priors",
]


def _require_positive(owner: str, name: str, value: float) -> None:
    require_number(f"{name} of {owner}", value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"{owner} needs a positive, finite {name}, got {value!r}; "
            f"give {name} in units of log radon."
        )


@dataclass(frozen=True)
class NormalPrior:
    """Normal prior of an unbounded effect.

    Parameters
    ----------
    mean : float
        Prior mean, log pCi/L.
    sd : float
        Prior standard deviation, log pCi/L.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If `sd` is not positive and finite, or `mean` is not finite.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _require_positive("NormalPrior", "sd", self.sd)
        require_number("mean of NormalPrior", self.mean)
        if not math.isfinite(self.mean):
            raise ValueError(f"NormalPrior needs a finite mean, got {self.mean!r}.")


@dataclass(frozen=True)
class UniformPrior:
    """Uniform prior of a scale on the interval from 0 to `upper`.

    Parameters
    ----------
    upper : float
        Upper end of the interval, log pCi/L.

    Raises
    ------
    TypeError
        If `upper` is not a number.
    ValueError
        If `upper` is not positive and finite.
    """

    upper: float

    def __post_init__(self) -> None:
        _require_positive("UniformPrior", "upper", self.upper)


@dataclass(frozen=True)
class HalfNormalPrior:
    """Half-normal prior of a scale.

    Parameters
    ----------
    sd : float
        Standard deviation of the normal before it is folded, log pCi/L.

    Raises
    ------
    TypeError
        If `sd` is not a number.
    ValueError
        If `sd` is not positive and finite.
    """

    sd: float

    def __post_init__(self) -> None:
        _require_positive("HalfNormalPrior", "sd", self.sd)


ScalePrior = UniformPrior | HalfNormalPrior


@dataclass(frozen=True)
class Priors:
    """The priors of one radon model.

    Parameters
    ----------
    effect : NormalPrior
        Prior of every effect that no group distribution governs: the group means `mu_alpha`
        and `mu_beta`, the pooled intercept and slope, the unpooled county effects.
    scale : UniformPrior or HalfNormalPrior
        Prior of the group standard deviations `sigma_alpha` and `sigma_beta`.
    noise : UniformPrior or HalfNormalPrior
        Prior of the residual standard deviation `eps`.

    Raises
    ------
    TypeError
        If a prior is of another kind.
    """

    effect: NormalPrior
    scale: ScalePrior
    noise: ScalePrior

    def __post_init__(self) -> None:
        require_type("effect of Priors", self.effect, NormalPrior)
        require_type("scale of Priors", self.scale, UniformPrior, HalfNormalPrior)
        require_type("noise of Priors", self.noise, UniformPrior, HalfNormalPrior)


#: The recipe's priors: Normal(0, 100²) effects, Uniform(0, 100) scales.
WIDE: Final = Priors(NormalPrior(0.0, 100.0**2), UniformPrior(100.0), UniformPrior(100.0))

#: Weakly informative priors, on the scale on which log radon varies.
WEAK: Final = Priors(NormalPrior(0.0, 5.0), HalfNormalPrior(1.0), HalfNormalPrior(1.0))

_KNOWN: Final = {"wide": WIDE, "weak": WEAK}


def get_priors(priors: str | Priors) -> Priors:
    """Return the priors of a name, or the priors given.

    Parameters
    ----------
    priors : str or Priors
        ``"wide"``, ``"weak"``, or priors of the caller's own.

    Returns
    -------
    Priors
        The priors.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.
    TypeError
        If `priors` is neither a name nor a `Priors`.
    """
    if isinstance(priors, Priors):
        return priors
    if not isinstance(priors, str):
        raise TypeError(f"priors must be a name or a Priors, got {type(priors).__name__}.")
    if priors not in _KNOWN:
        raise ValueError(f"unknown priors {priors!r}; choose one of {sorted(_KNOWN)}.")
    return _KNOWN[priors]
