"""The best Gaussian of a family against PyMC's own objective and the exact evidence."""

from __future__ import annotations

import numpy as np
import pytest

from radon_gallery.data import Survey, simulate_survey
from radon_gallery.diagnostics import estimate_elbo
from radon_gallery.exact import exact_posterior
from radon_gallery.inference import METHODS, DecayingAdam, fit_advi
from radon_gallery.models import PARAMETERISATIONS, hierarchical_model
from radon_gallery.optimum import family_optimum
from radon_gallery.priors import HalfNormalPrior, NormalPrior, Priors, UniformPrior

# One transformation of each kind, and a prior mean that is not 0.
MIXED = Priors(NormalPrior(1.0, 3.0), HalfNormalPrior(1.0), UniformPrior(5.0))


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(80, 8, random_seed=3).survey


EVERY_METHOD = pytest.mark.parametrize("method", METHODS)
EVERY_KIND = pytest.mark.parametrize("kind", PARAMETERISATIONS)


@EVERY_METHOD
@EVERY_KIND
def test_a_long_fit_comes_close_and_never_passes(method, kind, survey):
    """PyMC's objective, its transformations and priors, maximised by ADVI on all homes."""
    model = hierarchical_model(survey.rows, survey.coords, parameterisation=kind, priors=MIXED)
    fit = fit_advi(
        model,
        method=method,
        steps=20_000 if method == "meanfield" else 40_000,
        optimiser=DecayingAdam(0.05 if method == "meanfield" else 0.005, 1e-5),
        random_seed=8927,
        progressbar=False,
    )
    elbo = estimate_elbo(fit, draws=4000, random_seed=1)
    optimum = family_optimum(survey, method=method, parameterisation=kind, priors=MIXED)
    assert elbo.value < optimum.elbo + 4 * elbo.standard_error
    assert elbo.value > optimum.elbo - 0.1 - 4 * elbo.standard_error
    draws = fit.sample(4000, random_seed=1).posterior
    # A mean that is d sds off costs at least d**2 / 2 nats, so 0.1 nats allow sqrt(0.2) = 0.45; the
    # rest is Monte Carlo error, 0.016 sds.
    for name, values in optimum.summary.items():
        mean, sd = values.sel(statistic="mean"), values.sel(statistic="sd")
        assert float(abs(draws[name].mean(("chain", "draw")) - mean).max()) < 0.5 * float(sd.max())


@EVERY_KIND
@pytest.mark.parametrize("priors", ["wide", "weak"])
def test_a_larger_family_comes_closer_to_the_evidence(kind, priors, minnesota):
    mean_field, full_rank = (
        family_optimum(minnesota, method=method, parameterisation=kind, priors=priors).elbo
        for method in METHODS
    )
    evidence = exact_posterior(minnesota, priors=priors).log_evidence
    assert evidence - 6 < mean_field < full_rank < evidence


@EVERY_METHOD
@EVERY_KIND
def test_more_nodes_change_nothing(method, kind, minnesota, monkeypatch):
    elbos = []
    for n_nodes in (10, 14):
        monkeypatch.setattr("radon_gallery.optimum._N_NODES", n_nodes)
        elbos.append(family_optimum(minnesota, method=method, parameterisation=kind).elbo)
    assert abs(elbos[1] - elbos[0]) < 1e-6


def test_it_has_the_names_and_counties_of_the_exact_answer(survey):
    optimum, exact = family_optimum(survey), exact_posterior(survey)
    assert set(optimum.summary) == set(exact.summary)
    assert optimum.summary["alpha"].dims == exact.summary["alpha"].dims
    np.testing.assert_array_equal(optimum.summary["county"], exact.summary["county"])


def test_an_unknown_choice_lists_the_known(survey):
    with pytest.raises(ValueError, match="choose one of 'fullrank', 'meanfield'"):
        family_optimum(survey, method="mean-field")
    with pytest.raises(ValueError, match="choose one of 'centred', 'noncentred'"):
        family_optimum(survey, parameterisation="center")
    with pytest.raises(TypeError, match="survey must be of type Survey, got Rows"):
        family_optimum(survey.rows)
