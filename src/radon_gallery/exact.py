"""The exact posterior: quadrature over the scales, closed forms for all the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from radon_gallery._checks import FloatArray, require_count
from radon_gallery._exact_gaussian import GaussianModel, build_model, condition, draw_effects
from radon_gallery._exact_model import (
    KnownScale,
    Pooling,
    Prior,
    Problem,
    Scales,
    log_joint,
    specify,
)
from radon_gallery._exact_quadrature import Level, find_quantiles, refine, trace_curves
from radon_gallery._exact_rule import IntegrationError, draw_scales
from radon_gallery.data import Survey
from radon_gallery.priors import Priors

__all__ = [
    "ExactPosterior",
    "IntegrationError",
    "KnownScale",
    "exact_posterior",
    "log_joint",
]

_CHUNK: Final = 1024  # draws at a time


@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """The posterior of one model: independent of any sampler, with an estimate of its error.

    Parameters
    ----------
    summary : xarray.Dataset, dimensions (statistic[, county])
        `mean` and `sd` of every parameter, log pCi/L.
    error : xarray.Dataset, dimensions (statistic[, county])
        How much each mean and sd changed when the rule was last refined, log pCi/L. The values in
        `summary` are those after the change, and their errors smaller.
    quantiles : xarray.Dataset, dimensions (quantile[, county])
        Quantiles of every parameter, log pCi/L.
    densities : xarray.Dataset, dimensions (curve[, county], point)
        Marginal densities: along `curve`, the `value` (log pCi/L) and the `density` there.
    log_evidence : float
        Log of the density of the survey's responses under the model, nats.
    log_evidence_error : float
        How much it changed when the rule was last refined, nats.
    n_nodes : int
        Nodes of each unknown scale, after that refinement.
    _problem, _model, _level : object
        What `sample` draws from.
    """

    summary: xr.Dataset
    error: xr.Dataset
    quantiles: xr.Dataset
    densities: xr.Dataset
    log_evidence: float
    log_evidence_error: float
    n_nodes: int
    _problem: Problem = field(repr=False)
    _model: GaussianModel = field(repr=False)
    _level: Level = field(repr=False)

    def sample(self, draws: int = 1000, *, random_seed: int) -> xr.Dataset:
        """Draw from the joint posterior, each draw independent of the others.

        Parameters
        ----------
        draws : int
            Number of draws.
        random_seed : int
            Seed; the same seed gives the same draws.

        Returns
        -------
        xarray.Dataset, dimensions (chain, draw[, county])
            Every parameter, log pCi/L, in one chain, as ArviZ reads it.

        Raises
        ------
        TypeError
            If `draws` or `random_seed` is not a whole number.
        ValueError
            If `draws` is below 1 or `random_seed` negative.
        """
        require_count("draws", draws)
        require_count("random_seed", random_seed, at_least=0)
        rng = np.random.default_rng(random_seed)
        parts = []
        for start in range(0, draws, _CHUNK):
            n_draws = min(_CHUNK, draws - start)
            scales = draw_scales(self._level.rules, self._level.mass, n_draws, rng)
            given = condition(self._model, scales)
            parts.append(scales._asdict() | draw_effects(self._model, scales, given, rng))
        variables = {
            name: (
                ("chain", "draw", *entry.dims[1:]),
                np.concatenate([part[str(name)] for part in parts])[None],
            )
            for name, entry in self.summary.items()
        }
        coords = {"chain": [0], "draw": np.arange(draws)}
        return xr.Dataset(variables, coords | {"county": list(self._problem.survey.county)})


def exact_posterior(
    survey: Survey,
    *,
    priors: str | Priors = "wide",
    alpha: Pooling = "hierarchical",
    beta: Pooling = "hierarchical",
    covariates: Mapping[str, npt.ArrayLike] | None = None,
    overrides: Mapping[str, Prior] | None = None,
    probabilities: Sequence[float] = (0.025, 0.25, 0.5, 0.75, 0.975),
) -> ExactPosterior:
    """Integrate the posterior of a Gaussian regression with county intercepts and floor effects.

    The model is ``log_radon ~ N(alpha[county] + beta[county]·floor + covariates·effects, eps²)``.
    Effects are `pooled` (one for all counties: a scalar of that name), `unpooled` (one a county,
    each with the prior ``priors.effect``), `hierarchical` (one a county, from
    ``N(mu_alpha, sigma_alpha²)``, or ``N(mu_beta, sigma_beta²)``) or `absent`.

    Parameters
    ----------
    survey : Survey
        The data.
    priors : str or Priors
        Priors, or the name of some.
    alpha, beta : {"pooled", "unpooled", "hierarchical", "absent"}
        How the counties share the intercept, and the effect of the first floor.
    covariates : mapping of str to array_like, shape (n_obs,), optional
        Further fixed effects by name, one value a home. A county's value is spread over its homes
        with ``survey.log_uranium[survey.county_idx]``.
    overrides : mapping of str to prior, optional
        Priors of single parameters by name, in place of those of `priors`: `NormalPrior` for
        `mu_alpha`, `mu_beta`, a pooled or unpooled `alpha` or `beta` and covariates;
        `UniformPrior`, `HalfNormalPrior` or `KnownScale` for `sigma_alpha`, `sigma_beta`, `eps`.
    probabilities : sequence of float
        Probabilities of the quantiles, strictly between 0 and 1.

    Returns
    -------
    ExactPosterior
        Means, sds, quantiles, marginal densities, log evidence, their errors, and draws on demand.

    Raises
    ------
    TypeError
        If an argument is of a wrong type.
    ValueError
        If a name is unknown or taken, a covariate has another length than the survey or is not
        finite, a covariate nearly repeats others (exact repetition is no problem, since the priors
        are proper), a known `eps` is 0, or a probability is out of range.
    IntegrationError
        If the posterior is improper, as for a response that the effects repeat without error, or
        the finest rule still moves the answer.

    Notes
    -----
    Effects are integrated in closed form [rasmussen2006gaussian, eq. (2.43)], the one to three
    scales by Gauss-Legendre quadrature, as [gelman2013bayesian, section 5.4] does on a grid. The
    number of nodes grows until two rules agree.

    References
    ----------
    [gelman2007data], eq. (13.1), is the hierarchical model, but for the correlation of a county's
    two effects, which is 0 here; [rasmussen2006gaussian], eq. (2.43); [gelman2013bayesian],
    section 5.4.

    Examples
    --------
    >>> from radon_gallery.data import load_minnesota
    >>> answer = exact_posterior(load_minnesota())
    >>> round(answer.log_evidence, 3)
    -1088.335
    """
    probability = np.asarray(probabilities, float)
    if probability.ndim != 1 or not np.all((probability > 0) & (probability < 1)):
        raise ValueError(
            f"probabilities must be numbers between 0 and 1, both excluded; got {probabilities!r}."
        )
    problem = specify(survey, priors, alpha, beta, covariates, overrides)
    model = build_model(problem)
    coarse, fine = refine(problem, model)
    curves = trace_curves(problem, model, coarse, fine)
    moments = np.stack([fine.mean, fine.sd])
    change = np.abs(moments - [coarse.mean, coarse.sd])
    return ExactPosterior(
        summary=_label(problem, moments, "statistic", ["mean", "sd"]),
        error=_label(problem, change, "statistic", ["mean", "sd"]),
        quantiles=_label(problem, find_quantiles(curves, probability), "quantile", probability),
        densities=_label(problem, curves, "curve", ["value", "density"]),
        log_evidence=fine.log_evidence,
        log_evidence_error=abs(fine.log_evidence - coarse.log_evidence),
        n_nodes=max(fine.mass.shape),
        _problem=problem,
        _model=model,
        _level=fine,
    )


def _label(
    problem: Problem, table: FloatArray, dimension: str, labels: npt.ArrayLike
) -> xr.Dataset:
    """Name the columns of a table of shape (n_labels, n_parameters[, n_points])."""
    counties = list(problem.survey.county)
    names = [Scales._fields[position] for position in problem.unknown]
    names += [effect.name for effect in problem.fixed]
    points = ("point",)[: table.ndim - 2]
    variables = {
        name: ((dimension, *points), table[:, column]) for column, name in enumerate(names)
    }
    start = len(names)
    for effect in problem.effects:
        if effect:
            entry = table[:, start : start + len(counties)]
            variables[effect.name] = ((dimension, "county", *points), entry)
            start += len(counties)
    return xr.Dataset(variables, coords={dimension: labels, "county": counties})
