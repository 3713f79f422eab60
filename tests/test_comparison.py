"""Tables of fits side by side: values against NumPy, order, and what has no meaning left out."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from radon_gallery.comparison import (
    compare_fits,
    compare_with_exact,
    posterior_dataset,
    split_elbo_gap,
    summarise_error,
)
from radon_gallery.data import simulate_survey
from radon_gallery.editions import edition
from radon_gallery.exact import ExactPosterior, exact_posterior

COLUMNS = ["mean", "sd", "lower", "upper", "r_hat", "ess_bulk", "divergences"]
COUNTIES = ["Aitkin", "Lac qui Parle"]


def draw_fit(seed: int, *, chains: int, sampled: bool, extra: str | None = None) -> Any:
    """Make a fit of normal draws; `sampled` gives it a sampler's statistics, 3 divergences."""
    rng = np.random.default_rng(seed)
    posterior = {
        "eps": rng.normal(1.0, 0.1, size=(chains, 400)),
        "alpha": rng.normal([0.0, 5.0], [1.0, 2.0], size=(chains, 400, 2)),
        "mu_alpha": rng.normal(-2.0, 3.0, size=(chains, 400)),
    }
    if extra:
        posterior[extra] = rng.normal(size=(chains, 400))
    diverging = np.arange(chains * 400).reshape(chains, 400) < 3
    labels = {"coords": {"county": COUNTIES}, "dims": {"alpha": ["county"]}}
    groups = {"posterior": az.dict_to_dataset(posterior, **labels)}
    if sampled:
        groups["sample_stats"] = az.dict_to_dataset({"diverging": diverging})
    return edition.inference_data(groups)


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    return {
        "NUTS": draw_fit(1, chains=4, sampled=True),
        "ADVI": draw_fit(2, chains=1, sampled=False, extra="only_here"),
        "one chain": draw_fit(3, chains=1, sampled=True),
    }


@pytest.mark.parametrize("fit", ["NUTS", "ADVI", "one chain"])
@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_values_are_numpys(fits, fit, prob):
    table = compare_fits(fits, ["eps", "alpha"], prob=prob).xs(fit, level="fit")
    posterior = fits[fit].posterior
    draws = {
        "eps": posterior["eps"].to_numpy().ravel(),
        "alpha[Aitkin]": posterior["alpha"].to_numpy()[..., 0].ravel(),
        "alpha[Lac qui Parle]": posterior["alpha"].to_numpy()[..., 1].ravel(),
    }
    assert list(table.index) == list(draws)
    for name, values in draws.items():
        lower, upper = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2])
        expected = [values.mean(), values.std(ddof=1), lower, upper]
        np.testing.assert_allclose(table.loc[name, COLUMNS[:4]].astype(float), expected)


def test_diagnostics_are_arvizs(fits):
    table = compare_fits(fits).xs("NUTS", level="fit")
    posterior = posterior_dataset(fits["NUTS"])
    for name in ("eps", "mu_alpha"):
        assert table.loc[name, "r_hat"] == float(az.rhat(posterior)[name])
        assert table.loc[name, "ess_bulk"] == float(az.ess(posterior)[name])
    assert (table["divergences"] == 3).all()


def test_what_means_nothing_is_missing(fits):
    table = compare_fits(fits)
    missing = table[["r_hat", "ess_bulk", "divergences"]].isna().groupby(level="fit").all()
    assert list(missing.loc["NUTS"]) == [False, False, False]
    assert list(missing.loc["ADVI"]) == [True, True, True]
    assert list(missing.loc["one chain"]) == [True, False, False]


def test_a_sampler_without_divergences_keeps_its_other_diagnostics(fits):
    stats = {"accepted": np.ones((4, 400))}
    groups = {"posterior": posterior_dataset(fits["NUTS"])}
    metropolis = edition.inference_data(groups | {"sample_stats": az.dict_to_dataset(stats)})
    table = compare_fits({"Metropolis": metropolis})
    assert table["divergences"].isna().all()
    assert table[["r_hat", "ess_bulk"]].notna().all(axis=None)


def test_rows_are_parameters_in_the_first_fits_order_then_fits_in_the_callers(fits):
    table = compare_fits(fits)
    expected = pd.MultiIndex.from_product(
        [["eps", "mu_alpha"], ["NUTS", "ADVI", "one chain"]], names=["parameter", "fit"]
    )
    pd.testing.assert_index_equal(table.index, expected)
    assert list(table.columns) == COLUMNS


def test_parameters_come_in_the_order_asked_for(fits):
    table = compare_fits(fits, ["mu_alpha", "alpha", "eps"])
    names = table.index.get_level_values("parameter").unique()
    assert list(names) == ["mu_alpha", "alpha[Aitkin]", "alpha[Lac qui Parle]", "eps"]


def test_one_parameter_may_come_as_it_is(fits):
    pd.testing.assert_frame_equal(compare_fits(fits, "eps"), compare_fits(fits, ["eps"]))


def test_fits_may_come_in_any_mapping(fits):
    pd.testing.assert_frame_equal(compare_fits(MappingProxyType(fits)), compare_fits(fits))


def test_a_dataset_of_draws_is_a_fit_too(fits):
    table = compare_fits({"draws": fits["NUTS"].posterior, "fit": fits["NUTS"]})
    draws, fit = (table["mean"].xs(name, level="fit") for name in ("draws", "fit"))
    pd.testing.assert_series_equal(draws, fit)
    assert table.xs("draws", level="fit")["divergences"].isna().all()


def test_a_single_fit_makes_a_table(fits):
    assert compare_fits({"NUTS": fits["NUTS"]}).index.names == ["parameter", "fit"]


def test_nothing_is_changed(fits):
    before = fits["NUTS"].posterior.copy(deep=True)
    compare_fits(fits)
    assert fits["NUTS"].posterior.identical(before)


def test_posterior_dataset_gives_the_draws(fits):
    posterior = posterior_dataset(fits["NUTS"])
    assert isinstance(posterior, xr.Dataset)
    assert posterior_dataset(edition.inference_data({"posterior": posterior})).identical(posterior)
    assert posterior_dataset(fits["NUTS"].posterior).identical(posterior)
    assert posterior_dataset(posterior) is posterior


# --- bad input --------------------------------------------------------------------------------


def test_no_fits_are_refused():
    with pytest.raises(ValueError, match="expected at least one fit by name, got none"):
        compare_fits({})


@pytest.mark.parametrize("prob", [0.0, 1.0, 90, -0.5, np.nan])
def test_a_probability_lies_between_0_and_1(fits, prob):
    with pytest.raises(ValueError, match=f"prob must lie between 0 and 1, got {prob!r}"):
        compare_fits(fits, prob=prob)


def test_a_parameter_that_a_fit_lacks_is_named(fits):
    told = "fit 'NUTS' has no parameter 'only_here'; it has 'eps', 'alpha', 'mu_alpha'"
    with pytest.raises(ValueError, match=told):
        compare_fits(fits, ["eps", "only_here"])


def test_fits_without_a_scalar_in_common_are_refused(fits):
    other = {"other": posterior_dataset(fits["NUTS"])[["alpha"]]}
    with pytest.raises(ValueError, match="no scalar parameter in common; name some in var_names"):
        compare_fits(fits | other)
    with pytest.raises(ValueError, match="name some in var_names, at least one"):
        compare_fits(fits, [])


@pytest.mark.parametrize("fit", [None, {"eps": [1.0]}, np.ones(3), edition.inference_data({})])
def test_what_has_no_draws_is_no_fit(fit):
    with pytest.raises(TypeError, match=f"expected a fit .*; got {type(fit).__name__}"):
        compare_fits({"bad": fit})


# --- against the exact answer -----------------------------------------------------------------


@pytest.fixture(scope="module")
def answer() -> ExactPosterior:
    return exact_posterior(simulate_survey(60, 4, random_seed=2).survey, priors="weak")


def test_exact_draws_are_found_right(answer):
    """Their biases are within four Monte Carlo errors and their spreads within four of theirs."""
    table = compare_with_exact({"exact": answer.sample(4000, random_seed=1)}, answer)
    assert len(table) == 5 + 2 * 4
    assert (table["bias"].abs() < 4 * table["bias_error"]).all()
    assert (table["sd_ratio"] - 1).abs().max() < 0.1
    np.testing.assert_allclose(table["bias_error"], 4000**-0.5, rtol=0.25)
    assert summarise_error(table)["exact"].startswith("means right within Monte Carlo error")


def test_a_shift_is_measured_in_exact_sds(answer):
    draws = answer.sample(4000, random_seed=1)
    sd = answer.summary.sel(statistic="sd", drop=True)
    table = compare_with_exact({"exact": draws, "shifted": draws + 2 * sd}, answer)
    exact, shifted = (table.xs(name, level="fit") for name in ("exact", "shifted"))
    np.testing.assert_allclose(shifted["bias"] - exact["bias"], 2, atol=1e-9)
    np.testing.assert_allclose(shifted["sd_ratio"], exact["sd_ratio"])
    # The distance of a shift is its length; the draws' own distance adds at most itself.
    assert ((shifted["wasserstein"] - 2).abs() <= exact["wasserstein"] + 1e-3).all()
    assert "means up to 2." in summarise_error(table)["shifted"]


def test_counties_are_matched_by_name(answer):
    draws = answer.sample(500, random_seed=1)
    reverse = {"county": slice(None, None, -1)}
    pd.testing.assert_frame_equal(
        compare_with_exact({"fit": draws.isel(reverse)}, answer),
        compare_with_exact({"fit": draws}, answer),
    )


def test_only_an_error_table_is_summarised():
    with pytest.raises(TypeError, match="errors must be of type DataFrame, got int"):
        summarise_error(3)
    with pytest.raises(ValueError, match="from compare_with_exact; .* lacks 'bias', 'bias_error'"):
        summarise_error(pd.DataFrame({"mean": [1.0], "sd_ratio": [1.0], "wasserstein": [0.1]}))


def test_other_counties_are_refused(answer):
    draws = answer.sample(10, random_seed=1)
    draws = draws.assign_coords(county=[f"other {number}" for number in range(4)])
    with pytest.raises(ValueError, match="differ in the labels of 'county'"):
        compare_with_exact({"fit": draws}, answer)


def test_draws_that_are_not_finite_are_refused(answer):
    draws = answer.sample(10, random_seed=1)
    with pytest.raises(ValueError, match="draws that are not finite"):
        compare_with_exact({"fit": draws.where(draws["draw"] > 0)}, answer)


def test_too_few_draws_have_no_verdict(answer):
    """Without a Monte Carlo error any mean would pass for right."""
    draws = answer.sample(3, random_seed=1)
    with pytest.raises(ValueError, match=r"'fit' has 3 draws a chain; .* at least 4\. Draw more"):
        compare_with_exact({"fit": draws}, answer)


def test_a_comparison_needs_parameters_and_an_exact_answer(answer):
    draws = answer.sample(10, random_seed=1)
    with pytest.raises(ValueError, match="at least one parameter in var_names, got none"):
        compare_with_exact({"fit": draws}, answer, [])
    with pytest.raises(TypeError, match="exact must be of type ExactPosterior, got Dataset"):
        compare_with_exact({"fit": draws}, answer.summary)
    one, alone = (compare_with_exact({"fit": draws}, answer, names) for names in (["eps"], "eps"))
    pd.testing.assert_frame_equal(one, alone)


@pytest.mark.parametrize("compare", [compare_fits, lambda fit: compare_with_exact(fit, None)])
def test_fits_come_by_name(compare, answer):
    with pytest.raises(TypeError, match="expected fits by name"):
        compare(answer.sample(10, random_seed=1))


def test_the_gap_is_split_with_its_error():
    gap = split_elbo_gap([-12.0, -10.0, -11.0], -9.0, -7.0)
    assert (gap.total, gap.optimiser, gap.family) == (-4.0, -2.0, -2.0)
    assert gap.error == pytest.approx(1 / np.sqrt(3))


@pytest.mark.parametrize(
    ("weights", "optimum", "match"),
    [
        ([1.0], 0.0, "at least 2"),
        ([1.0, np.nan], 0.0, "finite number"),
        ([1.0, 2.0], np.nan, "finite number"),
        ([1.0, 2.0], 3.1, "no ELBO can exceed the log evidence"),
    ],
)
def test_a_gap_that_makes_no_sense_is_refused(weights, optimum, match):
    with pytest.raises(ValueError, match=match):
        split_elbo_gap(weights, optimum, 3.0)
