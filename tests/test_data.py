"""The survey: what the packaged one holds, what a reader's own must hold, simulated ones."""

from __future__ import annotations

import copy
import hashlib
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from radon_gallery.data import (
    LOG_OFFSET_PCI_L,
    Rows,
    Survey,
    check_rows,
    load_minnesota,
    simulate_survey,
    survey_from_frame,
)

SHA256 = {
    "minnesota_counties.csv": "c346cd570629513f4b4e05371802321448fe85510ca599e3392165db83c2b780",
    "minnesota_homes.csv": "d49b75049bf1e9c2d96c272f2ad406fd31f78ea90357d7b82e20e33020442f20",
}


@pytest.fixture
def table() -> pd.DataFrame:
    """Five homes in three counties, under names of the reader's own."""
    return pd.DataFrame(
        {
            "y": [0.5, 1.5, -0.2, 2.0, 0.0],
            "level": [0, 1, 0, 0, 1],
            "place": ["Ostrom", "Elm", "Ostrom", "Yarrow", "Elm"],
            "soil": [-0.3, 0.1, -0.3, 0.4, 0.1],
        }
    )


COLUMNS = {"log_radon": "y", "floor": "level", "county": "place"}


# --- the packaged survey ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SHA256)
def test_packaged_files_are_those_the_script_made(name):
    packaged = files("radon_gallery") / "_data" / name
    assert hashlib.sha256(packaged.read_bytes()).hexdigest() == SHA256[name]


def test_minnesota_counts():
    survey = load_minnesota()
    assert (survey.n_obs, survey.n_county) == (919, 85)
    assert survey.floor.sum() == 153
    assert survey.homes.sum() == 919
    assert (survey.homes.min(), survey.homes.max()) == (1, 116)


def test_log_radon_is_log_of_radon_plus_a_tenth():
    with (files("radon_gallery") / "_data" / "minnesota_homes.csv").open() as file:
        radon_pci_l = pd.read_csv(file)["radon_pci_l"]
    survey = load_minnesota()
    assert LOG_OFFSET_PCI_L == 0.1
    assert (radon_pci_l == 0).sum() == 3
    np.testing.assert_allclose(survey.log_radon, np.log(radon_pci_l + 0.1), rtol=1e-15)
    assert (survey.log_radon == math.log(0.1)).sum() == 3


def test_minnesota_homes_stand_in_their_own_counties():
    survey = load_minnesota()
    homes = dict(zip(survey.county, survey.homes, strict=True))
    assert homes["Aitkin"] == 4
    assert homes["Hennepin"] == 105
    assert homes["St. Louis"] == 116
    assert all(name == name.strip() for name in survey.county)
    assert list(survey.county) == sorted(survey.county, key=lambda name: name.upper())
    st_louis = survey.county.index("St. Louis")
    assert survey.longitude[st_louis] == pytest.approx(-92.4, abs=0.5)
    assert survey.latitude[st_louis] == pytest.approx(47.6, abs=0.5)
    aitkin = survey.county.index("Aitkin")
    assert survey.log_uranium[aitkin] == pytest.approx(math.log(0.502054), rel=1e-12)


def test_vectors_have_the_types_the_models_rely_on():
    survey = load_minnesota()
    assert [vector.dtype for vector in survey.rows] == ["float64", "int64", "int64"]
    assert survey.rows._fields == ("log_radon", "floor", "county_idx")


def test_coords_and_dims_label_every_vector():
    survey = load_minnesota()
    assert list(survey.coords["county"]) == list(survey.county)
    np.testing.assert_array_equal(survey.coords["obs_id"], np.arange(919))
    for name, dims in survey.dims.items():
        assert getattr(survey, name).shape == tuple(len(survey.coords[dim]) for dim in dims)


# --- immutability -----------------------------------------------------------------------------


def test_a_survey_cannot_be_changed():
    survey = load_minnesota()
    with pytest.raises(FrozenInstanceError):
        survey.log_radon = np.zeros(919)
    for vector in (*survey.rows, survey.log_uranium, survey.longitude, survey.latitude):
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 1


def test_a_survey_does_not_share_memory_with_what_it_was_made_from():
    log_radon = np.array([1.0, 2.0])
    survey = Survey(log_radon, [0, 1], [0, 0], ("Elm",))
    log_radon[0] = 99.0
    assert survey.log_radon[0] == 1.0
    log_radon[1] = 99.0  # and the caller's own array stays writable


def test_a_survey_shows_its_size_and_not_its_numbers(minnesota):
    assert repr(minnesota) == "<Survey: 919 homes in 85 counties>"


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda survey: pickle.loads(pickle.dumps(survey))]
)
def test_a_copy_of_a_survey_cannot_be_changed_either(again):
    survey = load_minnesota()
    twin = again(survey)
    assert twin.county == survey.county
    for name in survey.dims:
        ours, theirs = getattr(survey, name), getattr(twin, name)
        np.testing.assert_array_equal(theirs, ours)
        assert not theirs.flags.writeable


# --- a reader's own table ---------------------------------------------------------------------


def test_own_columns_become_a_survey(table):
    survey = survey_from_frame(table, **COLUMNS, log_uranium="soil")
    assert survey.county == ("Elm", "Ostrom", "Yarrow")
    np.testing.assert_array_equal(survey.log_radon, table["y"])
    np.testing.assert_array_equal(survey.floor, table["level"])
    np.testing.assert_array_equal(survey.county_idx, [1, 0, 1, 2, 0])
    np.testing.assert_array_equal(survey.log_uranium, [0.1, -0.3, 0.4])
    assert survey.longitude is None
    assert "longitude" not in survey.dims


def test_default_names_are_the_gallerys(table):
    renamed = table.rename(columns={"y": "log_radon", "level": "floor", "place": "county"})
    assert survey_from_frame(renamed).county == ("Elm", "Ostrom", "Yarrow")


def test_categories_keep_their_order(table):
    order = ["Yarrow", "Elm", "Ostrom"]
    table["place"] = pd.Categorical(table["place"], categories=order)
    survey = survey_from_frame(table, **COLUMNS, log_uranium="soil")
    assert survey.county == tuple(order)
    np.testing.assert_array_equal(survey.county_idx, [2, 1, 2, 0, 1])
    np.testing.assert_array_equal(survey.log_uranium, [0.4, 0.1, -0.3])


def test_the_tables_own_index_does_not_matter(table):
    shuffled = table.set_axis([7, 7, 3, 0, 1])
    survey = survey_from_frame(shuffled, **COLUMNS, log_uranium="soil")
    np.testing.assert_array_equal(survey.county_idx, [1, 0, 1, 2, 0])
    np.testing.assert_array_equal(survey.log_uranium, [0.1, -0.3, 0.4])


@pytest.mark.parametrize("dtype", ["Int64", "float64", "object", "bool"])
def test_floor_may_come_in_any_type_of_number(table, dtype):
    table["level"] = table["level"].astype(dtype)
    np.testing.assert_array_equal(survey_from_frame(table, **COLUMNS).floor, [0, 1, 0, 0, 1])


def test_a_table_of_minnesota_gives_minnesota_back():
    survey = load_minnesota()
    frame = pd.DataFrame(survey.rows._asdict())
    names = pd.Categorical.from_codes(survey.county_idx, categories=list(survey.county))
    again = survey_from_frame(frame.assign(county=names))
    assert again.county == survey.county
    for ours, theirs in zip(again.rows, survey.rows, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- bad input --------------------------------------------------------------------------------


def test_a_missing_column_is_named_with_those_found(table):
    with pytest.raises(ValueError, match="no column 'radon'; it has 'y', 'level', 'place', 'soil'"):
        survey_from_frame(table, log_radon="radon", floor="level", county="place")
    with pytest.raises(ValueError, match="Name the right one, such as log_radon='my_column'"):
        survey_from_frame(table)


def test_a_misspelt_column_of_the_county_is_named(table):
    with pytest.raises(ValueError, match="no column 'sol'"):
        survey_from_frame(table, **COLUMNS, log_uranium="sol")


def test_a_column_held_twice_is_refused(table):
    twice = pd.concat([table, table[["y"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column 'y'; keep one"):
        survey_from_frame(twice, **COLUMNS)


def test_only_a_data_frame_is_a_table(table):
    with pytest.raises(TypeError, match="expected a pandas DataFrame, got dict"):
        survey_from_frame(table.to_dict("list"), **COLUMNS)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("y", "1.5", "y must be a finite number in every row; 1 of 5 rows .* row 2 has '1.5'"),
        ("y", math.nan, "y must be a finite number .* row 2 has nan"),
        ("y", None, "y must be a finite number .* row 2 has"),
        ("y", math.inf, "y must be a finite number .* row 2 has inf"),
        ("y", -math.inf, "y must be a finite number .* row 2 has -inf"),
        ("y", 1 + 2j, "y must be a finite number .* row 2 has"),
        ("y", pd.Timestamp("2020-01-01"), "y must be a finite number .* row 2 has"),
        ("level", "first", "floor must be a finite number .* row 2 has 'first'"),
        ("level", math.nan, "floor must be a finite number .* row 2 has nan"),
        ("level", 2, r"floor must be 0 \(basement\) or 1 \(first floor\) .* row 2 has 2"),
        ("level", -1, "floor must be 0 .* row 2 has -1"),
        ("level", 0.5, "floor must be 0 .* row 2 has 0.5"),
        ("place", None, "place must be the name of a county .* row 2 has"),
        ("soil", math.nan, "soil must be a finite number .* row 2 has nan"),
        ("soil", 0.7, "soil must be the county's number, the same in every row; .* row 2 has 0.7"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_bad_entry_is_told_with_its_row(table, column, value, told):
    table[column] = table[column].astype(object)
    table.loc[2, column] = value
    with pytest.raises(ValueError, match=told) as caught:
        survey_from_frame(table, **COLUMNS, log_uranium="soil")
    assert "counted from 0" in str(caught.value)
    assert "Mend or drop them." in str(caught.value)


def test_a_masked_entry_is_a_missing_one():
    radon = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(ValueError, match=r"log_radon must be a finite number .* row 1 has nan"):
        Survey(radon, [0, 0], [0, 0], ("Elm",))
    floor = np.ma.masked_array([0, 1], mask=[False, True])
    with pytest.raises(ValueError, match=r"floor must be a finite number .* row 1 has nan"):
        Survey([1.0, 2.0], floor, [0, 0], ("Elm",))


def test_of_many_bad_rows_the_first_are_shown_and_all_counted():
    log_radon = np.where(np.arange(20) % 2, np.nan, 1.0)
    with pytest.raises(ValueError, match=r"10 of 20 rows .* row 1 .* row 9 has nan and 5 more\."):
        Survey(log_radon, np.zeros(20), np.zeros(20), ("Elm",))


def test_an_empty_table_is_refused(table):
    with pytest.raises(ValueError, match="the survey is empty: expected at least one home"):
        survey_from_frame(table.iloc[:0], **COLUMNS)


def test_a_county_without_homes_is_named(table):
    table["place"] = pd.Categorical(table["place"], categories=["Elm", "Ostrom", "Oz", "Yarrow"])
    with pytest.raises(ValueError, match="at least one home; without one: 'Oz'. Leave these out"):
        survey_from_frame(table, **COLUMNS, log_uranium="soil")


def test_a_county_named_twice_is_refused():
    with pytest.raises(ValueError, match="named once; named more often: 'Elm'"):
        Survey([1.0, 2.0], [0, 1], [0, 1], ("Elm", "Elm"))


@pytest.mark.parametrize("code", [-1, 2, 1.5])
def test_a_code_out_of_range_is_told_with_its_row(code):
    told = f"county_idx must be .* a whole number from 0 to 1, .* row 1 has {code}"
    with pytest.raises(ValueError, match=told):
        Survey([1.0, 2.0, 0.5], [0, 1, 0], [0, code, 1], ("Elm", "Ostrom"))


@pytest.mark.parametrize("bad", ["log_radon", "floor", "county_idx"])
def test_vectors_of_unequal_length_are_told_with_their_lengths(bad):
    vectors = Rows(np.ones(3), np.zeros(3, int), np.zeros(3, int))
    longer = vectors._replace(**{bad: np.zeros(4, int)})
    with pytest.raises(ValueError, match=f"one length.*{bad} has 4"):
        check_rows(longer)


@pytest.mark.parametrize("name", ["log_uranium", "longitude", "latitude"])
def test_a_countys_values_must_be_one_a_county(name):
    survey = load_minnesota()
    with pytest.raises(ValueError, match=f"{name} has 84, county has 85"):
        replace(survey, **{name: np.zeros(84)})


@pytest.mark.parametrize("log_radon", [1.5, np.ones((2, 2))])
def test_a_vector_has_one_dimension(log_radon):
    with pytest.raises(ValueError, match="log_radon must be one vector, got an array of shape"):
        Survey(log_radon, [0, 1], [0, 0], ("Elm",))


def test_rows_without_a_list_of_counties_take_any_code_from_0():
    checked = check_rows(Rows([1.0], [0], [700]))
    assert checked.county_idx[0] == 700
    with pytest.raises(ValueError, match="a whole number 0 or larger, .* row 0 has -700"):
        check_rows(Rows([1.0], [0], [-700]))


# --- simulated surveys ------------------------------------------------------------------------


def test_same_seed_same_survey_other_seed_another():
    first, again, other = (
        simulate_survey(50, 5, random_seed=seed).survey.log_radon for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_simulated_survey_recovers_its_parameters():
    """Residuals and county effects have the means and sds asked for, within 5 standard errors."""
    asked = {"mu_alpha": -2.0, "sigma_alpha": 0.4, "mu_beta": 3.0, "sigma_beta": 0.9, "eps": 0.2}
    n_obs, n_county = 100_000, 2_000
    survey, truth = simulate_survey(n_obs, n_county, **asked, random_seed=8927)
    assert {name: float(truth[name]) for name in asked} == asked
    alpha, beta = truth["alpha"].to_numpy(), truth["beta"].to_numpy()
    mean = alpha[survey.county_idx] + beta[survey.county_idx] * survey.floor
    for draws, centre, sd in [
        (alpha, asked["mu_alpha"], asked["sigma_alpha"]),
        (beta, asked["mu_beta"], asked["sigma_beta"]),
        (survey.log_radon - mean, 0.0, asked["eps"]),
    ]:
        assert abs(draws.mean() - centre) < 5 * sd / math.sqrt(len(draws))
        assert abs(draws.std() - sd) < 5 * sd / math.sqrt(2 * len(draws))
    share = survey.floor.mean()
    assert abs(share - 1 / 6) < 5 * math.sqrt(5 / 36 / n_obs)


def test_every_simulated_county_has_a_home_however_few_there_are():
    survey = simulate_survey(12, 12, random_seed=3).survey
    np.testing.assert_array_equal(survey.homes, np.ones(12))
    assert survey.county[0] == "County 1"


def test_scales_of_zero_make_all_counties_alike():
    scales = {"sigma_alpha": 0.0, "sigma_beta": 0.0, "eps": 0.0}
    survey, truth = simulate_survey(20, 4, **scales, mu_alpha=1.0, mu_beta=2.0, random_seed=3)
    assert (truth["alpha"] == 1.0).all()
    np.testing.assert_array_equal(survey.log_radon, 1.0 + 2.0 * survey.floor)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"n_obs": 2}, ValueError, "each county needs a home: got n_obs=2 homes for n_county=3"),
        ({"n_obs": 0}, ValueError, "n_obs must be at least 1, got 0"),
        ({"n_county": -1}, ValueError, "n_county must be at least 1, got -1"),
        ({"n_obs": 10.0}, TypeError, "n_obs must be a whole number, got 10.0 of type float"),
        ({"n_county": True}, TypeError, "n_county must be a whole number, got True"),
        ({"eps": -1.0}, ValueError, "eps must be finite and not negative, got -1.0"),
        ({"sigma_beta": math.inf}, ValueError, "sigma_beta must be finite and not negative"),
        ({"mu_alpha": math.nan}, ValueError, "mu_alpha must be finite, got nan"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments, error, told):
    with pytest.raises(error, match=told):
        simulate_survey(**({"n_obs": 10, "n_county": 3, "random_seed": 1} | arguments))
