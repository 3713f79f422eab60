"""Minibatches: rows that stay aligned, drawn with replacement, fixed by a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import stats

from radon_gallery.data import Rows, Survey, load_minnesota, simulate_survey
from radon_gallery.minibatch import build_minibatch, draw_batches


@st.composite
def numbered_rows(draw: st.DrawFn) -> Rows:
    """Draw rows whose response is the row's own number, so that a batch tells which it holds."""
    n_obs = draw(st.integers(1, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    floor = rng.integers(0, 2, size=n_obs)
    county_idx = rng.integers(0, draw(st.integers(1, 90)), size=n_obs)
    return Rows(np.arange(n_obs, dtype=float), floor, county_idx)


# Each example compiles, so a failing one is reported as it was found, not shrunk.
@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=numbered_rows(), share=st.floats(0, 1), random_seed=st.integers(0, 2**40))
def test_rows_stay_aligned_over_thousands_of_batches(rows, share, random_seed):
    """In each of 100 batches a survey, radon, floor and county are those of the same row."""
    n_obs = len(rows.log_radon)
    batch_size = 1 + round(share * (n_obs - 1))
    batches = draw_batches(build_minibatch(rows, batch_size, random_seed=random_seed), 100)
    drawn = batches.log_radon.astype(int)
    assert drawn.shape == (100, batch_size)
    assert drawn.min() >= 0
    assert drawn.max() < n_obs
    np.testing.assert_array_equal(batches.floor, rows.floor[drawn])
    np.testing.assert_array_equal(batches.county_idx, rows.county_idx[drawn])


@pytest.fixture(scope="module")
def numbered() -> Rows:
    n_obs = 200
    return Rows(np.arange(n_obs, dtype=float), np.zeros(n_obs, int), np.zeros(n_obs, int))


def test_every_row_is_as_likely_as_any_other(numbered):
    """Pearson's chi-square of a million rows is within what chance allows 9,998 times in 10,000."""
    drawn = draw_batches(build_minibatch(numbered, 100, random_seed=8927), 10_000).log_radon
    counts = np.bincount(drawn.astype(int).ravel(), minlength=200)
    _, p_value = stats.chisquare(counts)
    assert 1e-4 < p_value < 1 - 1e-4


def test_rows_are_drawn_with_replacement(numbered):
    """Different rows in a batch: n (1 - (1 - 1/n)^b) in the mean, within 5 standard errors."""
    n_obs, batch_size = 200, 100
    batches = draw_batches(build_minibatch(numbered, batch_size, random_seed=8927), 2_000)
    different = np.array([len(np.unique(batch)) for batch in batches.log_radon])
    expected = n_obs * (1 - (1 - 1 / n_obs) ** batch_size)
    assert abs(different.mean() - expected) < 5 * different.std() / np.sqrt(len(different))


def test_successive_batches_are_independent(numbered):
    """Correlation of a row number with the same place in the next batch is 0, within 5 errors."""
    drawn = draw_batches(build_minibatch(numbered, 100, random_seed=8927), 1_001).log_radon
    correlation = np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(100_000)


def test_same_seed_same_rows_other_seed_other_rows(numbered):
    first, again, other = (
        draw_batches(build_minibatch(numbered, 50, random_seed=seed), 20).log_radon
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    # Two independent rows are the same once in 200; 1,000 pairs, 5 standard errors.
    assert np.mean(first == other) < 1 / 200 + 5 * np.sqrt(1 / 200 / 1_000)


def test_looking_at_batches_does_not_use_them_up(numbered):
    minibatch = build_minibatch(numbered, 50, random_seed=3)
    looked = draw_batches(minibatch, 5).log_radon
    np.testing.assert_array_equal(draw_batches(minibatch, 3).log_radon, looked[:3])


def test_a_batch_may_be_as_large_as_the_survey_and_holds_rows_of_minnesota():
    survey = load_minnesota()
    batches = draw_batches(build_minibatch(survey.rows, survey.n_obs, random_seed=1), 2)
    homes = set(zip(*survey.rows, strict=True))
    assert {tuple(home) for home in zip(*(v.ravel() for v in batches), strict=True)} <= homes
    assert [vector.dtype for vector in batches] == ["float64", "int64", "int64"]


# --- bad input --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def survey() -> Survey:
    return simulate_survey(30, 3, random_seed=1).survey


@pytest.mark.parametrize(
    ("batch_size", "error", "told"),
    [
        (0, ValueError, "batch_size must be at least 1, got 0"),
        (-5, ValueError, "batch_size must be at least 1, got -5"),
        (31, ValueError, "batch_size must be at most the number of homes, 30, got 31; give the"),
        (10.0, TypeError, "batch_size must be a whole number, got 10.0 of type float"),
        ("10", TypeError, "batch_size must be a whole number, got '10' of type str"),
        (True, TypeError, "batch_size must be a whole number, got True"),
        (None, TypeError, "batch_size must be a whole number, got None"),
    ],
)
def test_a_batch_size_is_a_whole_number_up_to_the_survey(survey, batch_size, error, told):
    with pytest.raises(error, match=told):
        build_minibatch(survey.rows, batch_size, random_seed=1)


def test_numpys_whole_numbers_are_whole_numbers(survey):
    minibatch = build_minibatch(survey.rows, np.int64(7), random_seed=np.int64(2))
    assert draw_batches(minibatch, np.int64(2)).log_radon.shape == (2, 7)


@pytest.mark.parametrize(("random_seed", "error"), [(-1, ValueError), (1.0, TypeError)])
def test_a_seed_is_a_whole_number(survey, random_seed, error):
    with pytest.raises(error, match=f"random_seed must be .*, got {random_seed}"):
        build_minibatch(survey.rows, 10, random_seed=random_seed)


def test_rows_are_checked_before_they_are_drawn(survey):
    rows = survey.rows
    with pytest.raises(ValueError, match="floor has 29"):
        build_minibatch(rows._replace(floor=rows.floor[1:]), 10, random_seed=1)
    spoiled = np.where(np.arange(30) == 3, np.nan, rows.log_radon)
    with pytest.raises(ValueError, match="row 3 has nan"):
        build_minibatch(rows._replace(log_radon=spoiled), 10, random_seed=1)
    with pytest.raises(ValueError, match="the survey is empty"):
        build_minibatch(Rows([], [], []), 10, random_seed=1)


def test_a_minibatch_of_a_minibatch_is_refused(survey):
    minibatch = build_minibatch(survey.rows, 10, random_seed=1)
    with pytest.raises(TypeError, match="rows are a minibatch already; give the rows of a whole"):
        build_minibatch(minibatch, 5, random_seed=1)


def test_only_a_minibatch_has_batches_to_look_at(survey):
    with pytest.raises(TypeError, match="expected a minibatch from build_minibatch, got rows that"):
        draw_batches(survey.rows, 5)
    minibatch = build_minibatch(survey.rows, 10, random_seed=1)
    with pytest.raises(ValueError, match="n_batches must be at least 1, got 0"):
        draw_batches(minibatch, 0)
    with pytest.raises(TypeError, match="n_batches must be a whole number, got 2.5"):
        draw_batches(minibatch, 2.5)
