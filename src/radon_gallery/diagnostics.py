"""How far an approximation can be trusted: its ELBO, its importance weights, runs and iterates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
import xarray as xr

from radon_gallery._checks import require_count, require_type
from radon_gallery.comparison import posterior_dataset
from radon_gallery.editions import edition
from radon_gallery.inference import AdviFit

__all__ = [
    "AverageIterates",
    "Elbo",
    "estimate_elbo",
    "pareto_k",
    "pareto_k_error",
    "smooth_weights",
    "stack_runs",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elbo:
    """An estimate of the evidence lower bound of the whole survey.

    Parameters
    ----------
    log_weights : ndarray, shape (n_draws,), nats
        Log joint density of the data and each draw, less the log density of the approximation
        there. Their mean is the ELBO.
    """

    log_weights: FloatArray

    @property
    def value(self) -> float:
        """The estimate, nats."""
        return float(self.log_weights.mean())

    @property
    def standard_error(self) -> float:
        """Its Monte Carlo standard error, nats."""
        return float(self.log_weights.std(ddof=1) / np.sqrt(len(self.log_weights)))


def estimate_elbo(
    fit: AdviFit, model: pm.Model | None = None, *, draws: int = 2000, random_seed: int
) -> Elbo:
    """Estimate the ELBO of a fit on the whole survey.

    Two fits estimated with the same seed share their random numbers, so that the difference of
    their ELBOs is known more closely than either.

    Parameters
    ----------
    fit : AdviFit
        The fit.
    model : pymc.Model, optional
        The same model on the whole survey; by default the model that was fitted.
    draws : int
        Number of independent draws from the approximation, at least 2.
    random_seed : int
        Seed.

    Returns
    -------
    Elbo
        The estimate, its standard error and the log weights behind it.

    Raises
    ------
    TypeError
        If `fit` is no fit, `model` no PyMC model, or `draws` or `random_seed` no whole number.
    ValueError
        If the model is on a minibatch, has other variables than the fitted one, or `draws` or
        `random_seed` is too small.

    References
    ----------
    Kucukelbir et al. (2017), eq. (5) [kucukelbir2017automatic]; Blei et al. (2017), eq. (13)
    [blei2017variational].
    """
    require_type("fit", fit, AdviFit)
    require_type("model", model, pm.Model, NoneType)
    require_count("draws", draws, at_least=2)
    whole = fit.model if model is None else model
    if edition.has_minibatch(whole):
        raise ValueError(
            "the ELBO is that of the whole survey, and this model is on a minibatch; give the "
            "model of survey.rows as well."
        )
    fit.require_same_variables(whole)
    unconstrained = fit.draw_unconstrained(draws, random_seed=random_seed)
    return Elbo(edition.log_density(whole, unconstrained) - fit.log_density(unconstrained))


def pareto_k(elbo: Elbo) -> float:
    """Estimate how heavy the tail of the importance weights is.

    Below 0.7 the approximation is close enough that importance sampling can correct it. Above, it
    would take impracticably many draws: the approximation misses regions that matter, or is too
    narrow in some direction.

    Parameters
    ----------
    elbo : Elbo
        An estimate with at least 100 draws.

    Returns
    -------
    float
        The shape k of the generalised Pareto distribution fitted to the largest weights; minus
        infinity if all weights are the same.

    Raises
    ------
    TypeError
        If `elbo` is no estimate.
    ValueError
        If there are fewer than 100 draws.

    References
    ----------
    Yao et al. (2018), section 3 [yao2018yes]; Vehtari et al. (2024) [vehtari2024pareto].
    """
    return _smooth(elbo)[1]


def smooth_weights(elbo: Elbo) -> FloatArray:
    """Return importance weights that correct the draws of an approximation, Pareto smoothed.

    Weighted by them the draws stand for the posterior, as far as `pareto_k` allows.

    Parameters
    ----------
    elbo : Elbo
        An estimate with at least 100 draws.

    Returns
    -------
    ndarray, shape (n_draws,)
        Weights that sum to 1, in the order of ``fit.sample(draws, random_seed=…)`` with the number
        of draws and the seed that `estimate_elbo` was given.

    Raises
    ------
    TypeError
        If `elbo` is no estimate.
    ValueError
        If there are fewer than 100 draws.

    References
    ----------
    Vehtari et al. (2024), algorithm 1 [vehtari2024pareto].
    """
    return np.asarray(np.exp(_smooth(elbo)[0]))


def _smooth(elbo: Elbo) -> tuple[FloatArray, float]:
    require_type("elbo", elbo, Elbo)
    n_draws = len(elbo.log_weights)
    if n_draws < 100:
        raise ValueError(f"k needs at least 100 draws, got {n_draws}; give estimate_elbo more.")
    if np.ptp(elbo.log_weights) == 0:  # the posterior itself: no tail at all
        return np.full(n_draws, -np.log(n_draws)), -np.inf
    smoothed, k = edition.smooth_weights(elbo.log_weights)
    return smoothed, k


def pareto_k_error(elbo: Elbo) -> float:
    """Estimate the standard error of `pareto_k`, which comes from a small share of the draws.

    Parameters
    ----------
    elbo : Elbo
        An estimate with at least 100 draws.

    Returns
    -------
    float
        The large-sample standard error, (1 + k) over the root of the number of draws in the tail.

    Raises
    ------
    TypeError
        If `elbo` is no estimate.
    ValueError
        If there are fewer than 100 draws.

    References
    ----------
    Hosking and Wallis (1987), section 3 [hosking1987parameter]; Vehtari et al. (2024), for the
    tail's size [vehtari2024pareto].
    """
    k, n_draws = pareto_k(elbo), len(elbo.log_weights)
    n_tail = np.ceil(min(0.2 * n_draws, 3 * np.sqrt(n_draws)))
    return float((1 + max(k, -0.5)) / np.sqrt(n_tail))


def stack_runs(runs: Sequence[Any]) -> xr.Dataset:
    """Put draws of several runs beside one another as if each were a chain.

    R-hat over the chains of the result tells whether the runs agree on the answer.

    Parameters
    ----------
    runs : sequence of arviz.InferenceData or xarray.Dataset
        Draws of at least two runs of the same fit with different seeds, one chain each.

    Returns
    -------
    xarray.Dataset, dimensions (chain, draw, …)
        The draws.

    Raises
    ------
    TypeError
        If a run has no posterior draws.
    ValueError
        If there are fewer than two runs, one has several chains, or they differ in draws.

    References
    ----------
    Vehtari et al. (2021) [vehtari2021rank].
    """
    draws = [posterior_dataset(run) for run in runs]
    sizes = [(run.sizes["chain"], run.sizes["draw"]) for run in draws]
    if len(draws) < 2 or set(sizes) != {(1, sizes[0][1])}:
        raise ValueError(
            "expected at least two runs of one chain each and as many draws; got (chains, draws) "
            f"of {sizes}."
        )
    numbered = [run.assign_coords(chain=[number]) for number, run in enumerate(draws)]
    return xr.concat(numbered, dim="chain", combine_attrs="drop")


class AverageIterates:
    """A callback that stops a fit when its iterates have settled, and leaves their average.

    Under a constant learning rate the parameters of the approximation end up wandering around the
    optimum. The rule looks at the later half of the iterates, one every 100 steps. They have
    settled when their two halves agree (R-hat) and when their average is known closely against the
    approximation's own standard deviations (Monte Carlo error by batch means). The average is
    nearer to the optimum than any single iterate.

    Parameters
    ----------
    r_hat : float
        Largest R-hat over all parameters at which the iterates count as settled.
    tolerance : float
        Largest Monte Carlo error of an averaged mean, in standard deviations of the approximation.
    every : int
        Number of iterates between two checks.

    Raises
    ------
    TypeError
        If `every` is not a whole number.
    ValueError
        If `every` is below 1, `r_hat` is not above 1 or `tolerance` is not positive.

    References
    ----------
    Dhaka et al. (2020), algorithm 1 [dhaka2020robust], whose limit for R-hat is the default here.
    """

    _BATCHES = 10

    def __init__(self, *, r_hat: float = 1.2, tolerance: float = 0.1, every: int = 10) -> None:
        require_count("every", every)
        if not (r_hat > 1 and tolerance > 0):
            raise ValueError(
                f"expected r_hat above 1 and a positive tolerance, got {r_hat!r}, {tolerance!r}."
            )
        self.r_hat = r_hat
        self.tolerance = tolerance
        self.every = every
        self.history: list[tuple[int, float, float]] = []
        self._iterates: list[list[FloatArray]] = []
        self._approximation: Any = None

    def __call__(self, approximation: Any, _losses: FloatArray, step: int) -> None:
        """Record the iterate; raise StopIteration when the iterates have settled."""
        if approximation is not self._approximation:  # another fit has begun
            self.history, self._iterates = [], []
        self._approximation = approximation
        parameters = approximation.params
        self._iterates.append([parameter.get_value() for parameter in parameters])
        kept = len(self._iterates) // 2
        if len(self._iterates) % self.every or kept < 2 * self._BATCHES:
            return
        late = [np.stack(values) for values in zip(*self._iterates[-kept:], strict=True)]
        r_hat = max(float(split_r_hat(values).max()) for values in late)
        sd = approximation.std.eval()
        error = float(np.max(batch_means_error(late[0], self._BATCHES) / sd))
        self.history.append((step, r_hat, error))
        if r_hat < self.r_hat and error < self.tolerance:
            for parameter, values in zip(parameters, late, strict=True):
                parameter.set_value(values.mean(axis=0).astype(values.dtype))
            raise StopIteration(
                f"settled after {step:,} steps: R-hat {r_hat:.2f}, Monte Carlo error {error:.3f} sd"
            )


def split_r_hat(series: FloatArray) -> FloatArray:
    """Return R-hat between the halves of each series, shape (n, …) to (…).

    ArviZ's R-hat takes one series at a time; here are hundreds, at every check.
    """
    half = len(series) // 2
    halves = np.stack([series[:half], series[half : 2 * half]])
    within = halves.var(axis=1, ddof=1).mean(axis=0)
    between = halves.mean(axis=1).var(axis=0, ddof=1)
    return np.asarray(np.sqrt((half - 1) / half + between / within))


def batch_means_error(series: FloatArray, batches: int) -> FloatArray:
    """Return the Monte Carlo error of the mean of each series, shape (n, …) to (…)."""
    size = len(series) // batches
    means = series[: size * batches].reshape(batches, size, *series.shape[1:]).mean(axis=1)
    return np.asarray(means.std(axis=0, ddof=1) / np.sqrt(batches))
