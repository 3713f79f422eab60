"""ADVI and NUTS on the recipe's model against what is known of it exactly.

ADVI makes two errors. The *optimiser's* is the distance from the best mean-field approximation,
which is computed here without any sampling; the *family's* is the distance of that from the exact
posterior. NUTS makes neither, only Monte Carlo error.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import arviz as az
import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, special

from radon_gallery.comparison import posterior_dataset
from radon_gallery.data import Survey
from radon_gallery.inference import AdviFit, fit_advi, sample_nuts
from radon_gallery.minibatch import build_minibatch
from radon_gallery.models import PARAMETERISATIONS, hierarchical_model
from radon_gallery.optimum import family_optimum

Array = npt.NDArray[np.float64]

# The recipe's model on the 919 homes, by three-dimensional quadrature: mean and sd.
EXACT = {
    "mu_alpha": (1.4920, 0.0511),
    "sigma_alpha": (0.3250, 0.0454),
    "mu_beta": (-0.6485, 0.0822),
    "sigma_beta": (0.2595, 0.1290),
    "eps": (0.7206, 0.0181),
}
LOG_EVIDENCE = -1088.335


# --- the mean-field family, exactly -----------------------------------------------------------


class Moments(NamedTuple):
    """Expectations of a scale whose logit on (0, 100) is normal."""

    scale: float
    square: float
    precision: float
    log: float
    log_jacobian: float

    @property
    def sd(self) -> float:
        return float(np.sqrt(self.square - self.scale**2))


def moments(mean: float, sd: float) -> Moments:
    """Return the moments by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    logit = mean + sd * nodes
    log_share, log_rest = special.log_expit(logit), special.log_expit(-logit)
    scale = 100 * np.exp(log_share)
    values = (scale, scale**2, scale**-2.0, np.log(scale), log_share + log_rest)
    return Moments(*(float(np.sum(weights * value) / np.sum(weights)) for value in values))


class Expected(NamedTuple):
    """The log joint, averaged over the scales: constant + linear · θ - θ' precision θ / 2."""

    precision: Array
    linear: Array
    constant: float


def average_over_scales(
    survey: Survey, kind: str, a: Moments, b: Moments, eps: Moments
) -> Expected:
    """Return what is left of the log joint, a quadratic in θ.

    θ holds the county intercepts and floor effects (or their offsets), mu_alpha and mu_beta.
    """
    n_obs, n_county, floor = survey.n_obs, survey.n_county, survey.floor
    design = np.zeros((n_obs, 2 * n_county + 2))
    design[np.arange(n_obs), survey.county_idx] = 1
    design[np.arange(n_obs), n_county + survey.county_idx] = floor
    prior = np.zeros((design.shape[1],) * 2)
    constant = -0.5 * (2 * n_county + 2 + n_obs) * np.log(2 * np.pi) - 2 * np.log(100.0**2)
    if kind == "centred":
        for group, mean in ((np.arange(n_county), -2), (n_county + np.arange(n_county), -1)):
            weight = (a, b)[mean].precision
            prior[group, group] = weight
            prior[group, mean] = prior[mean, group] = -weight
            prior[mean, mean] = n_county * weight
        constant -= n_county * (a.log + b.log)
        products = np.ones_like(prior)
    else:
        design[:, -2], design[:, -1] = 1, floor
        prior[np.arange(2 * n_county), np.arange(2 * n_county)] = 1
        factors = np.repeat([a.scale, b.scale, 1.0], [n_county, n_county, 2])
        products = np.outer(factors, factors)
        for group, of in ((slice(0, n_county), a), (slice(n_county, -2), b)):
            products[group, group] = of.square
    prior[[-2, -1], [-2, -1]] += 100.0**-4
    factors = np.ones(design.shape[1]) if kind == "centred" else factors
    return Expected(
        precision=prior + eps.precision * products * (design.T @ design),
        linear=eps.precision * factors * (design.T @ survey.log_radon),
        constant=constant - n_obs * eps.log - 0.5 * eps.precision * np.sum(survey.log_radon**2),
    )


def exact_elbo(survey: Survey, kind: str, mean: Array, sd: Array, scales: Array) -> float:
    """Return the ELBO of normals N(mean, sd²) on θ and N(scales[0], scales[1]²) on the logits."""
    of_scales = [moments(*column) for column in scales.T]
    expected = average_over_scales(survey, kind, *of_scales)
    every_sd = np.concatenate([sd, scales[1]])
    return float(
        expected.constant
        + sum(of.log_jacobian for of in of_scales)
        + expected.linear @ mean
        - 0.5 * (mean @ expected.precision @ mean + np.diag(expected.precision) @ sd**2)
        + 0.5 * np.sum(np.log(2 * np.pi * np.e * every_sd**2))
    )


def best_elbo(survey: Survey, kind: str) -> tuple[float, Array]:
    """Return the largest ELBO of the family, and the normals on the logits that reach it.

    Given those, the best normals on θ are known in closed form, which leaves six numbers to search.
    """

    def loss(packed: Array) -> float:
        scales = np.stack([packed[:3], np.exp(packed[3:])])
        expected = average_over_scales(survey, kind, *(moments(*of) for of in scales.T))
        mean = np.linalg.solve(expected.precision, expected.linear)
        sd = 1 / np.sqrt(np.diag(expected.precision))
        return -exact_elbo(survey, kind, mean, sd, scales)

    logits = special.logit(np.array([0.3, 0.2, 0.7]) / 100)
    start = np.concatenate([logits, np.log([0.1, 0.2, 0.02])])
    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-3})
    return -float(found.fun), np.stack([found.x[:3], np.exp(found.x[3:])])


class Unpacked(NamedTuple):
    """A fit's mean and sd on θ, and mean and sd of the logits of the three scales."""

    mean: Array
    sd: Array
    scales: Array

    @property
    def moments(self) -> dict[str, tuple[float, float]]:
        """Mean and sd of the five parameters that EXACT has."""
        named = {"mu_alpha": (self.mean[-2], self.sd[-2]), "mu_beta": (self.mean[-1], self.sd[-1])}
        for name, column in zip(("sigma_alpha", "sigma_beta", "eps"), self.scales.T, strict=True):
            of = moments(*column)
            named[name] = (of.scale, of.sd)
        return named


def unpack(fit: AdviFit) -> Unpacked:
    sizes = [np.size(value) for value in fit.model.initial_point().values()]

    def rearrange(values: Array) -> tuple[Array, Array]:
        mu_a, sigma_a, a, mu_b, sigma_b, b, eps = np.split(values, np.cumsum(sizes)[:-1])
        return np.concatenate([a, b, mu_a, mu_b]), np.concatenate([sigma_a, sigma_b, eps])

    (mean, logits), (sd, spreads) = rearrange(fit.mean), rearrange(fit.sd)
    return Unpacked(mean, sd, np.stack([logits, spreads]))


# --- ADVI -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits(minnesota: Survey) -> dict[str, AdviFit]:
    """The recipe's model on batches of 100, with every default of `fit_advi`."""
    minibatch = build_minibatch(minnesota.rows, 100, random_seed=1)
    return {
        kind: fit_advi(
            hierarchical_model(
                minibatch, minnesota.coords, total_size=minnesota.n_obs, parameterisation=kind
            ),
            random_seed=8927,
            progressbar=False,
        )
        for kind in PARAMETERISATIONS
    }


@pytest.fixture(scope="module")
def best(minnesota: Survey) -> dict[str, tuple[float, Array]]:
    return {kind: best_elbo(minnesota, kind) for kind in PARAMETERISATIONS}


EVERY_KIND = pytest.mark.parametrize("kind", PARAMETERISATIONS)


@EVERY_KIND
def test_the_reference_agrees_with_pymc(fits, kind, minnesota):
    """The exact ELBO is the mean of PyMC's log p minus log q over 1,000 draws, within 5 errors."""
    fit = fits[kind]
    logp = hierarchical_model(
        minnesota.rows, minnesota.coords, parameterisation=kind
    ).compile_logp()
    draws = fit.draw_unconstrained(1_000, random_seed=8927)
    start = fit.model.initial_point()
    where = np.cumsum([np.size(value) for value in start.values()])[:-1]
    estimates = np.empty(len(draws))
    for number, draw in enumerate(draws):
        parts = zip(start.items(), np.split(draw, where), strict=True)
        point = {name: part.reshape(np.shape(value)) for (name, value), part in parts}
        log_q = -0.5 * np.sum(((draw - fit.mean) / fit.sd) ** 2 + np.log(2 * np.pi * fit.sd**2))
        estimates[number] = logp(point) - log_q
    error = estimates.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - exact_elbo(minnesota, kind, *unpack(fit))) < 5 * error


@EVERY_KIND
def test_no_elbo_exceeds_the_log_evidence(best, kind):
    """The family's error in nats: the best ELBO lies below the evidence, by at most 6."""
    assert 0 < LOG_EVIDENCE - best[kind][0] < 6


@EVERY_KIND
def test_the_packages_optimum_is_the_references(best, kind, minnesota):
    optimum = family_optimum(minnesota, parameterisation=kind)
    assert abs(optimum.elbo - best[kind][0]) < 1e-4
    for column, name in enumerate(("sigma_alpha", "sigma_beta", "eps")):
        reference = moments(*best[kind][1][:, column])
        expected = [reference.scale, reference.sd]
        np.testing.assert_allclose(optimum.summary[name], expected, rtol=2e-3)


@EVERY_KIND
def test_optimisers_error_is_under_a_quarter_of_a_nat(fits, best, kind, minnesota):
    """The ELBO of a fit, computed without sampling, falls short of the family's best by less."""
    gap = best[kind][0] - exact_elbo(minnesota, kind, *unpack(fits[kind]))
    assert 0 < gap < 0.25


@EVERY_KIND
@pytest.mark.parametrize("name", ["sigma_alpha", "sigma_beta", "eps"])
def test_optimisers_error_in_a_scale_is_small_beside_the_exact_sd(fits, best, kind, name):
    column = ("sigma_alpha", "sigma_beta", "eps").index(name)
    optimum = moments(*best[kind][1][:, column])
    mean, sd = unpack(fits[kind]).moments[name]
    assert abs(mean - optimum.scale) < 0.3 * EXACT[name][1]
    assert abs(sd - optimum.sd) < 0.2 * optimum.sd


@EVERY_KIND
def test_losses_are_on_the_full_data_scale(fits, kind, minnesota):
    """The last 5,000 losses have minus the exact ELBO for their mean, within 5 standard errors."""
    losses = fits[kind].losses[-5_000:]
    error = losses.std() / np.sqrt(len(losses))
    assert abs(losses.mean() + exact_elbo(minnesota, kind, *unpack(fits[kind]))) < 5 * error


@EVERY_KIND
def test_centres_are_right_and_widths_too_small(fits, kind):
    """All but sigma_beta lie within half an exact sd of the exact mean; no sd is too large."""
    for name, (mean, sd) in unpack(fits[kind]).moments.items():
        exact_mean, exact_sd = EXACT[name]
        assert sd < exact_sd
        if name != "sigma_beta":
            assert abs(mean - exact_mean) < 0.5 * exact_sd


def test_sigma_beta_is_where_the_family_errs(fits):
    """Its spread is half or less of the exact one, however the model is written."""
    exact_mean, exact_sd = EXACT["sigma_beta"]
    centred, noncentred = (unpack(fits[kind]).moments["sigma_beta"] for kind in PARAMETERISATIONS)
    assert centred[1] < 0.25 * exact_sd
    assert noncentred[1] < 0.5 * exact_sd
    assert noncentred[0] < exact_mean - 0.75 * exact_sd


# --- NUTS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chains(minnesota: Survey) -> Any:
    model = hierarchical_model(minnesota.rows, minnesota.coords, parameterisation="noncentred")
    return sample_nuts(
        model,
        draws=1250,
        tune=500,
        chains=2,
        target_accept=0.9,
        random_seed=8927,
        progressbar=False,
    )


@pytest.mark.parametrize("name", EXACT)
def test_noncentred_nuts_finds_the_exact_posterior(chains, name):
    """With 200 effective draws at least, mean and sd are exact within 4 Monte Carlo errors."""
    posterior = posterior_dataset(chains)[[name]]
    draws = posterior[name]
    assert float(az.ess(posterior, method="bulk")[name]) > 200
    assert float(az.rhat(posterior)[name]) < 1.05
    mean, sd = EXACT[name]
    rounding = 5e-5
    assert abs(float(draws.mean()) - mean) < 4 * float(az.mcse(posterior)[name]) + rounding
    error = float(az.mcse(posterior, method="sd")[name])
    assert abs(float(draws.std()) - sd) < 4 * error + rounding


def test_noncentred_nuts_hardly_diverges(chains):
    assert int(chains.sample_stats["diverging"].sum()) <= 5
