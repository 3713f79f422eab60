"""The best mean field against PyMC's own objective and the exact evidence."""

from __future__ import annotations

import numpy as np
import pytest

from radon_gallery.data import Survey, simulate_survey
from radon_gallery.diagnostics import estimate_elbo
from radon_gallery.exact import exact_posterior
from radon_gallery.inference import DecayingAdam, fit_advi
from radon_gallery.mean_field import mean_field_optimum
from radon_gallery.models import PARAMETERISATIONS, hierarchical_model
from radon_gallery.priors import HalfNormalPrior, NormalPrior, Priors, UniformPrior

# One transformation of each kind, and a prior mean that is not 0.
MIXED = Priors(NormalPrior(1.0, 3.0), HalfNormalPrior(1.0), UniformPrior(5.0))


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(80, 8, random_seed=3).survey


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
def test_a_long_fit_comes_close_and_never_passes(kind, survey):
    """PyMC's objective, its transformations and priors, maximised by ADVI on all homes."""
    model = hierarchical_model(survey.rows, survey.coords, parameterisation=kind, priors=MIXED)
    fit = fit_advi(
        model,
        steps=20_000,
        optimiser=DecayingAdam(0.05, 1e-5),
        random_seed=8927,
        progressbar=False,
    )
    elbo = estimate_elbo(fit, draws=4000, random_seed=1)
    optimum = mean_field_optimum(survey, parameterisation=kind, priors=MIXED)
    assert elbo.value < optimum.elbo + 4 * elbo.standard_error
    assert elbo.value > optimum.elbo - 0.1 - 4 * elbo.standard_error
    draws = fit.sample(4000, random_seed=1).posterior
    for name, values in optimum.summary.items():
        mean, sd = values.sel(statistic="mean"), values.sel(statistic="sd")
        assert float(abs(draws[name].mean(("chain", "draw")) - mean).max()) < 0.35 * float(sd.max())


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
@pytest.mark.parametrize("priors", ["wide", "weak"])
def test_it_stays_below_the_evidence(kind, priors, minnesota):
    optimum = mean_field_optimum(minnesota, parameterisation=kind, priors=priors)
    evidence = exact_posterior(minnesota, priors=priors).log_evidence
    assert evidence - 6 < optimum.elbo < evidence


def test_it_has_the_names_and_counties_of_the_exact_answer(survey):
    optimum, exact = mean_field_optimum(survey), exact_posterior(survey)
    assert set(optimum.summary) == set(exact.summary)
    assert optimum.summary["alpha"].dims == exact.summary["alpha"].dims
    np.testing.assert_array_equal(optimum.summary["county"], exact.summary["county"])


def test_an_unknown_parameterisation_lists_the_known(survey):
    with pytest.raises(ValueError, match="choose one of 'centred', 'noncentred'"):
        mean_field_optimum(survey, parameterisation="center")
