"""Fitting: ADVI from minibatches or the whole survey, and NUTS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pymc as pm
from scipy.linalg import solve_triangular
from tqdm import tqdm

from radon_gallery._checks import listed, require_choice, require_count, require_type
from radon_gallery._interrupts import interrupts_held
from radon_gallery.editions import edition

__all__ = ["METHODS", "AdviFit", "DecayingAdam", "fit_advi", "sample_nuts"]

FloatArray = npt.NDArray[np.float64]

#: The known families of approximations.
METHODS: Final = ("meanfield", "fullrank")

Optimiser = Callable[..., Mapping[Any, Any]]
Callback = Callable[[Any, FloatArray, int], None]

#: Steps between two calls of the callbacks and two changes of the learning rate.
STEPS_A_CALL: Final = 100


@dataclass(frozen=True)
class DecayingAdam:
    """Adam whose learning rate falls geometrically from the first step to the last.

    A constant rate leaves the parameters wandering around the optimum by an amount that grows with
    the rate; a small one takes long to get there. Falling from large to small does both.

    Parameters
    ----------
    initial : float
        Learning rate of the first step.
    final : float
        Learning rate of the last step, at most `initial`.

    Raises
    ------
    ValueError
        If the rates are not positive, or the last is larger than the first.

    References
    ----------
    Kingma and Ba (2015) [kingma2015adam]; Robbins and Monro (1951) on why the steps must shrink
    [robbins1951stochastic].
    """

    initial: float = 0.02
    final: float = 0.00002

    def __post_init__(self) -> None:
        if not 0 < self.final <= self.initial < np.inf:
            raise ValueError(
                "learning rates must be positive and not grow, 0 < final <= initial; "
                f"got initial={self.initial!r} and final={self.final!r}."
            )

    def rate(self, progress: float) -> float:
        """Return the learning rate when the share `progress` of all steps, 0 to 1, is done."""
        return float(self.initial * (self.final / self.initial) ** progress)


_DEFAULTS: Final = {"meanfield": DecayingAdam(), "fullrank": DecayingAdam(0.001, 0.00001)}
_DEFAULT_STEPS: Final = {"meanfield": 40_000, "fullrank": 80_000}


@dataclass(frozen=True, eq=False)
class AdviFit:
    """A Gaussian approximation and what happened on the way to it.

    Parameters
    ----------
    approximation : pymc.Approximation
        PyMC's own object, for whatever PyMC can do with it.
    model : pymc.Model
        The model that was fitted.
    mean : ndarray, shape (n_dim,)
        Mean of the approximation in the unconstrained space.
    factor : ndarray, shape (n_dim,) or (n_dim, n_dim)
        Standard deviations of a mean-field approximation, or the lower triangular factor of a
        full-rank one's covariance.
    losses : ndarray, shape (n_steps,), nats
        Negative ELBO of each step, one noisy estimate each, on the scale of the full data.
    seconds : float
        Time the steps took.
    compile_seconds : float
        Time that building and compiling took before the first step.
    stop_reason : str
        Why it stopped.
    random_seed : int
        The seed it was given.
    _run : object
        What `resume` goes on with.
    """

    approximation: Any
    model: pm.Model
    mean: FloatArray
    factor: FloatArray
    losses: FloatArray
    seconds: float
    compile_seconds: float
    stop_reason: str
    random_seed: int
    _run: _Run | None = None

    def __repr__(self) -> str:
        """Tell the family and how the fit ended: the numbers themselves would fill pages."""
        return f"<AdviFit: {self.method}, {self.stop_reason}>"

    @property
    def method(self) -> str:
        """Family of the approximation; of a full-rank fit interrupted early, ``"meanfield"``."""
        return METHODS[self.factor.ndim - 1]

    @property
    def steps(self) -> int:
        """Number of steps taken."""
        return len(self.losses)

    @property
    def sd(self) -> FloatArray:
        """Standard deviations in the unconstrained space, shape (n_dim,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def covariance(self) -> FloatArray:
        """Covariance in the unconstrained space, shape (n_dim, n_dim)."""
        if self.factor.ndim == 1:
            return np.diag(self.factor**2)
        return self.factor @ self.factor.T

    def draw_unconstrained(self, draws: int, *, random_seed: int) -> FloatArray:
        """Draw from the approximation in the unconstrained space.

        Parameters
        ----------
        draws : int
            Number of independent draws.
        random_seed : int
            Seed.

        Returns
        -------
        ndarray, shape (draws, n_dim)
            The draws; columns follow the model's value variables.

        Raises
        ------
        TypeError, ValueError
            If `draws` or `random_seed` is not a whole number, or too small.
        """
        require_count("draws", draws)
        require_count("random_seed", random_seed, at_least=0)
        noise = np.random.default_rng(random_seed).standard_normal((draws, len(self.mean)))
        if self.factor.ndim == 1:
            return self.mean + self.factor * noise
        return self.mean + noise @ self.factor.T

    def log_density(self, points: FloatArray) -> FloatArray:
        """Return the log density of the approximation at unconstrained points.

        Parameters
        ----------
        points : ndarray, shape (n_points, n_dim)
            The points.

        Returns
        -------
        ndarray, shape (n_points,), nats
            The log density.
        """
        if self.factor.ndim == 1:
            diagonal, noise = self.factor, (points - self.mean) / self.factor
        else:
            diagonal = np.diag(self.factor)
            noise = solve_triangular(self.factor, (points - self.mean).T, lower=True).T
        constant = np.log(np.abs(diagonal)).sum() + len(self.mean) * np.log(2 * np.pi) / 2
        return np.asarray(-np.sum(noise**2, axis=1) / 2 - constant)

    def require_same_variables(self, model: pm.Model) -> None:
        """Check that another model, such as that of the whole survey, has the fitted variables.

        Parameters
        ----------
        model : pymc.Model
            The other model.

        Raises
        ------
        ValueError
            If names or shapes of the value variables differ.
        """
        wanted, got = (
            {name: np.shape(value) for name, value in of.initial_point().items()}
            for of in (model, self.model)
        )
        if wanted != got:
            raise ValueError(
                f"the fit is of a model with the variables {listed(got)}, but this model has "
                f"{listed(wanted)}, or their shapes differ; fit the same model, such as with the "
                "same parameterisation."
            )

    def sample(self, draws: int = 1000, *, random_seed: int) -> Any:
        """Draw from the approximation, on the scale of the model's own variables.

        Parameters
        ----------
        draws : int
            Number of independent draws.
        random_seed : int
            Seed; the same seed gives the same draws.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            A `posterior` group with one chain.

        Raises
        ------
        TypeError, ValueError
            If `draws` or `random_seed` is not a whole number, or too small.
        """
        return edition.transform_draws(
            self.model, self.draw_unconstrained(draws, random_seed=random_seed)
        )

    def resume(
        self, *, callbacks: Sequence[Callback] | None = None, progressbar: bool = True
    ) -> AdviFit:
        """Take the steps that an interrupt or a callback left out.

        Nothing is compiled again, and the fit ends where it would have ended without the pause,
        number by number, if no other fit came in between that reads the same minibatch, which would
        have moved the rows on. `approximation` moves on; `mean`, `factor` and `losses` of this fit
        stay. Should `resume` fail, as by an error in a callback, it can be called again, and goes
        on after the steps that were taken.

        Parameters
        ----------
        callbacks : sequence of callable, optional
            As in `fit_advi`; by default those of the steps before.
        progressbar : bool
            Whether to show one on standard error.

        Returns
        -------
        AdviFit
            The fit with all its steps, those before the pause included.

        Raises
        ------
        TypeError
            If a callback cannot be called.
        ValueError
            If there is no step left, or another fit has gone on from here.
        FloatingPointError
            As `fit_advi` raises.
        """
        if callbacks is not None:
            _require_callable(callbacks)
        if self._run is None or self._run.newest is not self:
            raise ValueError(
                "this fit cannot go on, for it was not made by fit_advi or was resumed before; "
                "resume the newest fit."
            )
        if self.steps == self._run.steps:
            raise ValueError(
                f"all {self.steps:,} steps are taken; for more, fit again with a larger `steps`."
            )
        if callbacks is not None:
            self._run.callbacks = callbacks
        return self._run.go_on(progressbar)


def fit_advi(
    model: pm.Model,
    *,
    method: str = "meanfield",
    steps: int | None = None,
    optimiser: DecayingAdam | Optimiser | None = None,
    callbacks: Sequence[Callback] = (),
    random_seed: int,
    progressbar: bool = True,
) -> AdviFit:
    """Fit ADVI, with a mean-field or a full-rank Gaussian.

    Parameters
    ----------
    model : pymc.Model
        The model, on the whole survey or on a minibatch.
    method : {"meanfield", "fullrank"}
        Whether the Gaussian has independent dimensions or a full covariance. A full-rank fit
        spends the first quarter of its steps on a mean-field one and starts from that.
    steps : int, optional
        Number of steps, each on one batch; by default 40,000 for mean field, with one Monte Carlo
        draw each, and 80,000 for full rank, whose own steps have four draws and their mirror
        images.
    optimiser : DecayingAdam or PyMC optimiser, optional
        How a gradient becomes a step; by default ``DecayingAdam()`` for mean field and, since so
        many more parameters jitter, ``DecayingAdam(0.001, 0.00001)`` for full rank. A PyMC
        optimiser, such as ``pm.adagrad_window(learning_rate=0.001)``, keeps its own learning rate.
        The mean-field start of a full-rank fit always has the default.
    callbacks : sequence of callable
        Each is called as ``callback(approximation, losses, step)`` after every 100th step and after
        the last, `losses` on the full-data scale; one that raises StopIteration stops the fit.
        PyMC's ``CheckParametersConvergence`` is one. Not called during the mean-field start.
    random_seed : int
        Seed of everything random in the fit: Monte Carlo draws and rows. The same seed gives the
        same fit.
    progressbar : bool
        Whether to show one on standard error.

    Returns
    -------
    AdviFit
        The approximation, the losses and what happened. An interrupted fit is returned as far as
        it came, and its `resume` takes the steps that are left.

    Raises
    ------
    TypeError
        If `model` is not a PyMC model, `steps` or `random_seed` is not a whole number, or the
        optimiser or a callback cannot be called.
    ValueError
        If the model has no free variables or a discrete one, the method is unknown, `steps` is too
        small or `random_seed` negative.
    FloatingPointError
        If the fit turns NaN or infinite; the message says at which step and in which parameters.

    References
    ----------
    Kucukelbir et al. (2017), algorithm 1 [kucukelbir2017automatic]; for the gradient of a full-rank
    fit, Roeder et al. (2017) [roeder2017sticking].
    """
    require_type("model", model, pm.Model)
    _require_continuous(model)
    require_choice("method", method, METHODS)
    steps = _DEFAULT_STEPS[method] if steps is None else steps
    require_count("steps", steps, at_least=1 if method == "meanfield" else 2)
    require_count("random_seed", random_seed, at_least=0)
    _require_callable(callbacks)
    if not (optimiser is None or callable(optimiser) or isinstance(optimiser, DecayingAdam)):
        raise TypeError(f"an optimiser must be callable, such as pm.adam(); got {optimiser!r}.")
    stages = [_Stage(method, 0, steps, optimiser or _DEFAULTS[method])]
    if method == "fullrank":
        first = _Stage("meanfield", 0, max(1, steps // 4), _DEFAULTS["meanfield"])
        stages = [first, _Stage(method, first.end, steps, stages[0].optimiser)]
    return _Run(model, stages, callbacks, int(random_seed)).go_on(progressbar)


def _require_continuous(model: pm.Model) -> None:
    if not model.value_vars:
        raise ValueError(
            "the model has no free variables, so there is nothing to fit; expected at least one "
            "that is not observed."
        )
    discrete = [variable.name for variable in model.discrete_value_vars]
    if discrete:
        raise ValueError(
            f"ADVI fits continuous variables only, but {listed(discrete)} are discrete; sum them "
            "out of the model, as with a mixture."
        )


def _require_callable(callbacks: object) -> None:
    if isinstance(callbacks, Sequence) and all(map(callable, callbacks)):
        return
    raise TypeError(f"callbacks must be callable, in a list; got {callbacks!r}.")


@dataclass(frozen=True)
class _Stage:
    """The steps from `begin` to `end` of a fit, which one compiled loop takes."""

    method: str
    begin: int
    end: int
    optimiser: DecayingAdam | Optimiser

    def rate(self, step: int) -> float:
        """Return the learning rate after so many steps of the fit, 0 if it is not ours to give."""
        if not isinstance(self.optimiser, DecayingAdam):
            return 0.0
        return self.optimiser.rate((step - self.begin) / (self.end - self.begin))


class _Run:
    """A fit under way: its stages, the compiled loop of the present one, and the losses so far."""

    def __init__(
        self,
        model: pm.Model,
        stages: Sequence[_Stage],
        callbacks: Sequence[Callback],
        random_seed: int,
    ) -> None:
        self.model, self.callbacks, self.random_seed = model, callbacks, random_seed
        self.steps = stages[-1].end
        self.taken = 0
        self.newest: AdviFit | None = None  # what the last pause or the end returned
        self._stages = list(stages)  # the present one and those to come
        self._losses: list[FloatArray] = []
        self._seconds = self._compile_seconds = 0.0
        self._loop: Any = None

    def go_on(self, progressbar: bool) -> AdviFit:
        """Take the steps that are left; return the fit at its end, or where it stopped."""
        stop_reason = None
        with tqdm(
            total=self.steps,
            initial=self.taken,
            disable=not progressbar,
            desc="ADVI",
            unit="step",
        ) as progress:
            while stop_reason is None and self.taken < self.steps:
                if self._loop is None:
                    self._compile(self._stages[0], start=None)
                elif self.taken == self._stages[0].end:
                    try:
                        self._compile(self._stages[1], start=self._loop.gaussian())
                    except KeyboardInterrupt:
                        stop_reason = f"interrupted after {self.taken:,} of {self.steps:,} steps"
                        break
                    del self._stages[0]
                started = time.perf_counter()
                stop_reason = self._run_stage(progress)
                self._seconds += time.perf_counter() - started
                if not all(np.isfinite(values).all() for values in self._loop.gaussian()):
                    raise FloatingPointError(_tell_nan(self._loop, self.taken))
        mean, factor = self._loop.gaussian()
        self.newest = AdviFit(
            approximation=self._loop.approximation,
            model=self.model,
            mean=mean,
            factor=factor,
            losses=np.concatenate([np.empty(0), *self._losses]),
            seconds=self._seconds,
            compile_seconds=self._compile_seconds,
            stop_reason=stop_reason or f"took all {self.steps:,} steps",
            random_seed=self.random_seed,
            _run=self,
        )
        return self.newest

    def _compile(self, stage: _Stage, start: tuple[FloatArray, FloatArray] | None) -> None:
        ours = isinstance(stage.optimiser, DecayingAdam)
        self._loop = edition.AdviLoop(
            self.model,
            method=stage.method,
            optimiser=None if ours else stage.optimiser,
            start=start,
            random_seed=self.random_seed,
        )
        self._compile_seconds += self._loop.compile_seconds

    def _run_stage(self, progress: Any) -> str | None:
        """Take the stage's steps; say why if it stops early."""
        stage, final = self._stages[0], len(self._stages) == 1
        where = "" if final else ", in its mean-field start"
        try:
            while self.taken < stage.end:
                # After a pause within a call the rest of that call comes first.
                done = (self.taken - stage.begin) % STEPS_A_CALL
                wanted = min(STEPS_A_CALL - done, stage.end - self.taken)
                # States, losses and their number move together, or `go_on` would lose its place.
                with interrupts_held() as interrupts:
                    losses = self._loop.run(wanted, stage.rate(self.taken - done), interrupts)
                    self._losses.append(losses)
                    self.taken += len(losses)
                progress.update(len(losses))
                if len(losses) and not np.isfinite(losses[-1]):
                    raise FloatingPointError(_tell_nan(self._loop, self.taken))
                if len(losses) < wanted:
                    raise KeyboardInterrupt
                progress.set_postfix(loss=f"{losses.mean():,.1f}", refresh=False)
                for callback in self.callbacks if final else ():
                    callback(self._loop.approximation, np.concatenate(self._losses), self.taken)
                if interrupts:
                    raise KeyboardInterrupt
        except StopIteration as stop:
            return str(stop) or f"a callback stopped it after {self.taken:,} steps"
        except KeyboardInterrupt:
            return f"interrupted after {self.taken:,} of {self.steps:,} steps{where}"
        return None


def sample_nuts(
    model: pm.Model,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.8,
    start: AdviFit | None = None,
    random_seed: int,
    progressbar: bool = True,
) -> Any:
    """Sample with the No-U-Turn sampler.

    Parameters
    ----------
    model : pymc.Model
        The model, on the whole survey.
    draws, tune : int
        Draws kept and tuning draws dropped, of each chain.
    chains : int
        Number of chains.
    target_accept : float
        Acceptance rate that the step size is tuned to, between 0 and 1.
    start : AdviFit, optional
        An ADVI fit of the same model, or of the same model on minibatches: its covariance becomes
        the mass matrix, its draws the starting points. By default PyMC's own tuning.
    random_seed : int
        Seed of the chains and of the starting points.
    progressbar : bool
        Whether to show one.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        Groups `posterior`, `sample_stats` and `observed_data`; ``posterior.attrs`` has
        `sampling_time` in seconds.

    Raises
    ------
    TypeError
        If `model` is not a PyMC model, `start` is no fit, or a count is not a whole number.
    ValueError
        If a count is too small, `target_accept` is not between 0 and 1, `model` is on a minibatch,
        or `start` was fitted to a model with other variables.

    References
    ----------
    Hoffman and Gelman (2014) [hoffman2014nuts].
    """
    require_type("model", model, pm.Model)
    require_type("start", start, AdviFit, NoneType)
    for name, count in {"draws": draws, "tune": tune, "chains": chains}.items():
        require_count(name, count)
    require_count("random_seed", random_seed, at_least=0)
    if not 0 < target_accept < 1:
        raise ValueError(f"target_accept must lie between 0 and 1, got {target_accept!r}.")
    if edition.has_minibatch(model):
        raise ValueError(
            "NUTS needs the whole survey, and this model is on a minibatch; build the model from "
            "survey.rows, without total_size."
        )
    points = covariance = None
    if start is not None:
        start.require_same_variables(model)
        covariance = start.covariance
        drawn = start.sample(chains, random_seed=random_seed).posterior
        points = [
            {variable.name: drawn[variable.name].values[0, chain] for variable in model.free_RVs}
            for chain in range(chains)
        ]
    return edition.run_nuts(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        target_accept=target_accept,
        start=points,
        covariance=covariance,
        random_seed=int(random_seed),
        progressbar=progressbar,
    )


def _tell_nan(loop: Any, step: int) -> str:
    """Say in which of the approximation's parameters a fit turned NaN."""
    told = []
    mean, factor = loop.gaussian()
    for variable, where in loop.variables().items():
        for parameter, values in {"mean": mean, "spread": factor}.items():
            finite = np.isfinite(values[where]).reshape(len(mean[where]), -1).all(axis=1)
            if not finite.all():
                told.append(f"{parameter} of {variable} ({np.sum(~finite)} of {finite.size})")
    return (
        f"ADVI turned NaN or infinite at step {step:,}. "
        f"Not finite: {', '.join(told) or 'the loss alone'}. "
        "Try a smaller learning rate, tighter priors, or look for a variable that can run away."
    )
