"""Where outputs come from: a run is found for the code that made it and for no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "docs" / "_kernel")]

import run_record  # noqa: E402  (found through the line above)
import runs  # noqa: E402

CELLS = ("x = 1", "y = x + 1")


class Shell:
    """As much of IPython's shell as a record needs."""

    def __init__(self) -> None:
        self.user_ns = {"RANDOM_SEED": 8927}
        self.events = self
        self.after = None

    def register(self, event: str, function: object) -> None:
        assert event == "post_run_cell"
        self.after = function


def run_cells(cache: Path, monkeypatch: pytest.MonkeyPatch, cells: tuple[str, ...]) -> None:
    """Let the kernel's extension record a run."""
    monkeypatch.setenv("RADON_GALLERY_RUNS", str(cache))
    monkeypatch.setenv("RADON_GALLERY_KEY", "key")
    shell = Shell()
    run_record.load_ipython_extension(shell)
    for code in cells:
        shell.after(SimpleNamespace(info=SimpleNamespace(raw_cell=code)))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the record of one run."""
    folder = tmp_path / "build" / "aesara" / "cache-key"
    run_cells(folder, monkeypatch, CELLS)
    return folder


def test_run_is_found_by_its_code(cache: Path) -> None:
    run = runs.find_run(cache, "key", ("\n", *CELLS, ""))
    assert run.seed == 8927
    assert run.seconds >= 0
    assert run.peak_memory is None or 2**20 < run.peak_memory < 2**40
    assert run.machine["cores"] >= 1


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="this system does not tell"
)
def test_memory_of_processes_that_a_page_starts_is_counted() -> None:
    watch = run_record.MemoryWatch()
    watch.look()
    assert watch.peak == 0
    size = 200 * 2**20
    code = f"held = bytearray(b'x') * {size}; print('ready', flush=True); input()"
    alone = run_record._share(run_record.PROCESS)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        watch.look()
        child.communicate(b"\n")
    assert alone + size < watch.peak < alone + 1.5 * size
    seen = watch.peak
    watch.look()
    assert watch.peak == seen


def test_one_record_is_left_of_a_run(cache: Path) -> None:
    assert len(list((cache / "runs").iterdir())) == 1


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(("x = 1",), id="fewer cells"),
        pytest.param(("x = 1y = x + 1",), id="cells joined"),
        pytest.param(("y = x + 1", "x = 1"), id="another order"),
    ],
)
def test_no_run_is_found_for_other_code(cells: tuple[str, ...], cache: Path) -> None:
    with pytest.raises(LookupError, match="no run of its code"):
        runs.find_run(cache, "key", cells)


def test_no_run_is_found_for_another_package(cache: Path) -> None:
    with pytest.raises(LookupError, match="another package"):
        runs.find_run(cache, "other", CELLS)


def write_source(path: Path, cells: tuple[str, ...]) -> Path:
    """Write a page with these cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = [f"```{{code-cell}} ipython3\n{code}\n```\n" for code in cells]
    path.write_text("\n".join(["---\nkernelspec:\n  name: python3\n---\n", *blocks]))
    return path


def write_rendered(folder: Path, cells: tuple[str, ...]) -> None:
    """Write the notebook that a build rendered."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(of) for of in cells])
    folder.mkdir(exist_ok=True)
    nbformat.write(notebook, folder / "page.ipynb")


def test_outputs_of_the_sources_are_accepted(cache: Path, tmp_path: Path) -> None:
    source = write_source(tmp_path / "page.md", CELLS)
    write_rendered(tmp_path / "executed", CELLS)
    found = runs.check_runs({"page": source}, tmp_path / "executed", cache, "key")
    assert found["page"] == runs.find_run(cache, "key", CELLS)


@pytest.mark.parametrize(
    ("source", "rendered", "key", "message"),
    [
        pytest.param(("x = 2",), CELLS, "key", "not the code of its source", id="source changed"),
        pytest.param(("x = 2",), ("x = 2",), "key", "no run of its code", id="never ran"),
        pytest.param(CELLS, CELLS, "other", "another package", id="package changed"),
    ],
)
def test_outputs_of_other_sources_are_refused(
    source: tuple[str, ...],
    rendered: tuple[str, ...],
    key: str,
    message: str,
    cache: Path,
    tmp_path: Path,
) -> None:
    path = write_source(tmp_path / "page.md", source)
    write_rendered(tmp_path / "executed", rendered)
    with pytest.raises(LookupError, match=rf"(?s)page: .*{message}.*Delete build/aesara/cache-key"):
        runs.check_runs({"page": path}, tmp_path / "executed", cache, key)


def test_a_run_is_told_in_words(cache: Path) -> None:
    path = next((cache / "runs").iterdir())
    about = {
        "started": "2026-11-22T23:10:05+00:00",
        "seconds": 50.4,
        "peak_memory": 600 * 2**20,
        "machine": {"system": "Linux", "processor": "x86_64", "cores": 2, "memory": 8 * 2**30},
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | about))
    run = runs.find_run(cache, "key", CELLS)
    assert runs.describe_run(run, fresh=True) == (
        "Seed 8927. Run on 22 November 2026 at 23:10 UTC, in 50 s and at most 600 MB, on a machine "
        "with 2 cores, 8 GB of memory, Linux, x86_64. Executed in this build."
    )
    assert "from a cache whose key matches" in runs.describe_run(run, fresh=False)


def git(root: Path, *words: str) -> None:
    """Run git without the reader's own settings."""
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


def test_commit_and_changes_since_are_told(tmp_path: Path) -> None:
    assert runs.describe_commit(tmp_path / "absent") == ""
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = runs.describe_commit(tmp_path)
    assert clean.startswith("commit ")
    assert len(clean.split()[1]) == 10
    (tmp_path / "file").write_text("two")
    assert runs.describe_commit(tmp_path) == f"{clean}, with changes since"
