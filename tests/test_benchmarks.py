"""The benchmark's machinery: workers answer, records become medians, ratios and targets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radon_gallery.data import Survey, simulate_survey
from radon_gallery.inference import DecayingAdam, fit_advi
from radon_gallery.minibatch import build_minibatch
from radon_gallery.models import hierarchical_model

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the benchmark's modules be imported, and forget them again."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"judge", "peers", "pymc_model", "run", "summary", "worker"}:
            del sys.modules[name]


@pytest.fixture(scope="module")
def small() -> Survey:
    return simulate_survey(60, 4, random_seed=3).survey


@pytest.fixture
def data(small: Survey, tmp_path: Path) -> str:
    path = tmp_path / "small.npz"
    np.savez(path, **small.rows._asdict(), n_county=small.n_county)
    return str(path)


def ask(module: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Send requests to a worker in a process of its own and return its answers."""
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    ended = subprocess.run(
        [sys.executable, "-P", "-m", f"peers.{module}"],
        **{"input": lines, "capture_output": True, "text": True, "check": True},
        env={**os.environ, "PYTHONPATH": str(FOLDER)},
    )
    return [json.loads(line) for line in ended.stdout.splitlines()]


# --- workers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["gallery", "pymc"])
def test_a_worker_fits_and_tells_what_went_wrong(module: str, data: str, tmp_path: Path) -> None:
    out = str(tmp_path / "fit.npz")
    about, prepared, run, fit, wrong, memory = ask(
        module,
        {"do": "describe"},
        {"do": "prepare", "case": "noncentred", "data": data, "batch": 20},
        {"do": "run", "steps": 3},
        {"do": "fit", "steps": 250, "out": out},
        {"do": "prepare", "case": "sideways", "data": data, "batch": 20},
        {"do": "memory"},
    )
    assert about["versions"]["pymc"] != "missing"
    assert about["notes"]
    assert prepared["compile_seconds"] > 0
    assert run["microseconds"] > 0
    assert fit["seconds"] > 0
    assert "unknown parameterisation 'sideways'" in wrong["error"]
    assert memory["peak_mib"] > memory["base_mib"] > 0
    with np.load(out) as saved:
        assert saved["mean/alpha_offset"].shape == (4,)
        assert saved["sd/sigma_beta_interval__"].size == 1
        # PyMC starts from an sd of log 2; 250 steps at these rates have moved all of them.
        sds = np.concatenate([np.ravel(saved[name]) for name in saved if name.startswith("sd/")])
    assert len(sds) == 5 + 2 * 4
    assert (np.abs(sds - np.log(2)) > 1e-3).all()


def test_the_loop_is_driven_as_fit_advi_drives_it(small: Survey, data: str) -> None:
    """Same seed, same steps: the same Gaussian as `fit_advi` itself gives."""
    from peers.gallery import Fitter

    rows = build_minibatch(small.rows, 20, random_seed=0)
    model = hierarchical_model(rows, {"county": np.arange(4)}, total_size=small.n_obs)
    wanted = fit_advi(model, steps=300, optimiser=DecayingAdam(), random_seed=0, progressbar=False)
    fitter = Fitter("centred", data, 20)
    fitter.run(300)
    got = np.concatenate([np.ravel(mean) for mean, _ in fitter.gaussian().values()])
    np.testing.assert_array_equal(got, wanted.mean)


def test_only_steps_are_timed(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the Gaussian compiles a function in the Aesara edition, and is no part of a step."""
    from peers.gallery import Fitter

    fitter = Fitter("centred", data, 20)
    monkeypatch.setattr(fitter.loop, "gaussian", lambda: pytest.fail("read while timed"))
    fitter.run(10)


@pytest.mark.parametrize("module", ["gallery", "pymc"])
def test_a_fit_sets_out_from_the_start(module: str, data: str) -> None:
    """After a fit of no effect the Gaussian is that of the start, however far it had come."""
    import importlib

    fitter = importlib.import_module(f"peers.{module}").Fitter("centred", data, 20)
    start = fitter.gaussian()
    fitter.run(200)
    assert all(np.all(fitter.gaussian()[name][0] != mean) for name, (mean, _) in start.items())
    fitter.rewind()
    for name, parts in start.items():
        np.testing.assert_array_equal(fitter.gaussian()[name], parts)


def test_a_sampler_returns_every_parameter(data: str, tmp_path: Path) -> None:
    out = str(tmp_path / "draws.npz")
    settings = {"draws": 10, "tune": 10, "chains": 2, "cores": 1, "target": 0.9, "seed": 1}
    (found,) = ask(
        "pymc", {"do": "sample", "case": "noncentred", "data": data, "out": out} | settings
    )
    assert found["seconds"] > 0
    assert found["compile_seconds"] > 0
    with np.load(out) as saved:
        assert saved["beta"].shape == (2, 10, 4)
        assert saved["eps"].shape == (2, 10)


def test_the_exact_answer_is_timed_and_refined(data: str) -> None:
    (found,) = ask("gallery", {"do": "exact", "data": data, "draws": 10})
    assert found["seconds"] > 0
    assert found["draws_a_second"] > 0
    assert 0 < found["evidence_change"] < 1e-3
    assert 0 < found["mean_change"] < 1e-3


@pytest.mark.parametrize("fatal", ["describe", "memory", "first_loss"])
def test_a_worker_that_ends_leaves_errors_and_no_numbers(
    fatal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import run

    class Worker:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.ended = False

        def ask(self, do: str, **_: Any) -> dict[str, Any]:
            self.ended |= do == fatal
            return {"error": "the worker ended"} if self.ended else {"microseconds": 20.0}

        def close(self) -> None:
            pass

    monkeypatch.setattr(run, "Worker", Worker)
    settings = run.QUICK._replace(rows=(1000,))
    bench = run.Bench(settings, {"pytensor": "python"}, tmp_path, ["gallery-pytensor"])
    (bench.measure_second_process if fatal == "first_loss" else bench.measure_scaling)()
    failed = [record for record in bench.records if "error" in record]
    assert failed
    assert not {"seconds", "growth_mib", "microseconds"} & set().union(*failed)
    assert not any("error" in about for about in bench.abouts.values())


# --- summary ----------------------------------------------------------------------------------


def step(
    peer: str, microseconds: float | None, case: str = "centred", **more: Any
) -> dict[str, Any]:
    return {
        "measure": "advi step",
        "peer": peer,
        "case": case,
        "microseconds": microseconds,
        **more,
    }


def test_summary_has_medians_ranges_and_ratios() -> None:
    from summary import summarise

    times = {"gallery-pytensor": [20.0, 18.0, 40.0], "hand": [10.0, 11.0]}
    records = [step(peer, value) for peer, values in times.items() for value in values]
    records += [step("hand", None), step("numpyro", None) | {"error": "absent"}]
    records += [step("hand", 99.0, measure="scaling", rows=1000)]
    ours, by_hand, scaling = summarise(records)
    assert (ours["median"], ours["low"], ours["high"], ours["n"], ours["ratio"]) == (
        *(20.0, 18.0, 40.0, 3, 1.0),
    )
    assert (by_hand["median"], by_hand["n"], by_hand["ratio"]) == (10.5, 2, 0.525)
    # Nothing of the reference is there to compare with.
    assert (scaling["rows"], scaling["median"], scaling["ratio"]) == (1000, 99.0, None)


def test_targets_are_judged_by_the_worse_case() -> None:
    from summary import judge_targets, summarise

    records = [
        *(step("gallery-pytensor", 20.0), step("gallery-pytensor", 30.0, "noncentred")),
        *(step("hand", 16.0), step("hand", 15.0, "noncentred")),
        *(step("pymc-pytensor", 400.0), step("pymc-pytensor", 330.0, "noncentred")),
        {"measure": "second process", "peer": "gallery-pytensor", "case": "cold", "seconds": 30.0},
        {"measure": "second process", "peer": "gallery-pytensor", "case": "warm", "seconds": 9.0},
        *(
            {"measure": "scaling", "peer": "gallery-pytensor", "case": "centred"}
            | {"rows": rows, "microseconds": microseconds}
            for rows, microseconds in {919: 20.0, 10_000: 90.0, 10**7: 26.0}.items()
        ),
    ]
    found = {each["name"]: each for each in judge_targets(summarise(records))}
    by_hand = found["step, PyTensor edition over the loop by hand"]
    assert (by_hand["measured"], by_hand["met"]) == (2.0, False)
    pymc = found["step, pm.fit of PyMC 6 over PyTensor edition"]
    assert (pymc["measured"], pymc["met"]) == (11.0, True)
    assert found["seconds to the first loss, warm cache"]["measured"] == 9.0
    assert found["step, 10 million rows over 919"]["measured"] == pytest.approx(1.3)
    assert len(found) == 4  # what was not measured is no target met or missed


def test_peers_take_turns_in_another_order_each_round() -> None:
    from summary import rotate

    orders = [rotate(["a", "b", "c"], number) for number in range(3)]
    assert [order[0] for order in orders] == ["a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert rotate([], 3) == []


def test_the_file_has_short_numbers() -> None:
    from summary import shorten

    assert shorten({"a": [1.23456789, 7, None, True, "x"]}) == {"a": [1.2346, 7, None, True, "x"]}


# --- publishing -------------------------------------------------------------------------------


def test_a_narrow_run_leaves_the_rest_as_published(tmp_path: Path) -> None:
    import run

    bench = run.Bench(run.QUICK, {}, tmp_path, ["hand"])
    bench.records = [step("hand", 9.0)]
    bench.abouts = {"hand": {"versions": {"numba": "1.0"}, "python": "3.13.1"}}
    old = [step("hand", 10.0), step("numpyro", 30.0), step("hand", 8.0, measure="scaling")]
    about = {"versions": {"numba": "1.0"}, "python": "3.13.0"}
    published = {"records": old, "peers": {"hand": about, "numpyro": about}}
    run.keep(bench, published)
    assert bench.records == [*old[1:], step("hand", 9.0)]
    assert bench.abouts == {"hand": about | {"python": "3.13.1"}, "numpyro": about}
    bench.abouts["hand"] = {"versions": {"numba": "1.1"}}
    with pytest.raises(run.click.ClickException, match=r"hand was published with .*'1.0'.* has"):
        run.keep(bench, published)


def test_a_quick_run_is_not_published() -> None:
    import run
    from click.testing import CliRunner

    before = run.PUBLISHED.read_bytes()
    ended = CliRunner().invoke(run.main, ["--quick", "--publish"])
    assert ended.exit_code == 2
    assert "the numbers of a quick run mean little" in ended.output
    assert run.PUBLISHED.read_bytes() == before


def test_runs_of_two_machines_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import run

    published = tmp_path / "benchmark.json"
    monkeypatch.setattr(run, "PUBLISHED", published)
    machine = run.describe_machine()
    published.write_text(json.dumps({"machine": machine}))
    assert run.read_published() == {"machine": machine}
    published.write_text(json.dumps({"machine": machine | {"cores": 4096}}))
    with pytest.raises(run.click.ClickException, match=r"'cores': 4096.*publish a run of every"):
        run.read_published()
