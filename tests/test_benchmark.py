"""The benchmark's file: what the package carries, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pandas as pd
import pytest

from radon_gallery.benchmark import load_benchmark, read_benchmark

CONTENT: dict[str, Any] = {
    "measured": "2026-01-02",
    "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 8, "system": "Linux x86_64"},
    "settings": {"batch": 100, "ratio_to": "ours", "range": "lowest and highest"},
    "peers": {
        name: {
            "title": title,
            "python": "3.13.0",
            "versions": {"numpy": "2.0", "numba": "1.0"},
            "threads": 1,
            "notes": ["as it comes"],
        }
        for name, title in {"ours": "Ours", "theirs": "Theirs"}.items()
    },
    "records": [
        {"measure": "advi step", "peer": "ours", "case": "centred", "microseconds": 20.0},
        {"measure": "advi step", "peer": "absent", "case": "all", "error": "no environment"},
    ],
    "summary": [
        {"measure": "advi step", "peer": peer, "case": "centred", "quantity": "microseconds"}
        | {"unit": "µs a step", "median": median, "low": 1.0, "high": 99.0, "n": 3}
        | {"ratio": median / 20}
        for peer, median in {"ours": 20.0, "theirs": 200.0}.items()
    ],
    "targets": [{"name": "step", "sense": "<=", "limit": 1.5, "measured": 2.0, "met": False}],
}


def test_the_packaged_benchmark_is_whole() -> None:
    benchmark = load_benchmark()
    assert set(benchmark.summary["peer"]) <= set(benchmark.peers.index)
    assert benchmark.settings["ratio_to"] in benchmark.peers.index
    assert benchmark.summary["median"].notna().all()
    between = benchmark.summary["median"].between(
        benchmark.summary["low"], benchmark.summary["high"]
    )
    assert between.all()
    above = benchmark.targets["measured"] > benchmark.targets["limit"]
    assert (benchmark.targets["met"] == (above == (benchmark.targets["sense"] == ">="))).all()


def test_tables_hold_what_the_file_holds() -> None:
    benchmark = read_benchmark(CONTENT)
    assert benchmark.measured == pd.Timestamp(2026, 1, 2)
    assert benchmark.peers.loc["theirs", "versions"] == "numpy 2.0, numba 1.0"
    assert benchmark.records["error"].tolist()[1] == "no environment"
    table = benchmark.select("advi step", "microseconds")
    assert table["title"].tolist() == ["Ours", "Theirs"]
    assert table["ratio"].tolist() == [1.0, 10.0]
    assert table["rows"].isna().all()


@pytest.mark.parametrize(
    ("measure", "quantity", "told"),
    [("nuts", "microseconds", "no measure 'nuts'"), ("advi step", "gap", "no quantity 'gap'")],
)
def test_an_unknown_measure_is_told_with_those_known(
    measure: str, quantity: str, told: str
) -> None:
    with pytest.raises(ValueError, match=f"{told}; it has"):
        read_benchmark(CONTENT).select(measure, quantity)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("machine",), "the benchmark lacks 'machine'"),
        (("peers", "ours", "notes"), "peer 'ours' lacks 'notes'"),
        (("records", 0, "case"), "entry 0 of records lacks 'case'"),
        (("summary", 1, "unit"), "entry 1 of summary lacks 'unit'"),
        (("targets", 0, "met"), "entry 0 of targets lacks 'met'"),
        (("peers", "ours"), "has records of 'ours', but describes only 'theirs'"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_a_file_with_a_gap_is_refused(path: tuple[Any, ...], told: str) -> None:
    content = copy.deepcopy(CONTENT)
    inner: Any = content
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    with pytest.raises(ValueError, match=told):
        read_benchmark(content)
