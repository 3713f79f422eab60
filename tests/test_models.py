"""The models' log-probability against an independent reference, and what they refuse."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import numpy as np
import numpy.typing as npt
import pymc as pm
import pytest
from scipy import special, stats

from radon_gallery import editions
from radon_gallery.data import Rows, Survey, simulate_survey
from radon_gallery.editions import edition
from radon_gallery.exact import log_joint
from radon_gallery.minibatch import build_minibatch, draw_batches
from radon_gallery.models import hierarchical_model, pooled_model, unpooled_model
from radon_gallery.priors import (
    WEAK,
    WIDE,
    HalfNormalPrior,
    NormalPrior,
    Priors,
    ScalePrior,
    UniformPrior,
)

Point = Mapping[str, npt.NDArray[np.float64]]

FACTORIES = {
    "pooled": (pooled_model, {}),
    "unpooled": (unpooled_model, {}),
    "centred": (hierarchical_model, {"parameterisation": "centred"}),
    "noncentred": (hierarchical_model, {"parameterisation": "noncentred"}),
}
OWN = Priors(NormalPrior(1.0, 2.0), UniformPrior(3.0), HalfNormalPrior(0.5))
PRIORS = {"wide": WIDE, "weak": WEAK, "own": OWN}


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(40, 6, random_seed=11).survey


def build(kind: str, rows: Rows, survey: Survey, **arguments: object) -> pm.Model:
    factory, chosen = FACTORIES[kind]
    return factory(rows, survey.coords, **chosen, **arguments)


# --- the reference: NumPy and SciPy only ------------------------------------------------------


def scale_and_log_density(point: Point, name: str, prior: ScalePrior) -> tuple[float, float]:
    """Return a scale and the log density of its unconstrained value, Jacobian included."""
    if isinstance(prior, HalfNormalPrior):
        log_scale = float(point[f"{name}_log__"])
        scale = np.exp(log_scale)
        return scale, stats.halfnorm.logpdf(scale, scale=prior.sd) + log_scale
    logit = float(point[f"{name}_interval__"])
    share = special.expit(logit)
    density = stats.uniform.logpdf(prior.upper * share, 0.0, prior.upper)
    return prior.upper * share, density + np.log(prior.upper * share * (1 - share))


def reference_logp(
    kind: str, point: Point, rows: Rows, priors: Priors, weight: float = 1.0
) -> float:
    """Return the log-probability at an unconstrained point, the likelihood times `weight`."""
    effect = stats.norm(priors.effect.mean, priors.effect.sd)
    eps, total = scale_and_log_density(point, "eps", priors.noise)
    effects = []
    for name in ("alpha", "beta"):
        if kind in ("pooled", "unpooled"):
            total += np.sum(effect.logpdf(point[name]))
            effects.append(np.broadcast_to(point[name], 6))
            continue
        mean = point[f"mu_{name}"]
        scale, density = scale_and_log_density(point, f"sigma_{name}", priors.scale)
        total += effect.logpdf(mean) + density
        if kind == "centred":
            total += np.sum(stats.norm.logpdf(point[name], mean, scale))
            effects.append(point[name])
        else:
            total += np.sum(stats.norm.logpdf(point[f"{name}_offset"]))
            effects.append(mean + scale * point[f"{name}_offset"])
    alpha, beta = effects
    centre = alpha[rows.county_idx] + beta[rows.county_idx] * rows.floor
    return float(total + weight * np.sum(stats.norm.logpdf(rows.log_radon, centre, eps)))


def random_points(model: pm.Model, n_points: int) -> list[Point]:
    rng = np.random.default_rng(8927)
    start = model.initial_point()
    return [
        {name: rng.normal(scale=1.5, size=np.shape(value)) for name, value in start.items()}
        for _ in range(n_points)
    ]


# --- exact answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("priors", PRIORS)
@pytest.mark.parametrize("kind", FACTORIES)
def test_log_probability_of_full_data_is_the_references(kind, priors, survey):
    model = build(kind, survey.rows, survey, priors=PRIORS[priors])
    logp = model.compile_logp()
    for point in random_points(model, 10):
        expected = reference_logp(kind, point, survey.rows, PRIORS[priors])
        assert logp(point) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", FACTORIES)
def test_log_probability_of_a_minibatch_is_the_references_of_the_rows_drawn(kind, survey):
    """The likelihood of the batch counts n_obs / batch_size times, the priors once."""
    minibatch = build_minibatch(survey.rows, 7, random_seed=5)
    model = build(kind, minibatch, survey, total_size=survey.n_obs)
    logp = model.compile_logp()
    batches = draw_batches(minibatch, 10)
    for batch, point in zip(zip(*batches, strict=True), random_points(model, 10), strict=True):
        expected = reference_logp(kind, point, Rows(*batch), WIDE, weight=survey.n_obs / 7)
        assert logp(point) == pytest.approx(expected, rel=1e-10)
    # Evaluating, unlike looking, moves on to the next batch.
    assert not np.array_equal(draw_batches(minibatch, 10).log_radon, batches.log_radon)


@pytest.mark.parametrize("kind", ["pooled", "noncentred"])
def test_scaled_likelihood_is_unbiased(kind, survey):
    """Over 4,000 batches its mean is the full data's, within 5 standard errors.

    The variance of one batch is known: n² / b times the variance of one home's log likelihood.
    """
    full = build(kind, survey.rows, survey)
    minibatch = build_minibatch(survey.rows, 8, random_seed=6)
    model = build(kind, minibatch, survey, total_size=survey.n_obs)
    (point,) = random_points(full, 1)
    homes = np.array(
        [
            reference_logp(
                kind, point, Rows(*(vector[home : home + 1] for vector in survey.rows)), WIDE
            )
            for home in range(survey.n_obs)
        ]
    )
    logp = model.compile_logp()
    estimates = np.array([logp(point) for _ in range(4_000)])
    error = survey.n_obs / np.sqrt(8) * homes.std() / np.sqrt(len(estimates))
    assert abs(estimates.mean() - full.compile_logp()(point)) < 5 * error


@pytest.mark.parametrize("priors", PRIORS)
def test_both_parameterisations_are_the_same_model(priors, survey):
    """Their log-probabilities differ by the offsets' Jacobian, sigma to the 6th power each."""
    centred = build("centred", survey.rows, survey, priors=PRIORS[priors])
    noncentred = build("noncentred", survey.rows, survey, priors=PRIORS[priors])
    logp_centred, logp_noncentred = centred.compile_logp(), noncentred.compile_logp()
    for point in random_points(noncentred, 3):
        moved, jacobian = dict(point), 0.0
        for name in ("alpha", "beta"):
            prior = PRIORS[priors].scale
            scale, _ = scale_and_log_density(point, f"sigma_{name}", prior)
            moved[name] = point[f"mu_{name}"] + scale * moved.pop(f"{name}_offset")
            jacobian += 6 * np.log(scale)
        assert logp_noncentred(point) == pytest.approx(logp_centred(moved) + jacobian, rel=1e-10)


# --- names and dimensions ---------------------------------------------------------------------

SCALARS = {"mu_alpha", "sigma_alpha", "mu_beta", "sigma_beta", "eps"}


@pytest.mark.parametrize(
    ("kind", "scalars", "vectors"),
    [
        ("pooled", {"alpha", "beta", "eps"}, set()),
        ("unpooled", {"eps"}, {"alpha", "beta"}),
        ("centred", SCALARS, {"alpha", "beta"}),
        ("noncentred", SCALARS, {"alpha", "beta", "alpha_offset", "beta_offset"}),
    ],
)
def test_parameters_have_the_gallerys_names_and_dimensions(kind, scalars, vectors, survey):
    model = build(kind, survey.rows, survey)
    dims = {name: tuple(of) for name, of in model.named_vars_to_dims.items()}
    assert {variable.name for variable in model.unobserved_RVs} == scalars | vectors
    assert dims == dict.fromkeys(vectors, ("county",)) | {"log_radon": ("obs_id",)}
    assert tuple(model.coords["county"]) == survey.county
    np.testing.assert_array_equal(model.coords["obs_id"], np.arange(survey.n_obs))


def test_a_minibatch_has_no_labels_of_homes(survey):
    minibatch = build_minibatch(survey.rows, 7, random_seed=5)
    model = build("centred", minibatch, survey, total_size=survey.n_obs)
    assert set(model.coords) == {"county"}


def test_the_recipes_model_is_the_default(survey):
    default = hierarchical_model(survey.rows, survey.coords)
    recipe = hierarchical_model(
        survey.rows, survey.coords, parameterisation="centred", priors="wide"
    )
    (point,) = random_points(recipe, 1)
    assert default.compile_logp()(point) == recipe.compile_logp()(point)


# --- bad input --------------------------------------------------------------------------------

EVERY_KIND = pytest.mark.parametrize("kind", FACTORIES)


@EVERY_KIND
def test_total_size_forgotten_with_a_minibatch(kind, survey):
    minibatch = build_minibatch(survey.rows, 7, random_seed=5)
    with pytest.raises(ValueError, match="a minibatch needs total_size.* total_size=survey.n_obs"):
        build(kind, minibatch, survey)


@EVERY_KIND
def test_total_size_given_with_full_data(kind, survey):
    with pytest.raises(ValueError, match="total_size=40 was given with full data.*leave it out"):
        build(kind, survey.rows, survey, total_size=40)


@pytest.mark.parametrize(
    ("total_size", "error", "told"),
    [
        (6, ValueError, "total_size must be at least the batch's 7 rows, got 6"),
        (0, ValueError, "total_size must be at least 1, got 0"),
        (40.0, TypeError, "total_size must be a whole number, got 40.0 of type float"),
    ],
)
def test_total_size_is_a_whole_number_no_smaller_than_the_batch(total_size, error, told, survey):
    minibatch = build_minibatch(survey.rows, 7, random_seed=5)
    with pytest.raises(error, match=told):
        build("centred", minibatch, survey, total_size=total_size)


def test_a_batch_of_the_whole_surveys_size_is_allowed(survey):
    minibatch = build_minibatch(survey.rows, 40, random_seed=5)
    assert build("centred", minibatch, survey, total_size=np.int64(40)).free_RVs


def test_an_unknown_parameterisation_lists_the_known_ones(survey):
    told = "unknown parameterisation 'centered'; choose one of 'centred', 'noncentred'"
    with pytest.raises(ValueError, match=told):
        hierarchical_model(survey.rows, survey.coords, parameterisation="centered")


@EVERY_KIND
def test_unknown_priors_list_the_known_ones(kind, survey):
    with pytest.raises(ValueError, match=r"unknown priors 'flat'; .*'weak', 'wide'"):
        build(kind, survey.rows, survey, priors="flat")


def test_rows_half_data_half_minibatch_are_refused(survey):
    minibatch = build_minibatch(survey.rows, 7, random_seed=5)
    mixed = survey.rows._replace(log_radon=minibatch.log_radon)
    told = "all data or all minibatch; log_radon is a minibatch, floor is data, county_idx is data"
    with pytest.raises(TypeError, match=told):
        build("centred", mixed, survey, total_size=40)


@EVERY_KIND
def test_coords_without_counties_are_refused(kind, survey):
    factory, arguments = FACTORIES[kind]
    with pytest.raises(ValueError, match="names under 'county'; they have 'counties'. Give the"):
        factory(survey.rows, {"counties": survey.county}, **arguments)


def test_codes_must_fit_the_counties(survey):
    fewer = {**survey.coords, "county": list(survey.county[:5])}
    with pytest.raises(ValueError, match="county_idx must be .* from 0 to 4, .* has 5"):
        hierarchical_model(survey.rows, fewer)


def test_full_data_is_checked_as_a_survey_is(survey):
    spoiled = survey.rows._replace(floor=np.full(40, 2))
    with pytest.raises(ValueError, match="floor must be 0 .* 40 of 40 rows are not"):
        pooled_model(spoiled, survey.coords)


@pytest.mark.parametrize("codes", [[False, True], [0.0, 1.0]], ids=["bool", "float"])
def test_codes_of_another_type_name_the_same_counties(codes):
    """A vector of booleans must not become a mask."""
    coords = {"county": ["a", "b"], "obs_id": [0, 1]}
    plain, other = (
        unpooled_model(Rows(np.array([0.3, 1.2]), np.array([0, 1]), np.array(idx)), coords)
        for idx in ([0, 1], codes)
    )
    point = plain.initial_point() | {"alpha": np.array([1.0, 5.0])}
    assert plain.compile_logp()(point) == other.compile_logp()(point)


def test_labels_of_other_homes_are_refused(minnesota):
    coords = {**minnesota.coords, "obs_id": range(5)}
    with pytest.raises(ValueError, match="label 5 homes under 'obs_id', but rows have 919"):
        pooled_model(minnesota.rows, coords)


def test_labels_of_other_counties_are_refused_for_a_minibatch(minnesota):
    batch = build_minibatch(minnesota.rows, 10, random_seed=1)
    with pytest.raises(ValueError, match="county_idx goes up to 84, but coords name 2 counties"):
        pooled_model(batch, {"county": ["a", "b"]}, total_size=minnesota.n_obs)


def test_a_minibatch_of_unequal_vectors_is_refused(minnesota):
    ten, one = (build_minibatch(minnesota.rows, size, random_seed=1) for size in (10, 1))
    with pytest.raises(ValueError, match="log_radon has 10, floor has 1, county_idx has 10"):
        pooled_model(ten._replace(floor=one.floor), minnesota.coords, total_size=919)


def test_a_survey_is_not_its_rows(minnesota):
    with pytest.raises(TypeError, match=r"expected Rows, such as survey\.rows, got Survey"):
        pooled_model(minnesota, minnesota.coords)


@EVERY_KIND
def test_a_model_is_not_built_within_another(kind, survey):
    with pm.Model() as outer:
        with pytest.raises(ValueError, match="would become a part of it; .* Build it before"):
            build(kind, survey.rows, survey)
        assert not outer.named_vars
    assert build(kind, survey.rows, survey).named_vars


def test_coords_are_labels_by_dimension(survey):
    with pytest.raises(TypeError, match="coords must be of type Mapping, got NoneType"):
        pooled_model(survey.rows, None)


# --- the model and the exact answer -----------------------------------------------------------


@pytest.mark.parametrize("priors", PRIORS)
@pytest.mark.parametrize("kind", FACTORIES)
def test_the_exact_answer_integrates_this_very_model(survey, kind, priors):
    """PyMC's log-probability at random points is the exact answer's, but for the variables' change.

    Of offsets, each is a county's effect less the group mean in units of the scale.
    """
    chosen = PRIORS[priors]
    model = build(kind, survey.rows, survey, priors=chosen)
    points = np.random.default_rng(8927).normal(0, 0.5, (5, sum(map(np.size, start(model)))))
    found = edition.log_density(model, points)
    values = edition.transform_draws(model, points).posterior
    pooling = {"pooled": "pooled", "unpooled": "unpooled"}.get(kind, "hierarchical")
    scales = {"eps": chosen.noise}
    if pooling == "hierarchical":
        scales |= {"sigma_alpha": chosen.scale, "sigma_beta": chosen.scale}
    for number, log_density in enumerate(found):
        point = {name: values[name].values[0, number] for name in values.data_vars}
        expected = log_joint(survey, point, priors=chosen, alpha=pooling, beta=pooling)
        for name, prior in scales.items():
            scale = point[name]
            bounded = isinstance(prior, UniformPrior)
            expected += np.log(scale * (1 - scale / prior.upper) if bounded else scale)
            if kind == "noncentred" and name != "eps":
                expected += survey.n_county * np.log(scale)
        assert log_density == pytest.approx(expected, abs=1e-8)


def start(model: pm.Model) -> list[npt.NDArray[np.float64]]:
    return list(model.initial_point().values())


def test_a_minibatch_model_can_be_in_single_precision(minnesota):
    """Nothing in the graph is of another precision than the engine's, which PyMC would refuse."""
    engine = import_module(editions.NAME.lower())
    with engine.config.change_flags(floatX="float32"):
        rows = build_minibatch(minnesota.rows, 10, random_seed=1)
        model = hierarchical_model(rows, minnesota.coords, total_size=minnesota.n_obs)
        assert [vector.dtype for vector in rows] == ["float32", "int64", "int64"]
        assert {values.dtype.name for values in model.initial_point().values()} == {"float32"}
