"""One judge for all: the ELBO of a saved Gaussian, the effective sample size of saved draws."""

from __future__ import annotations

import functools
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr

from radon_gallery.data import load_minnesota
from radon_gallery.diagnostics import estimate_elbo
from radon_gallery.editions import edition
from radon_gallery.inference import AdviFit
from radon_gallery.models import hierarchical_model
from radon_gallery.optimum import family_optimum

#: Draws behind an ELBO; the weights' sd at the optimum is about 3 nats.
ELBO_DRAWS = 6000

PARAMETERS = ("mu_alpha", "sigma_alpha", "mu_beta", "sigma_beta", "eps", "alpha", "beta")


@functools.cache
def whole_model(case: str) -> pm.Model:
    """Build the model of all 919 homes."""
    survey = load_minnesota()
    return hierarchical_model(survey.rows, survey.coords, parameterisation=case)


@functools.cache
def best_elbo(case: str) -> float:
    """Return the ELBO of the best mean-field Gaussian."""
    return family_optimum(load_minnesota(), parameterisation=case).elbo


def elbo_gap(case: str, path: str, draws: int = ELBO_DRAWS) -> tuple[float, float]:
    """Return how far the ELBO of a saved Gaussian is from the family's best, and its error."""
    model = whole_model(case)
    names = [variable.name for variable in model.value_vars]
    with np.load(path) as file:
        mean, sd = (
            np.concatenate([np.ravel(file[f"{part}/{name}"]) for name in names])
            for part in ("mean", "sd")
        )
    if not np.isfinite([mean, sd]).all():
        return -np.inf, 0.0
    fit = AdviFit(None, model, mean, sd, np.empty(0), 0.0, 0.0, "", 0)
    elbo = estimate_elbo(fit, draws=draws, random_seed=0)
    return elbo.value - best_elbo(case), elbo.standard_error


def judge_draws(path: str) -> dict[str, float]:
    """Return the worst bulk ESS and R-hat over all parameters and counties."""
    with np.load(path) as file:
        draws = xr.Dataset(
            {
                name: (("chain", "draw", f"{name}_dim")[: file[name].ndim], file[name])
                for name in PARAMETERS
            }
        )
    worst = az.ess(draws, method="bulk").min(), az.rhat(draws).max()
    ess, r_hat = ([float(value) for value in each.values()] for each in worst)
    return {"worst_ess": min(ess), "worst_r_hat": max(r_hat)}


def random_point(case: str) -> tuple[dict[str, Any], float]:
    """Return a random unconstrained point and PyMC's log density there."""
    model = whole_model(case)
    rng = np.random.default_rng(0)
    shapes = {name: np.shape(value) for name, value in model.initial_point().items()}
    point = {
        # Scales near 1, that is far below the middle of their range.
        name: rng.normal(-4.0 if name.endswith("interval__") else 0.0, 0.3, shape).tolist()
        for name, shape in shapes.items()
    }
    flat = np.concatenate([np.ravel(point[each.name]) for each in model.value_vars])
    return point, float(edition.log_density(model, flat[np.newaxis])[0])
