"""The county explorer shows what the package computes, and its page says nothing that is false."""

from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from radon_gallery.data import Survey, load_minnesota, simulate_survey
from radon_gallery.exact import exact_posterior

ROOT = Path(__file__).resolve().parent.parent


def load_explorer() -> ModuleType:
    """Load docs/_ext/explorer.py, which is part of the site and of no package."""
    path = ROOT / "docs" / "_ext" / "explorer.py"
    spec = importlib.util.spec_from_file_location("explorer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


explorer = load_explorer()


@pytest.fixture(scope="module")
def survey() -> Survey:
    return load_minnesota()


@pytest.fixture(scope="module")
def table(survey: Survey) -> pd.DataFrame:
    return explorer.tabulate_counties(survey)


@pytest.fixture(scope="module")
def page(survey: Survey) -> str:
    return explorer.render(survey)


def of(table: pd.DataFrame, estimate: str) -> pd.DataFrame:
    """Return one estimate of every county, by county."""
    return table[table["estimate"] == estimate].set_index("county")


def test_each_county_has_each_estimate_once(table: pd.DataFrame, survey: Survey) -> None:
    assert not table.duplicated(["county", "estimate"]).any()
    assert len(table) == survey.n_county * len(explorer.ESTIMATES)
    assert list(of(table, "pooled").index) == list(survey.county)


def test_homes_and_raw_means_are_the_county_s_own(table: pd.DataFrame, survey: Survey) -> None:
    raw = of(table, "raw mean")
    for code, county in enumerate(survey.county):
        here = survey.county_idx == code
        assert raw.loc[county, "mean"] == pytest.approx(survey.log_radon[here].mean())
        assert raw.loc[county, "homes"] == here.sum()
        assert raw.loc[county, "basements"] == (survey.floor[here] == 0).sum()
    assert raw[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("pooling", ["pooled", "unpooled", "hierarchical"])
def test_models_are_answered_exactly(pooling: str, table: pd.DataFrame, survey: Survey) -> None:
    shown = of(table, pooling)
    answer = exact_posterior(survey, alpha=pooling, beta=pooling, probabilities=[0.025, 0.975])
    np.testing.assert_allclose(shown["mean"], answer.summary["alpha"][0].values)
    np.testing.assert_allclose(shown["low"], answer.quantiles["alpha"][0].values)
    np.testing.assert_allclose(shown["high"], answer.quantiles["alpha"][1].values)


def test_survey_without_places_is_refused() -> None:
    nowhere = simulate_survey(20, 3, random_seed=1).survey
    with pytest.raises(ValueError, match="longitude and latitude"):
        explorer.tabulate_counties(nowhere)


@pytest.mark.parametrize(
    ("homes", "basements", "told"),
    [
        (1, 1, "1 home, measured in the basement."),
        (2, 0, "2 homes, measured on the first floor."),
        (2, 1, "2 homes: 1 in the basement, 1 on the first floor."),
        (9, 7, "9 homes: 7 in the basement, 2 on the first floor."),
    ],
)
def test_homes_are_counted_in_words(homes: int, basements: int, told: str) -> None:
    assert explorer.count_homes(homes, basements) == told


def test_county_is_told_in_rounded_figures() -> None:
    row = {"county": "A", "homes": 2, "basements": 2}
    table = pd.DataFrame(
        [
            row | {"estimate": "raw mean", "mean": -0.125, "low": np.nan, "high": np.nan},
            row | {"estimate": "pooled", "mean": 1.0, "low": 0.5, "high": 1.504},
            row | {"estimate": "unpooled", "mean": 1.0, "low": -2.0, "high": 1.5},
            row | {"estimate": "hierarchical", "mean": 1.5, "low": 1.0, "high": 2.0},
        ]
    )
    (told,) = explorer.describe_counties(table).values()
    assert told["rows"] == {
        "raw mean": {"mean": "−0.12", "interval": "none"},
        "pooled": {"mean": "1.00", "interval": "0.50 to 1.50"},
        "unpooled": {"mean": "1.00", "interval": "−2.00 to 1.50"},
        "hierarchical": {"mean": "1.50", "interval": "1.00 to 2.00"},
    }
    # exp(1.5) - 0.1, exp(1) - 0.1, exp(2) - 0.1
    assert "4.4 pCi/L (95% interval 2.6 to 7.3)" in told["meaning"]


def test_pictures_hold_every_home_and_estimate(table: pd.DataFrame, survey: Survey) -> None:
    def sizes(chart: object) -> list[int]:
        return sorted(len(rows) for rows in chart.to_dict()["datasets"].values())

    assert sizes(explorer.draw_map(table)) == [len(table)]
    assert sizes(explorer.draw_county(table, survey)) == [len(table), survey.n_obs]


class Reader(HTMLParser):
    """Collects what a browser without JavaScript shows and what it does not."""

    def __init__(self, text: str) -> None:
        """Read the text."""
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []
        self.payload = ""
        self.options: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and where we are."""
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.open.append(tag)

    def handle_data(self, data: str) -> None:
        """Keep the data for the script, and the list's entries."""
        if self.open[-1:] == ["script"]:
            self.payload += data
        elif self.open[-1:] == ["option"] and data.strip():
            self.options.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave an element, and those in it that have no end."""
        while self.open and self.open.pop() != tag:
            pass


def test_page_holds_the_counties_in_order(page: str, survey: Survey) -> None:
    reader = Reader(page)
    payload = json.loads(reader.payload)
    assert reader.options == sorted(survey.county)
    assert list(payload["counties"]) == sorted(survey.county)
    assert set(payload) == {"map", "strip", "counties"}
    assert len(reader.ids) == len(set(reader.ids))
    assert "county-explorer" in reader.ids


def test_page_shows_its_first_county_without_javascript(page: str, table: pd.DataFrame) -> None:
    told = explorer.describe_counties(table)[explorer.FIRST_SHOWN]
    static, _ = page.split('<script type="application/json">')
    assert static.count("<svg") == 2
    for text in (told["homes"], told["meaning"], *(row["mean"] for row in told["rows"].values())):
        assert f">{text}<" in static


def test_nothing_in_the_page_asks_another_host(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', page) == []


def test_what_the_page_tells_the_reader_to_look_for_is_there(table: pd.DataFrame) -> None:
    raw, own, shared = (of(table, name) for name in ("raw mean", "unpooled", "hierarchical"))
    centre = of(table, "pooled")["mean"]
    assert (centre == centre.iloc[0]).all()
    few, many = raw["homes"] <= 3, raw["homes"] >= 20
    before, after = ((kind["mean"] - centre).abs() for kind in (own, shared))
    assert after[few].mean() < before[few].mean() / 2
    assert after[many].mean() > 0.8 * before[many].mean()
    assert raw["homes"].idxmax() == "St. Louis"
    apart = (own["mean"] - shared["mean"]).abs()
    assert apart["St. Louis"] < 0.05
    assert apart["Lac qui Parle"] > 0.5
    assert (shared["high"] - shared["low"] < own["high"] - own["low"]).all()


def test_script_is_made_once_and_replaces_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def bundle(snippet: str) -> str:
        made.append(snippet)
        return "bundle"

    monkeypatch.setattr(explorer.vl_convert, "javascript_bundle", bundle)
    (tmp_path / "vega-0.1.js").touch()
    names = {explorer.vendor_vega(tmp_path) for _ in range(2)}
    assert [path.name for path in tmp_path.iterdir()] == list(names)
    assert len(made) == 1
