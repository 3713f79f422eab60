"""How `fit_advi` and `sample_nuts` behave; test_inference_accuracy.py tells how well they do."""

from __future__ import annotations

import _thread
import signal
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import numpy.typing as npt
import pymc as pm
import pytest
from pymc.variational.callbacks import CheckParametersConvergence
from scipy import stats

from radon_gallery import inference
from radon_gallery.comparison import posterior_dataset
from radon_gallery.data import Rows, Survey, simulate_survey
from radon_gallery.editions import edition
from radon_gallery.inference import METHODS, AdviFit, DecayingAdam, fit_advi, sample_nuts
from radon_gallery.minibatch import build_minibatch, draw_batches
from radon_gallery.models import hierarchical_model

Array = npt.NDArray[np.float64]

FROZEN = DecayingAdam(1e-12, 1e-12)  # steps so small that the approximation stays where it starts
QUIET = {"progressbar": False}


# --- a model whose posterior is known in closed form ------------------------------------------

PRIOR_MEAN, PRIOR_SD, NOISE = 0.5, 2.0, 0.8


def county_means(rows: Rows, survey: Survey, total_size: int | None = None) -> pm.Model:
    """Build a model of county means with known scales; its posterior is in the family."""
    with pm.Model(coords={"county": list(survey.county)}) as model:
        theta = pm.Normal("theta", PRIOR_MEAN, PRIOR_SD, dims="county")
        centre = theta[rows.county_idx]
        pm.Normal("y", centre, NOISE, observed=rows.log_radon, total_size=total_size)
    return model


def negative_elbo(survey: Survey, mean: Array, sd: Array) -> float:
    """Return minus the ELBO of independent normals, in closed form."""
    residual = survey.log_radon - mean[survey.county_idx]
    likelihood = (residual**2 + sd[survey.county_idx] ** 2) / NOISE**2 + np.log(
        2 * np.pi * NOISE**2
    )
    prior = ((mean - PRIOR_MEAN) ** 2 + sd**2) / PRIOR_SD**2 + np.log(2 * np.pi * PRIOR_SD**2)
    entropy = 0.5 * np.sum(np.log(2 * np.pi * np.e * sd**2))
    return float(0.5 * np.sum(likelihood) + 0.5 * np.sum(prior) - entropy)


class Toy(NamedTuple):
    survey: Survey
    full: pm.Model
    minibatch: Rows
    batched: pm.Model
    mean: Array
    sd: Array

    @property
    def models(self) -> dict[str, pm.Model]:
        return {"full": self.full, "batched": self.batched}


@pytest.fixture(scope="module")
def toy() -> Toy:
    survey = simulate_survey(60, 3, random_seed=2).survey
    minibatch = build_minibatch(survey.rows, 10, random_seed=1)
    precision = 1 / PRIOR_SD**2 + survey.homes / NOISE**2
    sums = np.bincount(survey.county_idx, survey.log_radon)
    return Toy(
        survey=survey,
        full=county_means(survey.rows, survey),
        minibatch=minibatch,
        batched=county_means(minibatch, survey, survey.n_obs),
        mean=(PRIOR_MEAN / PRIOR_SD**2 + sums / NOISE**2) / precision,
        sd=precision**-0.5,
    )


@pytest.fixture(scope="module")
def fits(toy: Toy) -> dict[str, AdviFit]:
    return {
        name: fit_advi(model, steps=10_000, random_seed=8927, **QUIET)
        for name, model in toy.models.items()
    }


EVERY_MODEL = pytest.mark.parametrize("name", ["full", "batched"])


# --- ADVI: exact answers ----------------------------------------------------------------------


@EVERY_MODEL
def test_loss_is_the_negative_elbo_on_the_full_data_scale(toy, name):
    """20,000 losses of one approximation: their mean is the closed form, within 5 errors."""
    fit = fit_advi(toy.models[name], steps=20_000, optimiser=FROZEN, random_seed=8927, **QUIET)
    error = fit.losses.std() / np.sqrt(fit.steps)
    assert abs(fit.losses.mean() - negative_elbo(toy.survey, fit.mean, fit.sd)) < 5 * error


@EVERY_MODEL
def test_a_posterior_within_the_family_is_found(toy, fits, name):
    """Means within a fifth of a posterior sd, sds within a tenth, the ELBO within 0.1 nats."""
    fit = fits[name]
    np.testing.assert_allclose(fit.mean, toy.mean, atol=0.2 * toy.sd.min())
    np.testing.assert_allclose(fit.sd, toy.sd, rtol=0.1)
    log_evidence = -negative_elbo(toy.survey, toy.mean, toy.sd)
    assert 0 <= negative_elbo(toy.survey, fit.mean, fit.sd) + log_evidence < 0.1


def test_losses_of_full_data_and_minibatch_compare(toy, fits):
    """At the optimum both have minus the log evidence for mean, within 5 errors and 0.1 nats."""
    floor = negative_elbo(toy.survey, toy.mean, toy.sd)
    for fit in fits.values():
        last = fit.losses[-2_000:]
        error = last.std() / np.sqrt(len(last))
        assert -5 * error < last.mean() - floor < 5 * error + 0.1


@EVERY_MODEL
def test_each_step_is_pymcs_own(toy, name):
    """Losses and parameters are those of PyMC's loop, given the same seeds and optimiser."""
    optimiser = pm.adagrad_window(learning_rate=0.01)
    fit = fit_advi(toy.models[name], steps=250, optimiser=optimiser, random_seed=5, **QUIET)
    rows_seed, draws_seed = np.random.SeedSequence(5).generate_state(2)
    with toy.models[name]:
        theirs = pm.ADVI(random_seed=int(draws_seed) % (2**31 - 21069))
    edition.reseed_minibatches(toy.models[name], int(rows_seed))
    approximation = theirs.fit(250, obj_optimizer=optimiser, **QUIET)
    scale = {"full": 1, "batched": 60 / 10}[name]  # PyMC reports the loss of a batch
    np.testing.assert_allclose(fit.losses, scale * approximation.hist, rtol=1e-9)
    np.testing.assert_allclose(fit.mean, approximation.mean.eval(), rtol=1e-9)
    np.testing.assert_allclose(fit.sd, approximation.std.eval(), rtol=1e-9)


# --- ADVI: seeds ------------------------------------------------------------------------------


@EVERY_MODEL
def test_same_seed_same_fit_other_seed_another(toy, name):
    model = toy.models[name]
    first, again, other = (
        fit_advi(model, steps=300, random_seed=seed, **QUIET) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.losses, again.losses)
    np.testing.assert_array_equal(first.mean, again.mean)
    np.testing.assert_array_equal(first.sd, again.sd)
    assert (first.losses != other.losses).all()
    assert (first.mean != other.mean).all()


def test_a_fits_seed_fixes_the_rows_too(toy):
    """The minibatch starts anew with each fit, wherever it stood and whatever its own seed."""
    follow_up = []
    for own_seed in (1, 99):
        minibatch = build_minibatch(toy.survey.rows, 10, random_seed=own_seed)
        fit_advi(county_means(minibatch, toy.survey, 60), steps=100, random_seed=3, **QUIET)
        follow_up.append(draw_batches(minibatch, 5).log_radon)
    np.testing.assert_array_equal(*follow_up)


# --- ADVI: what happened ----------------------------------------------------------------------


def test_a_fit_tells_what_happened(fits):
    for fit in fits.values():
        assert fit.stop_reason == "took all 10,000 steps"
        assert fit.steps == len(fit.losses) == 10_000
        assert fit.random_seed == 8927
        assert fit.seconds > 0
        assert fit.compile_seconds > 0
        np.testing.assert_allclose(fit.approximation.mean.eval(), fit.mean)


def test_callbacks_are_called_every_hundredth_step_and_after_the_last(toy):
    calls = []

    def remember(approximation, losses, step):
        calls.append((approximation, losses.copy(), step))

    fit = fit_advi(toy.full, steps=250, callbacks=[remember], random_seed=1, **QUIET)
    assert [step for _, _, step in calls] == [100, 200, 250]
    for approximation, losses, step in calls:
        assert approximation is fit.approximation
        np.testing.assert_array_equal(losses, fit.losses[:step])


@pytest.mark.parametrize(
    ("words", "told"),
    [(("far enough",), "far enough"), ((), "a callback stopped it after 200 steps")],
)
def test_a_callback_stops_the_fit(toy, words, told):
    def stop_at_200(approximation, losses, step):
        if step == 200:
            raise StopIteration(*words)

    fit = fit_advi(toy.full, steps=1_000, callbacks=[stop_at_200], random_seed=1, **QUIET)
    assert (fit.steps, fit.stop_reason) == (200, told)


def test_pymcs_convergence_check_is_a_callback(toy):
    check = CheckParametersConvergence(tolerance=1e-6, diff="absolute")
    arguments = {"steps": 1_000, "callbacks": [check], "random_seed": 1}
    fit = fit_advi(toy.full, optimiser=FROZEN, **arguments, **QUIET)
    assert (fit.steps, fit.stop_reason) == (200, "Convergence achieved at 200")
    check.prev = None
    assert fit_advi(toy.full, **arguments, **QUIET).steps == 1_000


def test_an_interrupted_fit_is_kept_as_far_as_it_came(toy):
    """Ctrl-C in the midst of the compiled steps."""

    def interrupt_soon(approximation, losses, step):
        if step == 100:
            threading.Timer(0.05, _thread.interrupt_main).start()

    steps = 10**8
    fit = fit_advi(toy.full, steps=steps, callbacks=[interrupt_soon], random_seed=1, **QUIET)
    assert 100 <= fit.steps < steps
    assert fit.stop_reason == f"interrupted after {fit.steps:,} of {steps:,} steps"
    assert np.isfinite(fit.losses).all()
    assert np.isfinite(fit.mean).all()
    again = fit_advi(toy.full, steps=200, random_seed=1, **QUIET)
    np.testing.assert_allclose(fit.losses[:100], again.losses[:100], rtol=0.05)


def test_an_interrupted_callback_keeps_the_fit_too(toy):
    def interrupt(approximation, losses, step):
        raise KeyboardInterrupt

    fit = fit_advi(toy.full, steps=1_000, callbacks=[interrupt], random_seed=1, **QUIET)
    assert (fit.steps, fit.stop_reason) == (100, "interrupted after 100 of 1,000 steps")


def test_the_callers_signal_handler_comes_back(toy):
    before = signal.getsignal(signal.SIGINT)
    fit_advi(toy.full, steps=5, random_seed=1, **QUIET)
    assert signal.getsignal(signal.SIGINT) is before


# --- ADVI: going on after a pause -------------------------------------------------------------


def test_an_interrupt_loses_no_step(toy):
    """Wherever within the loop it comes, losses and parameters stay together."""
    steps, began = 20_000, []

    def interrupt_soon(approximation, losses, step):
        if not began:
            began.append(step)
            threading.Timer(0.01, _thread.interrupt_main).start()

    arguments = {"steps": steps, "random_seed": 1} | QUIET
    whole = fit_advi(toy.batched, **arguments)
    early = fit_advi(toy.batched, callbacks=[interrupt_soon], **arguments)
    assert 100 <= early.steps < steps
    fit = early.resume(progressbar=False)
    np.testing.assert_array_equal(fit.losses, whole.losses)
    np.testing.assert_array_equal(fit.mean, whole.mean)


def test_an_interrupt_during_a_calls_last_step_comes_after_its_callbacks(toy, monkeypatch):
    run = edition.AdviLoop.run

    def interrupted(self, *arguments):
        losses = run(self, *arguments)
        _thread.interrupt_main()
        return losses

    calls = []
    remember = lambda approximation, losses, step: calls.append(step)  # noqa: E731
    monkeypatch.setattr(edition.AdviLoop, "run", interrupted)
    fit = fit_advi(toy.full, steps=200, callbacks=[remember], random_seed=1, **QUIET)
    assert (fit.steps, calls) == (100, [100])
    fit = fit.resume(progressbar=False)
    assert (fit.steps, calls) == (200, [100, 200])
    assert fit.stop_reason == "interrupted after 200 of 200 steps"


def pause_at(monkeypatch, pauses: Sequence[int]) -> None:
    """Interrupt the compiled loop once each after so many of the steps of all loops together."""
    run, left, taken = edition.AdviLoop.run, list(pauses), [0]

    def interrupted(self, steps, learning_rate, interrupts):
        if left and taken[0] + steps > left[0]:
            steps = left.pop(0) - taken[0]
        taken[0] += steps
        return run(self, steps, learning_rate, interrupts) if steps else np.empty(0)

    monkeypatch.setattr(edition.AdviLoop, "run", interrupted)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_fit_ends_where_it_would_have_ended(toy, method, monkeypatch):
    """Paused within calls of the loop, between them, and in a full-rank fit's mean-field start."""
    arguments = {"method": method, "steps": 1_000, "random_seed": 3} | QUIET
    whole = fit_advi(toy.batched, **arguments)
    pauses = (130, 200, 455)
    pause_at(monkeypatch, pauses)
    fit = fit_advi(toy.batched, **arguments)
    for pause in pauses:
        assert fit.steps == pause
        assert fit.stop_reason.startswith(f"interrupted after {pause} of 1,000 steps")
        early, fit = fit, fit.resume(progressbar=False)
    assert (fit.steps, fit.stop_reason) == (1_000, "took all 1,000 steps")
    assert fit.method == method
    assert early.steps == 455
    np.testing.assert_array_equal(fit.losses, whole.losses)
    np.testing.assert_array_equal(fit.mean, whole.mean)
    np.testing.assert_array_equal(fit.factor, whole.factor)


def test_a_fit_stopped_by_a_callback_goes_on_with_other_callbacks(toy):
    calls = []

    def stop(approximation, losses, step):
        calls.append(step)
        raise StopIteration

    fit = fit_advi(toy.full, steps=400, callbacks=[stop], random_seed=1, **QUIET)
    fit = fit.resume(progressbar=False)
    assert (fit.steps, calls) == (200, [100, 200])
    fit = fit.resume(callbacks=[], progressbar=False)
    assert (fit.steps, calls) == (400, [100, 200])
    assert fit.stop_reason == "took all 400 steps"
    assert repr(fit) == f"<AdviFit: {fit.method}, took all 400 steps>"


def test_an_interrupt_while_the_second_loop_compiles_keeps_the_first(line, monkeypatch):
    real, compiled = edition.AdviLoop, []

    def interrupted(model, **arguments):
        compiled.append(arguments["method"])
        if compiled == ["meanfield", "fullrank"]:
            raise KeyboardInterrupt
        return real(model, **arguments)

    arguments = {"method": "fullrank", "steps": 400, "random_seed": 1} | QUIET
    whole = fit_advi(line.model, **arguments)
    monkeypatch.setattr(edition, "AdviLoop", interrupted)
    fit = fit_advi(line.model, **arguments)
    assert (fit.steps, fit.method) == (100, "meanfield")
    fit = fit.resume(progressbar=False)
    assert compiled == ["meanfield", "fullrank", "fullrank"]
    np.testing.assert_array_equal(fit.factor, whole.factor)


def test_after_an_error_in_a_callback_a_fit_goes_on_from_where_it_came(toy):
    def fail(approximation, losses, step):
        raise StopIteration if step == 100 else RuntimeError("out of ink")

    whole = fit_advi(toy.full, steps=400, random_seed=1, **QUIET)
    early = fit_advi(toy.full, steps=400, callbacks=[fail], random_seed=1, **QUIET)
    with pytest.raises(RuntimeError, match="out of ink"):
        early.resume(progressbar=False)
    fit = early.resume(callbacks=[], progressbar=False)
    np.testing.assert_array_equal(fit.losses, whole.losses)
    np.testing.assert_array_equal(fit.mean, whole.mean)


def test_only_the_newest_unfinished_fit_goes_on(toy):
    stop = lambda approximation, losses, step: next(iter(()))  # noqa: E731
    early = fit_advi(toy.full, steps=200, callbacks=[stop], random_seed=1, **QUIET)
    with pytest.raises(TypeError, match="callbacks must be callable, in a list; got 3"):
        early.resume(callbacks=3)
    late = early.resume(callbacks=(), progressbar=False)
    with pytest.raises(ValueError, match="resumed before; resume the newest fit"):
        early.resume()
    with pytest.raises(ValueError, match="all 200 steps are taken; for more, fit again"):
        late.resume()
    with pytest.raises(ValueError, match="was not made by fit_advi"):
        replace(late, _run=None).resume()


def test_a_progress_bar_is_shown_on_request_only(toy, capsys):
    fit_advi(toy.full, steps=100, random_seed=1, progressbar=False)
    assert capsys.readouterr() == ("", "")
    fit_advi(toy.full, steps=100, random_seed=1, progressbar=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "ADVI: 100%" in shown.err
    assert "loss=" in shown.err


# --- ADVI: NaN --------------------------------------------------------------------------------


def runaway(bound: float) -> pm.Model:
    """Build a model whose log-probability is NaN where `x` exceeds `bound`; `y` is harmless."""
    with pm.Model() as model:
        x = pm.Normal("x")
        pm.Normal("y", shape=2)
        pm.Potential("bounded", pm.math.sqrt(bound - x))
    return model


def test_a_fit_that_turns_nan_names_step_and_parameters():
    with pytest.raises(FloatingPointError, match="turned NaN or infinite at step 1. ") as caught:
        fit_advi(runaway(-1e6), steps=500, random_seed=1, **QUIET)
    told = str(caught.value)
    assert "Not finite: mean of x (1 of 1), spread of x (1 of 1)." in told
    assert "Try a smaller learning rate" in told


def test_the_step_at_which_a_fit_turned_nan_is_exact():
    """`x` moves by 1 a step from 0, almost without spread, and must not exceed 250.5."""

    def march(loss_or_grads, params):
        del loss_or_grads
        return OrderedDict(
            (param, param + 1 if param.name == "mu" else 0 * param - 20.0) for param in params
        )

    with pytest.raises(
        FloatingPointError, match="turned NaN or infinite at step 252. .*: the loss alone"
    ):
        fit_advi(runaway(250.5), steps=1_000, optimiser=march, random_seed=1, **QUIET)


# --- ADVI: optimisers -------------------------------------------------------------------------


def test_rate_falls_geometrically_from_first_step_to_last():
    adam = DecayingAdam(0.1, 0.001)
    assert [adam.rate(share) for share in (0, 0.5, 1)] == pytest.approx([0.1, 0.01, 0.001])
    assert DecayingAdam(0.3, 0.3).rate(0.7) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("initial", "final"),
    [(0.0, 0.0), (-0.1, -0.2), (0.1, 0.0), (0.01, 0.1), (np.nan, 0.1), (0.1, np.nan), (np.inf, 1)],
)
def test_rates_must_be_positive_and_not_grow(initial, final):
    with pytest.raises(ValueError, match=f"0 < final <= initial; got initial={initial!r}"):
        DecayingAdam(initial, final)


def test_the_rate_is_the_size_of_adams_first_step(toy):
    start, short, long = (
        fit_advi(toy.full, steps=1, optimiser=DecayingAdam(*rates), random_seed=1, **QUIET).mean
        for rates in [(1e-12, 1e-12), (0.01, 0.001), (0.05, 0.001)]
    )
    np.testing.assert_allclose(np.abs(short - start), 0.01, rtol=1e-5)
    np.testing.assert_allclose(np.abs(long - start), 0.05, rtol=1e-5)


def test_the_rate_falls_as_the_fit_goes_on(toy, monkeypatch):
    rates = []
    run = edition.AdviLoop.run

    def remember(self, steps, learning_rate, interrupts):
        rates.append((steps, learning_rate))
        return run(self, steps, learning_rate, interrupts)

    monkeypatch.setattr(edition.AdviLoop, "run", remember)
    adam = DecayingAdam(0.1, 0.001)
    fit_advi(toy.full, steps=250, optimiser=adam, random_seed=1, **QUIET)
    assert rates == [(100, adam.rate(0)), (100, adam.rate(0.4)), (50, adam.rate(0.8))]


# --- ADVI: draws ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["centred", "noncentred"])
def hierarchical_fit(request) -> AdviFit:
    survey = simulate_survey(40, 6, random_seed=11).survey
    minibatch = build_minibatch(survey.rows, 8, random_seed=1)
    model = hierarchical_model(
        minibatch, survey.coords, total_size=40, parameterisation=request.param, priors="weak"
    )
    return fit_advi(model, steps=2_000, random_seed=8927, **QUIET)


def test_draws_have_the_models_names_dimensions_and_labels(hierarchical_fit):
    posterior = hierarchical_fit.sample(7, random_seed=1).posterior
    names = {variable.name for variable in hierarchical_fit.model.unobserved_RVs}
    assert set(posterior.data_vars) == names
    assert posterior["alpha"].dims == ("chain", "draw", "county")
    assert posterior["mu_alpha"].dims == ("chain", "draw")
    assert dict(posterior.sizes) == {"chain": 1, "draw": 7, "county": 6}
    assert list(posterior["county"].values) == [f"County {number}" for number in range(1, 7)]


def test_same_seed_same_draws(hierarchical_fit):
    first, again, other = (
        hierarchical_fit.sample(20, random_seed=seed).posterior for seed in (1, 1, 2)
    )
    assert first.equals(again)
    assert not (first["alpha"] == other["alpha"]).any()


def test_drawing_does_not_move_the_fit(hierarchical_fit):
    mean = hierarchical_fit.mean.copy()
    hierarchical_fit.sample(20, random_seed=1)
    np.testing.assert_array_equal(hierarchical_fit.approximation.mean.eval(), mean)


def test_unconstrained_draws_have_the_fits_mean_and_sd(hierarchical_fit):
    """Within 5 standard errors in each dimension."""
    fit, n_draws = hierarchical_fit, 20_000
    draws = fit.draw_unconstrained(n_draws, random_seed=8927)
    assert draws.shape == (n_draws, len(fit.mean))
    assert (np.abs(draws.mean(axis=0) - fit.mean) < 5 * fit.sd / np.sqrt(n_draws)).all()
    assert (np.abs(draws.std(axis=0) - fit.sd) < 5 * fit.sd / np.sqrt(2 * n_draws)).all()


def test_draws_are_distributed_as_pymcs_own(hierarchical_fit):
    """Mean and log sd of every parameter, within 5 standard errors of their difference."""
    n_draws = 4_000
    ours = hierarchical_fit.sample(n_draws, random_seed=8927).posterior
    theirs = hierarchical_fit.approximation.sample(
        n_draws, random_seed=8927, return_inferencedata=False
    )
    for name in ours.data_vars:
        first, second = ours[name].values[0], theirs.get_values(name)
        sd = second.std(axis=0)
        difference = first.mean(axis=0) - second.mean(axis=0)
        assert (np.abs(difference) < 5 * sd * np.sqrt(2 / n_draws)).all(), name
        # The standard error of a log sd, for tails somewhat heavier than the normal's.
        log_ratio = np.log(first.std(axis=0) / sd)
        assert (np.abs(log_ratio) < 5 * np.sqrt(3 / n_draws)).all(), name


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"draws": 0}, ValueError, "draws must be at least 1, got 0"),
        ({"draws": 10.0}, TypeError, "draws must be a whole number, got 10.0"),
        ({"random_seed": -1}, ValueError, "random_seed must be at least 0, got -1"),
        ({"random_seed": None}, TypeError, "random_seed must be a whole number, got None"),
    ],
)
def test_bad_draws_are_refused(fits, arguments, error, told):
    with pytest.raises(error, match=told):
        fits["full"].sample(**{"draws": 10, "random_seed": 1} | arguments)


# --- full rank --------------------------------------------------------------------------------


class Line(NamedTuple):
    """One intercept and one floor effect, known noise: the posterior is normal and correlated."""

    model: pm.Model
    mean: Array
    covariance: Array


@pytest.fixture(scope="module")
def line(toy: Toy) -> Line:
    rows = toy.survey.rows
    with pm.Model() as model:
        alpha, beta = pm.Normal("alpha", 0, PRIOR_SD), pm.Normal("beta", 0, PRIOR_SD)
        pm.Normal("y", alpha + beta * rows.floor, NOISE, observed=rows.log_radon)
    design = np.stack([np.ones(60), rows.floor], axis=1)
    covariance = np.linalg.inv(np.eye(2) / PRIOR_SD**2 + design.T @ design / NOISE**2)
    return Line(model, covariance @ design.T @ rows.log_radon / NOISE**2, covariance)


@pytest.fixture(scope="module")
def line_fits(line: Line) -> dict[str, AdviFit]:
    arguments = {"steps": 12_000, "random_seed": 8927} | QUIET
    return {method: fit_advi(line.model, method=method, **arguments) for method in METHODS}


def test_full_rank_finds_a_correlated_posterior_exactly(line, line_fits):
    """Its Kullback-Leibler divergence from the posterior is under 0.02 nats."""
    fit = line_fits["fullrank"]
    precision = np.linalg.inv(line.covariance)
    error = fit.mean - line.mean
    _, log_det = np.linalg.slogdet(precision @ fit.covariance)
    divergence = (
        np.trace(precision @ fit.covariance) + error @ precision @ error - 2 - log_det
    ) / 2
    assert abs(divergence) < 0.02  # 0 but for rounding: on a normal the calmer gradient ends
    assert fit.stop_reason == "took all 12,000 steps"
    assert fit.steps == 12_000


def test_mean_field_has_the_right_centre_and_the_familys_widths(line, line_fits):
    """Its best sds are one over the root of the precision's diagonal: too small, as known."""
    fit = line_fits["meanfield"]
    best = 1 / np.sqrt(np.diag(np.linalg.inv(line.covariance)))
    assert (best < np.sqrt(np.diag(line.covariance))).all()
    np.testing.assert_allclose(fit.mean, line.mean, atol=0.2 * best.min())
    np.testing.assert_allclose(fit.sd, best, rtol=0.1)
    np.testing.assert_allclose(fit.covariance, np.diag(fit.sd**2))


def test_the_gaussian_is_pymcs(line_fits):
    fit = line_fits["fullrank"]
    (group,) = fit.approximation.groups
    np.testing.assert_allclose(fit.mean, group.mean.eval())
    np.testing.assert_allclose(fit.factor, group.L.eval())
    assert fit.factor[0, 1] == 0


@pytest.mark.parametrize("method", METHODS)
def test_log_density_and_draws_are_those_of_the_normal(line_fits, method):
    """The density is SciPy's; 20,000 draws have the covariance within 5 standard errors."""
    fit, n_draws = line_fits[method], 20_000
    draws = fit.draw_unconstrained(n_draws, random_seed=8927)
    normal = stats.multivariate_normal(fit.mean, fit.covariance)
    np.testing.assert_allclose(fit.log_density(draws[:50]), normal.logpdf(draws[:50]))
    variances = np.outer(fit.sd, fit.sd) ** 2
    error = np.sqrt((variances + fit.covariance**2) / n_draws)
    assert (np.abs(np.cov(draws.T) - fit.covariance) < 5 * error).all()


def test_mirrored_draws_leave_no_noise_in_the_centre_of_a_normal(line):
    """A step down the gradient takes the mean to the same place, whatever was drawn."""
    optimiser = pm.sgd(learning_rate=1e-3)
    arguments = {"method": "fullrank", "optimiser": optimiser}
    loops = [edition.AdviLoop(line.model, **arguments, random_seed=seed) for seed in (1, 2)]
    assert not np.isclose(*(loop.run(1, 0.0) for loop in loops))
    (mean, factor), (same, other) = (loop.gaussian() for loop in loops)
    np.testing.assert_allclose(mean, same, rtol=1e-10)
    assert not np.allclose(factor, other, rtol=1e-6)


def test_callbacks_of_a_full_rank_fit_begin_after_its_mean_field_start(line):
    calls = []
    remember = lambda approximation, losses, step: calls.append((len(losses), step))  # noqa: E731
    arguments = {"steps": 600, "callbacks": [remember], "random_seed": 1} | QUIET
    fit_advi(line.model, method="fullrank", **arguments)
    assert calls == [(250, 250), (350, 350), (450, 450), (550, 550), (600, 600)]


# --- ADVI: bad input --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 1e4}, TypeError, "steps must be a whole number, got 10000.0 of type float"),
        ({"random_seed": -1}, ValueError, "random_seed must be at least 0, got -1"),
        ({"random_seed": None}, TypeError, "random_seed must be a whole number, got None"),
        ({"optimiser": "adam"}, TypeError, "optimiser must be callable, .*; got 'adam'"),
        ({"callbacks": ["stop"]}, TypeError, "callbacks must be callable, .* got .'stop'.."),
        ({"callbacks": print}, TypeError, "callbacks must be callable, in a list; got <built-in"),
        ({"method": "flow"}, ValueError, "unknown method 'flow'; choose one of 'fullrank', 'mean"),
        ({"method": "fullrank", "steps": 1}, ValueError, "steps must be at least 2, got 1"),
    ],
)
def test_bad_arguments_of_a_fit_are_refused(toy, arguments, error, told):
    with pytest.raises(error, match=told):
        fit_advi(toy.full, **{"steps": 10, "random_seed": 1} | arguments, **QUIET)


def test_a_model_without_continuous_variables_is_refused():
    with pm.Model() as model:
        pm.Normal("y", observed=[1.0, 2.0])
    with pytest.raises(ValueError, match="no free variables, so there is nothing to fit"):
        fit_advi(model, random_seed=1)
    with model:
        pm.Normal("x")
        pm.Poisson("count", 3.0)
        pm.Bernoulli("either", 0.5)
    with pytest.raises(ValueError, match="but 'count', 'either' are discrete; sum them out"):
        fit_advi(model, random_seed=1)


def test_only_a_model_can_be_fitted_or_sampled(toy):
    for function in (fit_advi, sample_nuts):
        with pytest.raises(TypeError, match="model must be of type Model, got Survey"):
            function(toy.survey, random_seed=1)
    with pytest.raises(TypeError, match="start must be of type AdviFit or NoneType, got int"):
        sample_nuts(toy.full, start=3, random_seed=1)


# --- NUTS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["tuned by PyMC", "started from ADVI"])
def chains(request, toy: Toy, fits: dict[str, AdviFit]) -> Any:
    start = fits["batched"] if request.param == "started from ADVI" else None
    arguments = {"draws": 1_000, "tune": 300, "chains": 2, "start": start}
    return sample_nuts(toy.full, **arguments, random_seed=8927, **QUIET)


def test_nuts_finds_a_known_posterior(toy, chains):
    """With 500 effective draws at least, mean and sd within 4 Monte Carlo errors."""
    draws = posterior_dataset(chains)
    theta = draws["theta"]
    assert (az.ess(draws, method="bulk")["theta"] > 500).all()
    assert (az.rhat(draws)["theta"] < 1.02).all()
    error = az.mcse(draws)["theta"]
    assert (np.abs(theta.mean(["chain", "draw"]) - toy.mean) < 4 * error).all()
    error = az.mcse(draws, method="sd")["theta"]
    assert (np.abs(theta.std(["chain", "draw"]) - toy.sd) < 4 * error).all()


def test_chains_have_names_labels_and_statistics(chains):
    assert dict(chains.posterior.sizes) == {"chain": 2, "draw": 1_000, "county": 3}
    assert list(chains.posterior["county"].values) == ["County 1", "County 2", "County 3"]
    assert chains.sample_stats["diverging"].shape == (2, 1_000)
    assert chains.observed_data["y"].shape == (60,)
    assert chains.posterior.attrs["sampling_time"] > 0


def test_same_seed_same_chains(toy, fits):
    arguments = {"draws": 20, "tune": 20, "chains": 1, "start": fits["batched"]}
    first, again, other = (
        sample_nuts(toy.full, **arguments, random_seed=seed, **QUIET).posterior["theta"].values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.fixture
def handed_on(monkeypatch) -> dict[str, object]:
    """What `sample_nuts` hands to the edition, instead of sampling."""
    got: dict[str, object] = {}
    monkeypatch.setattr(inference.edition, "run_nuts", lambda model, **given: got.update(given))
    return got


def test_a_fit_gives_its_covariance_and_its_draws_as_starting_points(hierarchical_fit, handed_on):
    survey = simulate_survey(40, 6, random_seed=11).survey
    kind = "noncentred" if "alpha_offset" in hierarchical_fit.model.named_vars else "centred"
    model = hierarchical_model(survey.rows, survey.coords, parameterisation=kind, priors="weak")
    sample_nuts(model, start=hierarchical_fit, chains=3, random_seed=4)
    np.testing.assert_array_equal(handed_on["covariance"], np.diag(hierarchical_fit.sd**2))
    draws = hierarchical_fit.sample(3, random_seed=4).posterior
    assert len(handed_on["start"]) == 3
    for chain, point in enumerate(handed_on["start"]):
        assert set(point) == {variable.name for variable in model.free_RVs}
        for name, value in point.items():
            np.testing.assert_array_equal(value, draws[name].values[0, chain])


def test_the_covariance_is_used_as_a_mass_matrix():
    """Scales 50 apart: measured by their covariance a trajectory takes few steps, 7 at most."""
    with pm.Model() as model:
        pm.Normal("narrow", 0, 0.1)
        pm.Normal("broad", 0, 5.0)
    adam = DecayingAdam(0.05, 0.001)
    fit = fit_advi(model, steps=3_000, optimiser=adam, random_seed=1, **QUIET)
    np.testing.assert_allclose(fit.sd, [0.1, 5.0], rtol=0.2)
    arguments = {"draws": 100, "tune": 100, "chains": 1, "start": fit}
    stats = sample_nuts(model, **arguments, random_seed=1, **QUIET).sample_stats
    assert float(stats["n_steps"].median()) <= 7


def test_without_a_fit_pymc_tunes_on_its_own(toy, handed_on):
    sample_nuts(toy.full, random_seed=4)
    assert (handed_on["start"], handed_on["covariance"]) == (None, None)


def test_a_fit_of_another_model_is_refused_as_a_start(fits, hierarchical_fit, toy):
    with pytest.raises(ValueError, match="variables .*'mu_alpha'.*this model has 'theta'.*fit the"):
        sample_nuts(toy.full, start=hierarchical_fit, random_seed=1)
    larger = simulate_survey(60, 4, random_seed=2).survey
    with pytest.raises(ValueError, match="or their shapes differ"):
        sample_nuts(county_means(larger.rows, larger), start=fits["full"], random_seed=1)


def test_nuts_on_a_minibatch_is_refused(toy):
    with pytest.raises(ValueError, match="NUTS needs the whole survey, .* without total_size"):
        sample_nuts(toy.batched, random_seed=1)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"draws": 0}, ValueError, "draws must be at least 1, got 0"),
        ({"tune": -1}, ValueError, "tune must be at least 1, got -1"),
        ({"chains": 2.0}, TypeError, "chains must be a whole number, got 2.0"),
        ({"random_seed": "1"}, TypeError, "random_seed must be a whole number, got '1'"),
        ({"target_accept": 1.0}, ValueError, "target_accept must lie between 0 and 1, got 1.0"),
        ({"target_accept": np.nan}, ValueError, "target_accept must lie between 0 and 1, got nan"),
    ],
)
def test_bad_arguments_of_nuts_are_refused(toy, arguments, error, told):
    with pytest.raises(error, match=told):
        sample_nuts(toy.full, **{"random_seed": 1} | arguments)


def test_one_chain_keeps_its_statistics_in_their_places(toy):
    fit = sample_nuts(toy.full, draws=30, tune=50, chains=1, random_seed=1, progressbar=False)
    assert fit.sample_stats["diverging"].shape == (1, 30)
    assert fit.sample_stats["diverging"].dtype == bool
    assert np.isfinite(fit.sample_stats["energy"]).all()


def test_a_last_step_that_turns_nan_is_noticed(toy):
    def spoil(loss_or_grads, params):
        return OrderedDict((param, param * np.nan) for param in params)

    with pytest.raises(FloatingPointError, match="at step 1. Not finite: mean of"):
        fit_advi(
            toy.full,
            steps=1,
            optimiser=spoil,
            random_seed=1,
            progressbar=False,
        )
