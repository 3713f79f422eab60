"""What is said of a fit without the exact answer, against cases in which the answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

from radon_gallery.diagnostics import (
    AverageIterates,
    Elbo,
    batch_means_error,
    estimate_elbo,
    pareto_k,
    pareto_k_error,
    smooth_weights,
    split_r_hat,
    stack_runs,
)
from radon_gallery.inference import AdviFit
from radon_gallery.minibatch import build_minibatch
from radon_gallery.models import pooled_model

RESPONSE = np.array([0.4, 1.9, -0.3, 1.1, 0.8])
FLOOR = np.array([0.0, 1.0, 0.0, 1.0, 1.0])
NOISE, PRIOR_SD = 0.7, 2.0


@pytest.fixture(scope="module")
def line() -> pm.Model:
    """A line with known noise: its posterior is normal and its evidence has a closed form."""
    with pm.Model() as model:
        alpha, beta = pm.Normal("alpha", 0, PRIOR_SD), pm.Normal("beta", 0, PRIOR_SD)
        pm.Normal("response", alpha + beta * FLOOR, NOISE, observed=RESPONSE)
    return model


def make_fit(model: pm.Model, mean: np.ndarray, factor: np.ndarray) -> AdviFit:
    return AdviFit(
        approximation=None,
        model=model,
        mean=mean,
        factor=factor,
        losses=np.zeros(1),
        seconds=0.0,
        compile_seconds=0.0,
        stop_reason="made by hand",
        random_seed=0,
    )


@pytest.fixture(scope="module")
def posterior() -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, covariance and log evidence of the line."""
    design = np.column_stack([np.ones(5), FLOOR])
    covariance = np.linalg.inv(design.T @ design / NOISE**2 + np.eye(2) / PRIOR_SD**2)
    mean = covariance @ design.T @ RESPONSE / NOISE**2
    marginal = NOISE**2 * np.eye(5) + PRIOR_SD**2 * design @ design.T
    evidence = stats.multivariate_normal(np.zeros(5), marginal).logpdf(RESPONSE)
    return mean, covariance, float(evidence)


def test_the_elbo_of_the_posterior_itself_is_the_log_evidence(line, posterior):
    mean, covariance, evidence = posterior
    fit = make_fit(line, mean, np.linalg.cholesky(covariance))
    elbo = estimate_elbo(fit, draws=50, random_seed=1)
    # A tensor library may take the logarithm of a plain constant in single precision.
    np.testing.assert_allclose(elbo.log_weights, evidence, rtol=0, atol=1e-8)


def test_the_elbo_falls_short_by_the_divergence(line, posterior):
    mean, covariance, evidence = posterior
    sd = 1 / np.sqrt(np.diag(np.linalg.inv(covariance)))  # the best mean field
    divergence = 0.5 * (np.linalg.slogdet(covariance)[1] - np.log(sd**2).sum())
    elbo = estimate_elbo(make_fit(line, mean, sd), draws=4000, random_seed=1)
    assert divergence > 10 * elbo.standard_error
    assert abs(elbo.value - (evidence - divergence)) < 4 * elbo.standard_error


def test_the_same_seed_gives_the_same_weights(line, posterior):
    fit = make_fit(line, posterior[0], np.ones(2))
    first, again, other = (estimate_elbo(fit, draws=5, random_seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.log_weights, again.log_weights)
    assert not np.array_equal(first.log_weights, other.log_weights)


def test_the_elbo_of_a_minibatch_is_refused(minnesota):
    rows = build_minibatch(minnesota.rows, 10, random_seed=1)
    model = pooled_model(rows, minnesota.coords, total_size=minnesota.n_obs)
    fit = make_fit(model, np.zeros(3), np.ones(3))
    with pytest.raises(
        ValueError, match=r"whole survey.*minibatch; give the model of survey\.rows"
    ):
        estimate_elbo(fit, random_seed=1)


def test_the_elbo_under_another_model_is_refused(line, minnesota):
    fit = make_fit(line, np.zeros(2), np.ones(2))
    other = pooled_model(minnesota.rows, minnesota.coords)
    with pytest.raises(ValueError, match="this model has 'alpha', 'beta', 'eps_interval__'"):
        estimate_elbo(fit, other, random_seed=1)


@pytest.mark.parametrize("draws", [0, 1])
def test_an_elbo_needs_two_draws(line, draws):
    with pytest.raises(ValueError, match="draws must be at least 2"):
        estimate_elbo(make_fit(line, np.zeros(2), np.ones(2)), draws=draws, random_seed=1)


@pytest.mark.parametrize("variance", [1.5, 2.0, 4.0])
def test_k_is_that_of_a_normal_with_a_wider_target(variance):
    # Weights of N(0, variance) over N(0, 1) have a tail of shape 1 - 1 / variance.
    x = np.random.default_rng(1).standard_normal(100_000)
    weights = stats.norm.logpdf(x, scale=np.sqrt(variance)) - stats.norm.logpdf(x)
    # The fit uses 3 sqrt(n) = 949 draws, where (1 + k) / sqrt(949) is k's standard error; the tail
    # is a power law only in the limit, which costs about as much again.
    shape = 1 - 1 / variance
    assert abs(pareto_k(Elbo(weights)) - shape) < 4 * (1 + shape) / np.sqrt(949)


def test_k_needs_a_hundred_draws():
    with pytest.raises(ValueError, match="at least 100 draws, got 99"):
        pareto_k(Elbo(np.zeros(99)))


@pytest.mark.parametrize("function", [pareto_k, pareto_k_error, smooth_weights])
def test_k_is_of_an_estimate(function):
    with pytest.raises(TypeError, match="elbo must be of type Elbo, got ndarray"):
        function(np.zeros(200))


def test_the_error_of_k_is_that_of_repeated_estimates():
    rng = np.random.default_rng(8927)
    elbos = [Elbo(0.5 * rng.standard_normal(4000) ** 2 * 0.9) for _ in range(200)]
    spread = np.std([pareto_k(elbo) for elbo in elbos])
    told = np.median([pareto_k_error(elbo) for elbo in elbos])
    # ArviZ's estimate has a prior that pulls it towards 0.5, so it varies a little less.
    assert 0.6 * told < spread < 1.1 * told


def test_smoothed_weights_correct_a_wide_approximation(line, posterior):
    """A mean under the posterior, from draws of a normal with twice its spread."""
    mean, covariance, _ = posterior
    wide = make_fit(line, mean, 2 * np.linalg.cholesky(covariance))
    elbo = estimate_elbo(wide, draws=4000, random_seed=1)
    weights = smooth_weights(elbo)
    drawn = wide.draw_unconstrained(4000, random_seed=1)
    assert weights.sum() == pytest.approx(1)
    size = 1 / np.sum(weights**2)
    assert size > 400
    off = weights @ drawn - mean
    assert np.all(np.abs(off) < 5 * np.sqrt(np.diag(covariance) / size))


def make_run(values: Any) -> xr.Dataset:
    return xr.Dataset({"x": (("chain", "draw"), np.atleast_2d(values))})


def test_stacked_runs_are_chains():
    stacked = stack_runs([make_run([1.0, 2.0]), make_run([3.0, 4.0])])
    assert stacked.sizes == {"chain": 2, "draw": 2}
    np.testing.assert_array_equal(stacked["x"], [[1, 2], [3, 4]])
    assert list(stacked["chain"]) == [0, 1]


@pytest.mark.parametrize(
    "runs", [[make_run([1.0])], [make_run([1.0]), make_run([[1.0], [2.0]])]], ids=["one", "chains"]
)
def test_runs_that_cannot_be_stacked_are_refused(runs):
    with pytest.raises(ValueError, match="at least two runs of one chain each"):
        stack_runs(runs)


def test_r_hat_is_arvizs():
    series = np.random.default_rng(1).standard_normal((100, 3)).cumsum(axis=0)
    halves = series.reshape(2, 50, 3)
    theirs = [az.rhat(halves[:, :, column], method="identity") for column in range(3)]
    np.testing.assert_allclose(split_r_hat(series), theirs, rtol=1e-10)


def test_batch_means_give_the_error_of_a_mean():
    series = np.random.default_rng(1).standard_normal((1000, 400))
    squares = batch_means_error(series, 10) ** 2 * 1000  # each 1 times chi-square of 9 over 9
    assert abs(squares.mean() - 1) < 4 * np.sqrt(2 / 9 / 400)


class Parameter:
    """As much of a shared variable as the callback uses."""

    def __init__(self) -> None:
        self.value = np.zeros(2)

    def get_value(self) -> np.ndarray:
        return self.value.copy()

    def set_value(self, value: np.ndarray) -> None:
        self.value = value


def feed(
    rule: AverageIterates, values: np.ndarray, first: int = 0
) -> tuple[int | None, np.ndarray]:
    """Give the rule one iterate after another; return where it stopped and what it left."""
    mean, spread = Parameter(), Parameter()
    approximation = SimpleNamespace(
        params=[mean, spread], std=SimpleNamespace(eval=lambda: np.ones(2))
    )
    for number, value in enumerate(values, start=1):
        mean.value = np.array([value, -value])
        spread.value = mean.value / 10
        try:
            rule(approximation, np.zeros(1), first + 100 * number)
        except StopIteration:
            return number, mean.value
    return None, mean.value


def make_noise() -> np.ndarray:
    return 3 + 0.3 * np.random.default_rng(1).standard_normal(1000)


def test_settled_iterates_stop_the_fit_and_leave_their_average():
    values = make_noise()
    rule = AverageIterates(r_hat=1.1, tolerance=0.05)
    stopped, left = feed(rule, values)
    assert stopped is not None
    average = values[stopped - stopped // 2 : stopped].mean()
    np.testing.assert_allclose(left, [average, -average])
    step, r_hat, error = rule.history[-1]
    assert step == 100 * stopped
    assert r_hat < 1.1
    assert error < 0.05
    *earlier, _ = rule.history
    assert all(of[1] >= 1.1 or of[2] >= 0.05 for of in earlier)


def test_iterates_on_their_way_do_not_stop_the_fit():
    assert feed(AverageIterates(), make_noise() + np.linspace(0, 50, 1000))[0] is None


def test_a_rule_used_again_starts_afresh():
    """Even where the other fit begins to call it at a later step, as a full-rank fit does."""
    rule = AverageIterates()
    stopped, _ = feed(rule, make_noise())
    assert feed(rule, make_noise())[0] == stopped
    assert feed(rule, make_noise(), first=10_000)[0] == stopped


def test_a_tighter_tolerance_stops_later():
    loose, tight = (
        feed(AverageIterates(tolerance=tolerance), make_noise())[0] for tolerance in (0.05, 0.02)
    )
    assert 0 < loose < tight


@pytest.mark.parametrize("arguments", [{"r_hat": 1.0}, {"tolerance": 0.0}, {"every": 0}])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="expected r_hat above 1|every must be at least 1"):
        AverageIterates(**arguments)
