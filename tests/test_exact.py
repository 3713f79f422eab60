"""The exact posterior against independent integration, closed forms and simulated surveys."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.special import gamma, gammaincc, ndtr
from scipy.stats import chi2, kstest, multivariate_normal, norm

from radon_gallery import _exact_quadrature as quadrature
from radon_gallery._exact_gaussian import condition, describe_effects
from radon_gallery._exact_model import Scales
from radon_gallery._exact_rule import IntegrationError, build_rule, mesh
from radon_gallery.data import Survey
from radon_gallery.exact import ExactPosterior, KnownScale, exact_posterior, log_joint
from radon_gallery.priors import (
    WIDE,
    HalfNormalPrior,
    NormalPrior,
    Priors,
    ScalePrior,
    UniformPrior,
)

TIGHT = Priors(NormalPrior(0.5, 1.0), HalfNormalPrior(0.5), HalfNormalPrior(0.7))
COUNTY_EFFECTS = ("unpooled", "hierarchical")
FLOORS = np.array([0, 1, 0, 0, 1, 1, 0, 0, 0])
COUNTIES = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])
READINGS = np.array([1.2, 0.3, 1.9, 0.8, -0.4, 0.9, 2.2, 1.1, 0.2])
COVARIATE = np.array([0.3, -1.0, 0.4, 0.0, 1.2, -0.7, 0.5, 0.1, -0.2])


def make_survey(log_radon: Any, floor: Any = FLOORS, county_idx: Any = COUNTIES) -> Survey:
    n_county = int(np.max(county_idx)) + 1
    return Survey(log_radon, floor, county_idx, tuple(f"c{code}" for code in range(n_county)))


@pytest.fixture(scope="module")
def small() -> Survey:
    return make_survey(READINGS)


@pytest.fixture(scope="module")
def recipe(minnesota: Survey) -> ExactPosterior:
    return exact_posterior(minnesota)


def stack(summary: xr.Dataset) -> np.ndarray:
    """Return means and sds of all parameters, shape (2, n_parameters)."""
    return np.concatenate([summary[name].values.reshape(2, -1) for name in summary], axis=1)


def in_sds(answer: ExactPosterior, reference: Mapping[str, tuple[Any, Any]]) -> float:
    """Return the largest distance of a mean or sd from the reference, in its posterior sds."""
    distances = [
        np.max(np.abs(answer.summary[name].sel(statistic=which).values - value) / sd)
        for name, (mean, sd) in reference.items()
        for which, value in (("mean", mean), ("sd", sd))
    ]
    return float(max(distances))


# An independent answer: the joint normal of responses and effects, written out as one dense matrix
# for each point of one fixed grid from 0 to far beyond the posterior.


def dense_system(
    survey: Survey, priors: Priors, alpha: str, beta: str, covariates: Mapping[str, Any]
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return names, loadings on the responses, prior means and variances, and scale switches.

    Rows are the independent sources of variation: fixed effects and deviations of counties.
    """
    counties = np.eye(survey.n_county)[survey.county_idx].T
    names, rows, means, fixed_sd, of_alpha, of_beta = [], [], [], [], [], []

    def add(name: str, row: Any, mean: float, sd: float, group: tuple[int, int]) -> None:
        names.append(name)
        rows.append(row)
        means.append(mean)
        fixed_sd.append(sd)
        of_alpha.append(group[0])
        of_beta.append(group[1])

    effect = priors.effect
    columns = {"alpha": np.ones(survey.n_obs), "beta": survey.floor}
    for which, (name, way) in enumerate((("alpha", alpha), ("beta", beta))):
        switch = (1, 0) if which == 0 else (0, 1)
        if way == "pooled":
            add(name, columns[name], effect.mean, effect.sd, (0, 0))
        if way == "hierarchical":
            add(f"mu_{name}", columns[name], effect.mean, effect.sd, (0, 0))
        for code, row in enumerate(counties * columns[name]):
            if way == "unpooled":
                add(f"{name}[{code}]", row, effect.mean, effect.sd, (0, 0))
            if way == "hierarchical":
                add(f"{name}[{code}]", row, 0.0, 0.0, switch)
    for name, column in covariates.items():
        add(name, column, effect.mean, effect.sd, (0, 0))
    return names, *map(np.array, (rows, means, fixed_sd, of_alpha, of_beta))


def log_density_of(prior: ScalePrior, value: np.ndarray) -> np.ndarray:
    if isinstance(prior, UniformPrior):
        return np.full_like(value, -np.log(prior.upper))
    return norm.logpdf(value, 0, prior.sd) + np.log(2)


def integrate_densely(
    survey: Survey,
    priors: Priors,
    alpha: str,
    beta: str,
    covariates: Mapping[str, Any],
    *,
    points: tuple[int, int, int] = (24, 24, 56),
    upper: float = 4.0,
) -> tuple[float, dict[str, tuple[Any, Any]]]:
    """Return the log evidence and mean and sd of every parameter."""
    names, rows, means, fixed_sd, of_alpha, of_beta = dense_system(
        survey, priors, alpha, beta, covariates
    )
    unknown = [alpha == "hierarchical", beta == "hierarchical", True]
    lines, log_weights = [], []
    for is_unknown, n_points, prior in zip(
        unknown, points, (priors.scale, priors.scale, priors.noise), strict=True
    ):
        x, weights = np.polynomial.legendre.leggauss(n_points)
        line = (x + 1) * upper / 2
        lines.append(line if is_unknown else np.zeros(1))
        log_weight = np.log(weights * upper / 2) + log_density_of(prior, line)
        log_weights.append(log_weight if is_unknown else np.zeros(1))
    nodes = np.array(list(itertools.product(*lines)))
    log_weight = np.sum(list(itertools.product(*log_weights)), axis=1)

    squares = nodes**2
    variances = fixed_sd**2 + squares[:, :1] * of_alpha + squares[:, 1:2] * of_beta
    covariance = (rows.T * variances[:, None, :]) @ rows
    covariance += squares[:, 2, None, None] * np.eye(survey.n_obs)
    inverse = np.linalg.inv(covariance)
    residual = survey.log_radon - means @ rows
    log_likelihood = -0.5 * (
        survey.n_obs * np.log(2 * np.pi)
        + np.linalg.slogdet(covariance)[1]
        + (residual @ inverse) @ residual
    )
    peak = (log_weight + log_likelihood).max()
    mass = np.exp(log_weight + log_likelihood - peak)
    log_evidence = float(peak + np.log(mass.sum()))
    mass /= mass.sum()

    # From the independent sources to the parameters: a county's effect is its centre and deviation.
    sources = np.eye(len(names))
    for which, name in enumerate(names):
        group = f"mu_{name.partition('[')[0]}"
        if group in names:
            sources[which, names.index(group)] = 1
    cross = sources @ (variances[:, :, None] * rows)
    gain = cross @ inverse
    conditional_mean = sources @ means + gain @ residual
    conditional_variance = variances @ (sources**2).T - (gain * cross).sum(axis=2)
    mean = mass @ conditional_mean
    sd = np.sqrt(mass @ (conditional_variance + (conditional_mean - mean) ** 2))
    answer: dict[str, tuple[Any, Any]] = {}
    for name in dict.fromkeys(name.partition("[")[0] for name in names):
        chosen = [which for which, full in enumerate(names) if full.partition("[")[0] == name]
        single = names[chosen[0]] == name
        answer[name] = (mean[chosen[0]], sd[chosen[0]]) if single else (mean[chosen], sd[chosen])
    for which, name in enumerate(Scales._fields):
        if unknown[which]:
            centre = mass @ nodes[:, which]
            answer[name] = (centre, np.sqrt(mass @ (nodes[:, which] - centre) ** 2))
    return log_evidence, answer


ALIKE = READINGS - np.bincount(COUNTIES, READINGS)[COUNTIES] / np.bincount(COUNTIES)[COUNTIES]


@pytest.mark.parametrize(
    ("alpha", "beta", "names", "readings"),
    [
        ("hierarchical", "hierarchical", (), READINGS),
        ("hierarchical", "hierarchical", ("covariate",), READINGS),
        ("hierarchical", "hierarchical", (), ALIKE),
        ("hierarchical", "pooled", ("covariate",), READINGS),
        ("pooled", "hierarchical", (), READINGS),
        ("unpooled", "hierarchical", ("covariate",), READINGS),
        ("hierarchical", "absent", (), ALIKE),
        ("unpooled", "unpooled", (), READINGS),
        ("pooled", "pooled", ("covariate",), READINGS),
        ("absent", "absent", ("covariate",), READINGS),
    ],
)
def test_agrees_with_dense_integration(
    alpha: Any, beta: Any, names: tuple[str, ...], readings: np.ndarray
) -> None:
    survey = make_survey(readings)
    covariates = dict.fromkeys(names, COVARIATE)
    answer = exact_posterior(survey, priors=TIGHT, alpha=alpha, beta=beta, covariates=covariates)
    log_evidence, reference = integrate_densely(survey, TIGHT, alpha, beta, covariates)
    assert set(answer.summary) == set(reference)
    assert answer.log_evidence == pytest.approx(log_evidence, abs=1e-4)
    assert in_sds(answer, reference) < 1e-4


def test_the_recipe_has_the_known_answer(recipe: ExactPosterior) -> None:
    known = {
        "mu_alpha": (1.4920, 0.0511),
        "mu_beta": (-0.6485, 0.0822),
        "sigma_alpha": (0.3250, 0.0454),
        "sigma_beta": (0.2595, 0.1290),
        "eps": (0.7206, 0.0181),
    }
    assert recipe.log_evidence == pytest.approx(-1088.335, abs=5e-4)
    for name, moments in known.items():
        np.testing.assert_allclose(recipe.summary[name], moments, rtol=0, atol=5.1e-5)


@pytest.mark.parametrize("priors", ["wide", "weak"])
def test_refining_twofold_leaves_the_answer_as_it_is(minnesota: Survey, priors: str) -> None:
    answer = exact_posterior(minnesota, priors=priors)
    assert answer.n_nodes == 30  # one refinement settles it
    rules = [
        build_rule(rule.axis, rule.values[0], 2 * len(rule.values)) for rule in answer._level.rules
    ]
    finer = quadrature.integrate(answer._problem, answer._model, rules)
    assert abs(answer.log_evidence - finer.log_evidence) < 1e-6
    assert np.abs(answer._level.mean - finer.mean).max() < 1e-6
    assert np.abs(answer._level.sd - finer.sd).max() < 1e-6
    # The estimate is on the safe side, and tight enough to be of use.
    assert abs(answer.log_evidence - finer.log_evidence) < answer.log_evidence_error < 1e-3
    assert float(max(answer.error[name].max() for name in answer.error)) < 1e-4


@pytest.mark.parametrize("upper", [0.1, 1.0, 100.0])
def test_noise_alone_follows_an_incomplete_gamma(upper: float) -> None:
    readings = np.array([0.3, -0.2, 0.5, 0.1, -0.4, 0.2])
    squares = readings @ readings
    noise = {"eps": UniformPrior(upper)}
    survey = make_survey(readings, np.zeros(6, int), np.zeros(6, int))
    answer = exact_posterior(survey, alpha="absent", beta="absent", overrides=noise)

    def moment(power: int) -> float:  # integral of eps^(power - n) exp(-squares / (2 eps²))
        shape = (5 - power) / 2
        tail = gammaincc(shape, squares / (2 * upper**2)) * gamma(shape)
        return float((2 / squares) ** shape * tail / 2)

    constant = -3 * np.log(2 * np.pi) - np.log(upper)
    mean = moment(1) / moment(0)
    sd = np.sqrt(moment(2) / moment(0) - mean**2)
    assert answer.log_evidence == pytest.approx(np.log(moment(0)) + constant, abs=1e-6)
    assert in_sds(answer, {"eps": (mean, sd)}) < 1e-5


def test_known_scales_leave_a_normal_posterior(small: Survey) -> None:
    scales = {"sigma_alpha": 0.4, "sigma_beta": 0.3, "eps": 0.6}
    overrides = {name: KnownScale(value) for name, value in scales.items()}
    answer = exact_posterior(small, priors=TIGHT, overrides=overrides)
    same = small.county_idx[:, None] == small.county_idx
    both = np.outer(small.floor, small.floor)
    covariance = 1.0 + 0.4**2 * same + both * (1.0 + 0.3**2 * same) + 0.6**2 * np.eye(9)
    density = multivariate_normal(0.5 + 0.5 * small.floor, covariance)
    assert answer.log_evidence == pytest.approx(density.logpdf(small.log_radon), abs=1e-10)
    assert set(answer.summary) == {"mu_alpha", "mu_beta", "alpha", "beta"}
    assert answer.log_evidence_error == 0


def test_one_group_of_known_scales_is_conjugate() -> None:
    readings = np.array([0.9, 1.4, 1.6, 0.7])
    overrides = {"eps": KnownScale(0.5), "sigma_alpha": KnownScale(0.0)}
    survey = make_survey(readings, np.zeros(4, int), np.zeros(4, int))
    answer = exact_posterior(survey, priors=TIGHT, beta="absent", overrides=overrides)
    precision = 1 + 4 / 0.25
    mean, sd = (0.5 + readings.sum() / 0.25) / precision, precision**-0.5
    assert in_sds(answer, {"mu_alpha": (mean, sd), "alpha": (mean, sd)}) < 1e-10
    quartiles = norm(mean, sd).ppf(answer.quantiles["quantile"])
    np.testing.assert_allclose(answer.quantiles["mu_alpha"], quartiles, atol=1e-5 * sd)


def test_ranks_of_the_truth_among_draws_are_uniform() -> None:
    """Simulation-based calibration [talts2018validating]: draws and truth are exchangeable."""
    n_surveys, n_draws, n_bins = 100, 99, 10
    rng = np.random.default_rng(20240511)
    ranks: dict[str, list[int]] = {}
    sigma_beta = 0.5  # known, so that each answer takes a plane of nodes and not a cube
    for seed in range(n_surveys):
        sigma_alpha, eps = np.abs(rng.normal(0, [0.5, 0.7]))
        truth = {"sigma_alpha": sigma_alpha, "eps": eps}
        truth["mu_alpha"], truth["mu_beta"], truth["slope"] = rng.normal(0.5, 1, 3)
        alpha = rng.normal(truth["mu_alpha"], sigma_alpha, 4)
        beta = rng.normal(truth["mu_beta"], sigma_beta, 4)
        truth["alpha"], truth["beta"] = alpha[0], beta[0]
        mean = alpha[COUNTIES] + beta[COUNTIES] * FLOORS + truth["slope"] * COVARIATE
        answer = exact_posterior(
            make_survey(rng.normal(mean, eps)),
            priors=TIGHT,
            covariates={"slope": COVARIATE},
            overrides={"sigma_beta": KnownScale(sigma_beta)},
        )
        draws = answer.sample(n_draws, random_seed=seed).isel(county=0)
        for name, value in truth.items():
            ranks.setdefault(name, []).append(int((draws[name] < value).sum()))
    # One chance in a thousand that any of the seven exceeds its threshold.
    threshold = chi2(n_bins - 1).isf(1e-3 / len(ranks))
    for name, each in ranks.items():
        counts = np.bincount(np.array(each) * n_bins // (n_draws + 1), minlength=n_bins)
        expected = n_surveys / n_bins
        assert ((counts - expected) ** 2 / expected).sum() < threshold, name


def test_draws_follow_the_marginals(recipe: ExactPosterior) -> None:
    n_draws = 4000
    draws = recipe.sample(n_draws, random_seed=3)
    for name in ("mu_alpha", "sigma_alpha", "mu_beta", "sigma_beta", "eps"):
        value, density = recipe.densities[name].values
        steps = np.diff(value) * (density[1:] + density[:-1]) / 2
        distribution = np.concatenate([[0], steps.cumsum()]) / steps.sum()
        test = kstest(draws[name].values[0], np.interp, args=(value, distribution))
        assert test.pvalue > 1e-4, name
    mean, sd = stack(recipe.summary)
    drawn = np.concatenate([draws[name].values.reshape(n_draws, -1) for name in draws], axis=1)
    # The draws are independent, so that their number is the effective sample size.
    assert np.abs((drawn.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(n_draws)


def test_draws_of_scales_are_correlated_as_the_nodes_are(recipe: ExactPosterior) -> None:
    draws = recipe.sample(4000, random_seed=4)
    drawn = np.array([np.log(draws[name].values[0] + 0.1) for name in Scales._fields])
    nodes = np.array(mesh([np.log(rule.values + 0.1) for rule in recipe._level.rules]))
    covariance = np.cov(nodes, aweights=recipe._level.mass.ravel())
    sd = np.sqrt(np.diag(covariance))
    expected = covariance / np.outer(sd, sd)
    np.testing.assert_allclose(np.corrcoef(drawn), expected, atol=5 / np.sqrt(4000))


def test_draws_hold_together(small: Survey) -> None:
    """Where county and noise cannot be told apart, only the sum of their variances is known."""
    survey = make_survey(READINGS, np.zeros(9, int), np.arange(9))
    answer = exact_posterior(survey, priors="weak", beta="absent")
    draws = answer.sample(4000, random_seed=8)
    together = np.hypot(draws["sigma_alpha"], draws["eps"])
    assert np.corrcoef(draws["sigma_alpha"], draws["eps"])[0, 1] < -0.3
    assert float(together.std()) < 0.8 * float(draws["eps"].std())
    assert float(np.abs(draws["alpha"] - READINGS).mean()) < float(draws["eps"].mean())


def test_draws_are_reproducible_and_labelled(recipe: ExactPosterior, minnesota: Survey) -> None:
    first, again, other = (recipe.sample(7, random_seed=seed) for seed in (1, 1, 2))
    assert first.identical(again)
    assert not first.equals(other)
    assert first["alpha"].dims == ("chain", "draw", "county")
    assert first["eps"].shape == (1, 7)
    assert list(first["county"].values) == list(minnesota.county)
    assert set(first) == set(recipe.summary)


def test_quantiles_and_densities_are_those_of_the_mixture(recipe: ExactPosterior) -> None:
    level, model = recipe._level, recipe._model
    nodes = mesh([rule.values for rule in level.rules])
    mass = level.mass.ravel()
    some = np.flatnonzero(mass > 1e-10)
    scales = Scales(*(scale[some] for scale in nodes))
    mean, sd = describe_effects(model, scales, condition(model, scales))
    columns = {"mu_alpha": 0, "mu_beta": 1, "alpha": 2 + 5, "beta": 2 + 85 + 36}
    for name, column in columns.items():
        county = {"alpha": 5, "beta": 36}.get(name)
        chosen = {} if county is None else {"county": county}
        quantiles = recipe.quantiles[name].isel(chosen)
        z = (quantiles.values[:, None] - mean[:, column]) / sd[:, column]
        np.testing.assert_allclose(ndtr(z) @ mass[some], quantiles["quantile"], atol=1e-5)
        value, density = recipe.densities[name].isel(chosen).values
        z = (value[:, None] - mean[:, column]) / sd[:, column]
        heights = norm.pdf(z) / sd[:, column] @ mass[some]
        np.testing.assert_allclose(density, heights, atol=1e-5 * heights.max())


def test_densities_of_scales_integrate_to_their_moments(recipe: ExactPosterior) -> None:
    for name in Scales._fields:
        value, density = recipe.densities[name].values
        mean, sd = recipe.summary[name].values
        steps = np.diff(value)

        def integrate(heights: np.ndarray, steps: np.ndarray = steps) -> float:
            return float(steps @ (heights[1:] + heights[:-1])) / 2

        assert integrate(density) == pytest.approx(1, abs=1e-3)
        assert integrate(value * density) == pytest.approx(mean, abs=5e-3 * sd)


def test_names_and_dimensions_follow_the_model(small: Survey) -> None:
    pooled = exact_posterior(small, priors=TIGHT, alpha="pooled", beta="pooled")
    assert {name: pooled.summary[name].dims for name in pooled.summary} == {
        "alpha": ("statistic",),
        "beta": ("statistic",),
        "eps": ("statistic",),
    }
    unpooled = exact_posterior(small, priors=TIGHT, alpha="unpooled", beta="absent")
    assert {name: unpooled.densities[name].dims for name in unpooled.densities} == {
        "eps": ("curve", "point"),
        "alpha": ("curve", "county", "point"),
    }
    hierarchical = exact_posterior(small, priors=TIGHT, probabilities=[0.1, 0.9])
    assert list(hierarchical.quantiles["quantile"].values) == [0.1, 0.9]
    assert list(hierarchical.quantiles["county"].values) == list(small.county)
    assert set(hierarchical.summary) == {
        *("mu_alpha", "sigma_alpha", "mu_beta", "sigma_beta", "eps", "alpha", "beta")
    }
    assert "_model" not in repr(hierarchical)


# Hard posteriors: the right answer, or a clear error.


def test_one_home_says_little_but_the_sum() -> None:
    """The scales keep their uniform priors; the group mean knows the reading, and they blur it."""
    answer = exact_posterior(make_survey([1.2], [0], [0]))
    uniform = (50.0, 100 / np.sqrt(12))
    reference = dict.fromkeys(("sigma_alpha", "sigma_beta", "eps"), uniform)
    assert in_sds(answer, reference) < 1e-4
    assert in_sds(answer, {"mu_alpha": (1.2, np.sqrt(2 / 3) * 100)}) < 1e-4
    assert in_sds(answer, {"mu_beta": (0.0, 1e4)}) < 1e-9


def test_one_county_is_pooling_with_a_loose_centre() -> None:
    survey = make_survey(READINGS, FLOORS, np.zeros(9, int))
    one = exact_posterior(survey, beta="pooled")
    pooled = exact_posterior(survey, alpha="pooled", beta="pooled")
    assert one.log_evidence == pytest.approx(pooled.log_evidence, abs=1e-4)
    reference = {
        name: (pooled.summary[name].values[:1], pooled.summary[name].values[1:])
        for name in ("alpha", "beta")
    }
    assert in_sds(one, reference) < 1e-4
    assert in_sds(one, {"sigma_alpha": (50.0, 100 / np.sqrt(12))}) < 1e-4


def test_two_counties_have_a_long_tail_to_the_bound() -> None:
    """With two counties the density of the scale falls like its inverse, all the way to 100."""
    readings = np.array([0.0, 0.1, 1.0, 1.1])
    survey = make_survey(readings, np.zeros(4, int), [0, 0, 1, 1])
    noise = {"eps": KnownScale(0.1)}
    answer = exact_posterior(survey, beta="absent", overrides=noise)
    # A flat mean leaves the difference of the county means, N(0, 2 sigma² + 0.1²).
    scale = np.geomspace(1e-4, 100, 200_001)
    density = norm.pdf(1.0, 0, np.sqrt(2 * scale**2 + 0.1**2))
    weight = density * np.gradient(scale)
    mean = (weight * scale).sum() / weight.sum()
    sd = np.sqrt((weight * (scale - mean) ** 2).sum() / weight.sum())
    assert in_sds(answer, {"sigma_alpha": (mean, sd)}) < 1e-4


def test_readings_nearly_fitted_without_error_are_resolved() -> None:
    """Two homes that almost agree let the noise be tiny: its density falls over four decades."""
    readings = READINGS.copy()
    readings[2] = readings[0] + 1e-4
    survey = make_survey(readings, np.zeros(9, int), [0, 1, 0, 2, 3, 4, 5, 6, 7])
    answer = exact_posterior(survey, priors=TIGHT, beta="absent")
    sigma, weights = np.polynomial.legendre.leggauss(60)
    sigma, weights = 2 * (sigma + 1), 2 * weights
    eps = np.geomspace(1e-8, 5, 700)
    log_step = np.log(eps[1] / eps[0])
    nodes = np.array(list(itertools.product(sigma, eps)))
    mass = np.outer(weights, eps * log_step).ravel()
    mass *= np.exp(log_density_of(TIGHT.scale, nodes[:, 0]))
    mass *= np.exp(log_density_of(TIGHT.noise, nodes[:, 1]))
    # The difference of the pair, and what is left: its mean and the seven others.
    between, within = nodes.T**2
    mass *= norm.pdf(1e-4, 0, np.sqrt(2 * within))
    others = np.array([readings[[0, 2]].mean(), *np.delete(readings, [0, 2])]) - 0.5
    variances = between[:, None] + within[:, None] / np.array([2, 1, 1, 1, 1, 1, 1, 1])
    precision = (1 / variances).sum(axis=1)
    squares = others**2 @ (1 / variances).T - (others @ (1 / variances).T) ** 2 / (1 + precision)
    mass *= np.exp(-squares / 2) / np.sqrt((1 + precision) * variances.prod(axis=1))
    log_evidence = np.log(mass.sum()) - 4 * np.log(2 * np.pi)
    mass /= mass.sum()
    assert answer.log_evidence == pytest.approx(log_evidence, abs=1e-4)
    mean = mass @ nodes
    sd = np.sqrt(mass @ (nodes - mean) ** 2)
    reference = {"sigma_alpha": (mean[0], sd[0]), "eps": (mean[1], sd[1])}
    assert in_sds(answer, reference) < 1e-4


def test_a_spike_beside_a_broad_hill_is_resolved() -> None:
    """A simulated survey whose noise may be 0.001 or 0.3; the evidence is that of 225 nodes."""
    readings = [0.5332, -0.9047, 0.6966, 0.8842, 2.2134, 0.651, 1.3709, 0.723, -0.4381]
    answer = exact_posterior(
        make_survey(readings),
        priors=TIGHT,
        covariates={"slope": COVARIATE},
        overrides={"sigma_beta": KnownScale(0.5)},
    )
    assert answer.log_evidence == pytest.approx(-8.8904567, abs=2e-5)


@pytest.mark.parametrize("floor", [0, 1])
def test_floors_all_equal_leave_the_floor_effect_to_its_prior(floor: int) -> None:
    survey = make_survey(READINGS, np.full(9, floor))
    answer = exact_posterior(survey, beta="pooled")
    assert np.isfinite(answer.log_evidence)
    if floor == 0:
        absent = exact_posterior(survey, beta="absent")
        assert answer.log_evidence == pytest.approx(absent.log_evidence, abs=1e-8)
        assert in_sds(answer, {"beta": (0.0, 1e4)}) < 1e-9
    else:  # only the sum is known, and each has half of it
        sd = 1e4 / np.sqrt(2)
        assert in_sds(answer, {"beta": (answer.summary["mu_alpha"][0], sd)}) < 1e-6
        np.testing.assert_allclose(answer.summary["alpha"].sel(statistic="sd"), sd, rtol=1e-6)
        draws = answer.sample(1000, random_seed=1)
        assert float(draws["beta"].std()) == pytest.approx(sd, rel=5 / np.sqrt(2000))
        assert float((draws["mu_alpha"] + draws["beta"]).std()) < 2


def test_collinear_covariates_share_one_effect(minnesota: Survey) -> None:
    again = {"again": minnesota.floor, "twice": 2 * minnesota.floor}
    answer = exact_posterior(minnesota, alpha="pooled", beta="pooled", covariates=again)
    wider = {"beta": NormalPrior(0.0, np.sqrt(6) * WIDE.effect.sd)}
    one = exact_posterior(minnesota, alpha="pooled", beta="pooled", overrides=wider)
    assert answer.log_evidence == pytest.approx(one.log_evidence, abs=1e-8)
    total = one.summary["beta"].values[0]
    means = {"beta": 1 / 6, "again": 1 / 6, "twice": 2 / 6}
    sds = {"beta": np.sqrt(5 / 6), "again": np.sqrt(5 / 6), "twice": np.sqrt(2 / 6)}
    reference = {name: (means[name] * total, sds[name] * 1e4) for name in means}
    assert in_sds(answer, reference) < 1e-6
    draws = answer.sample(2000, random_seed=5)
    together = draws["beta"] + draws["again"] + 2 * draws["twice"]
    assert float(together.std()) == pytest.approx(one.summary["beta"].values[1], rel=0.1)


def test_nearly_collinear_covariates_are_refused(small: Survey) -> None:
    with pytest.raises(ValueError, match=r"'almost' must differ .* Centre or drop it"):
        exact_posterior(small, covariates={"almost": small.floor + 1e-8 * COVARIATE})


def test_a_covariate_of_counties_is_left_to_its_prior_by_unpooled_ones(minnesota: Survey) -> None:
    assert minnesota.log_uranium is not None
    uranium = minnesota.log_uranium[minnesota.county_idx]
    answer = exact_posterior(minnesota, alpha="unpooled", covariates={"uranium": uranium})
    # Least squares of 85 free intercepts, each N(0, 10,000²), on uranium: a ridge in one line.
    mean, sd = answer.summary["uranium"].values
    assert sd == pytest.approx(1e4 / np.sqrt(1 + minnesota.log_uranium @ minnesota.log_uranium))
    assert abs(mean) < 2


CONSTANT = np.full(9, 1.3)


@pytest.mark.parametrize("priors", ["wide", "weak"])
@pytest.mark.parametrize(
    ("log_radon", "county_idx"),
    [
        (CONSTANT, COUNTIES),
        (CONSTANT, np.arange(9)),
        (CONSTANT, np.zeros(9, int)),
        ([1.3, 1.3, 0.2, 0.9, 2.0, -0.3, 0.5, 1.8, 0.1], [0, 0, 1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_a_response_without_noise_has_no_posterior(
    log_radon: Any, county_idx: Any, priors: str
) -> None:
    survey = make_survey(log_radon, np.zeros(9, int), county_idx)
    with pytest.raises(IntegrationError, match=r"piles up at 0, expected .* Give more homes"):
        exact_posterior(survey, priors=priors, beta="absent")


def test_a_constant_response_has_a_posterior_if_the_noise_is_known() -> None:
    overrides = {"eps": KnownScale(0.5)}
    answer = exact_posterior(make_survey(CONSTANT), priors=TIGHT, overrides=overrides)
    assert float(answer.summary["sigma_alpha"][0]) < HalfNormalPrior(0.5).sd * np.sqrt(2 / np.pi)


def test_the_level_of_the_response_does_not_matter(small: Survey) -> None:
    raised = {"mu_alpha": NormalPrior(1e6, 1e4)}
    low = exact_posterior(small, beta="pooled")
    high = exact_posterior(make_survey(READINGS + 1e6), beta="pooled", overrides=raised)
    assert high.log_evidence == pytest.approx(low.log_evidence, abs=1e-6)
    for name in ("sigma_alpha", "eps", "beta"):
        reference = tuple(low.summary[name].values)
        assert in_sds(high, {name: reference}) < 1e-6


def test_the_unit_of_the_response_does_not_matter(small: Survey) -> None:
    unit = 1e-4
    scaled = Priors(NormalPrior(0.0, unit), HalfNormalPrior(unit), UniformPrior(100 * unit))
    plain = Priors(NormalPrior(0.0, 1.0), HalfNormalPrior(1.0), UniformPrior(100.0))
    one = exact_posterior(make_survey(unit * READINGS), priors=scaled, beta="pooled")
    other = exact_posterior(small, priors=plain, beta="pooled")
    assert one.log_evidence + 9 * np.log(unit) == pytest.approx(other.log_evidence, abs=1e-5)
    reference = {name: tuple(unit * other.summary[name].values) for name in other.summary}
    assert in_sds(one, reference) < 1e-5


@pytest.mark.parametrize("unit", [1e8, 1e12])
@pytest.mark.filterwarnings("error")
def test_priors_in_another_unit_than_the_response_are_an_error(unit: float) -> None:
    with pytest.raises(IntegrationError, match=r"keep the scales so far below .* same unit"):
        exact_posterior(make_survey(unit * READINGS))


def test_as_many_effects_as_homes_are_an_error() -> None:
    columns = np.random.default_rng(1).normal(size=(9, 9))
    covariates = {f"x{number}": column for number, column in enumerate(columns)}
    with pytest.raises(IntegrationError, match=r"nearly repeat the response.* more homes"):
        exact_posterior(make_survey(READINGS), priors="weak", covariates=covariates)


def test_an_unsettled_rule_is_an_error(small: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "_LEVELS", (3, 4))
    with pytest.raises(IntegrationError, match=r"4 nodes a scale still moved the answer"):
        exact_posterior(small)


@pytest.mark.parametrize("end", ["lower", "upper"])
def test_a_cut_range_is_an_error(
    minnesota: Survey, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    found = quadrature.find_axes

    def cut(*arguments: Any) -> Any:
        axes = found(*arguments)
        middle = (axes[2].lower + axes[2].upper) / 2
        return [*axes[:2], axes[2]._replace(**{end: middle})]

    monkeypatch.setattr(quadrature, "find_axes", cut)
    with pytest.raises(IntegrationError, match=r"range found for eps cuts the posterior"):
        exact_posterior(minnesota, alpha="pooled", beta="pooled")


# The joint density at a point.


KNOWN = {"sigma_alpha": 0.4, "sigma_beta": 0.3, "eps": 0.6}
KNOWN_MODEL: dict[str, Any] = {
    "priors": TIGHT,
    "overrides": {name: KnownScale(value) for name, value in KNOWN.items()},
}


def posterior_of_known_scales() -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of (mu_alpha, mu_beta, alpha, beta), from their precision."""
    rows = np.zeros((9, 10))
    rows[np.arange(9), 2 + COUNTIES], rows[np.arange(9), 6 + COUNTIES] = 1, FLOORS
    groups = np.eye(10)[2:]
    groups[:4, 0] = groups[4:, 1] = -1
    weights = np.repeat([KNOWN["sigma_alpha"] ** -2, KNOWN["sigma_beta"] ** -2], 4)
    precision = np.diag([1.0, 1.0, *np.zeros(8)]) + groups.T @ (weights[:, None] * groups)
    precision += rows.T @ rows / KNOWN["eps"] ** 2
    shift = np.array([0.5, 0.5, *np.zeros(8)]) + rows.T @ READINGS / KNOWN["eps"] ** 2
    covariance = np.linalg.inv(precision)
    return covariance @ shift, covariance


def test_log_joint_over_the_conditional_is_the_evidence(small: Survey) -> None:
    """Bayes' theorem at any point, for scales that are known and a dense normal for the rest."""
    answer = exact_posterior(small, **KNOWN_MODEL)
    posterior = multivariate_normal(*posterior_of_known_scales())
    for point in np.random.default_rng(0).normal(size=(3, 10)):
        values = {"mu_alpha": point[0], "mu_beta": point[1], "alpha": point[2:6], "beta": point[6:]}
        ratio = log_joint(small, values, **KNOWN_MODEL) - posterior.logpdf(point)
        assert ratio == pytest.approx(answer.log_evidence, abs=1e-9)


def test_draws_of_effects_have_their_joint_covariance(small: Survey) -> None:
    n_draws = 20_000
    draws = exact_posterior(small, **KNOWN_MODEL).sample(n_draws, random_seed=11)
    names = ("mu_alpha", "mu_beta", "alpha", "beta")
    table = np.column_stack([draws[name].values.reshape(n_draws, -1) for name in names])
    _, covariance = posterior_of_known_scales()
    variances = np.diag(covariance)
    standard_error = np.sqrt((np.outer(variances, variances) + covariance**2) / n_draws)
    assert (np.abs(np.cov(table.T) - covariance) / standard_error).max() < 5


def test_log_joint_includes_the_priors_of_scales(small: Survey) -> None:
    values: dict[str, Any] = {"alpha": 0.4, "beta": -0.2, "slope": 0.3, "eps": 0.8}
    total = log_joint(
        small,
        values,
        priors="weak",
        alpha="pooled",
        beta="pooled",
        covariates={"slope": COVARIATE},
    )
    mean = 0.4 - 0.2 * FLOORS + 0.3 * COVARIATE
    expected = norm.logpdf([0.4, -0.2, 0.3], 0, 5).sum() + norm.logpdf(READINGS, mean, 0.8).sum()
    assert total == pytest.approx(expected + np.log(2) + norm.logpdf(0.8), abs=1e-10)
    assert log_joint(small, values | {"eps": 101.0}, alpha="pooled", beta="pooled") == -np.inf
    for outside in (-1.0, 0.0):
        beyond = values | {"eps": outside}
        assert log_joint(small, beyond, alpha="pooled", beta="pooled") == -np.inf
    unpooled = {"alpha": [0.1, 0.2, 0.3, 0.4], "eps": 0.8}
    expected = norm.logpdf(unpooled["alpha"], 0, 1e4).sum() - np.log(100)
    expected += norm.logpdf(READINGS, np.array(unpooled["alpha"])[COUNTIES], 0.8).sum()
    total = log_joint(small, unpooled, alpha="unpooled", beta="absent")
    assert total == pytest.approx(expected, abs=1e-10)


def test_log_joint_needs_effects_with_a_density(small: Survey) -> None:
    values = {"mu_alpha": 0.0, "alpha": np.zeros(4), "eps": 1.0}
    with pytest.raises(ValueError, match=r"no density if their scale is known to be 0"):
        log_joint(small, values, beta="absent", overrides={"sigma_alpha": KnownScale(0)})


@pytest.mark.parametrize("values", [{"eps": 1.0}, {"alpha": [0.0], "beta": 0.0, "eps": 1.0}])
def test_log_joint_asks_for_what_is_missing(small: Survey, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"values must hold 'alpha', 'beta', 'eps'.*'alpha'"):
        log_joint(small, values, alpha="pooled", beta="pooled")


# What is not a model.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"alpha": "partial"}, ValueError, r"unknown alpha 'partial'; choose one of 'absent'"),
        ({"priors": "flat"}, ValueError, r"unknown priors 'flat'"),
        ({"covariates": {"eps": COVARIATE}}, ValueError, r"may not be called 'eps'"),
        ({"covariates": [COVARIATE]}, TypeError, r"covariates must be of type Mapping"),
        ({"covariates": {1: COVARIATE}}, TypeError, r"name of covariate 1 must be of type str"),
        ({"overrides": [KnownScale(1)]}, TypeError, r"overrides must be of type Mapping"),
        ({"covariates": {"x": COVARIATE[:4]}}, ValueError, r"x has 4, log_radon has 9"),
        ({"covariates": {"x": np.full(9, np.nan)}}, ValueError, r"x must be a finite number"),
        (
            {"overrides": {"mu_gamma": NormalPrior(0, 1)}},
            ValueError,
            r"'mu_gamma' match no parameter; this model has 'mu_alpha', 'mu_beta', 'sigma_alpha'",
        ),
        ({"overrides": {"mu_alpha": KnownScale(1)}}, TypeError, r"mu_alpha must be a NormalPrior"),
        ({"overrides": {"eps": NormalPrior(0, 1)}}, TypeError, r"eps must be a UniformPrior or"),
        ({"overrides": {"eps": KnownScale(0)}}, ValueError, r"eps must be positive"),
        ({"probabilities": [0.5, 1.0]}, ValueError, r"between 0 and 1"),
    ],
)
def test_bad_input_is_refused(
    small: Survey, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        exact_posterior(small, **arguments)


def test_rows_are_not_a_survey(small: Survey) -> None:
    with pytest.raises(TypeError, match=r"survey must be of type Survey, got Rows"):
        exact_posterior(small.rows)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_a_known_scale_is_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ValueError, match=r"finite value of at least 0"):
        KnownScale(value)


def test_a_known_scale_is_a_number() -> None:
    with pytest.raises(TypeError, match=r"value of KnownScale must be a number, got '0.5'"):
        KnownScale("0.5")  # type: ignore[arg-type]


@pytest.mark.parametrize(("draws", "error"), [(0, ValueError), (1.5, TypeError)])
def test_the_number_of_draws_is_checked(
    recipe: ExactPosterior, draws: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="draws must be"):
        recipe.sample(draws, random_seed=1)
