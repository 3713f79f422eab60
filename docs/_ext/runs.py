"""Where a page's outputs come from: which run made them, of what, when, and on what machine.

The kernel leaves a record of each run beside the cache (docs/_kernel/run_record.py). Here the
records are held against the sources, and shown at the foot of each page and in one table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from pages import read_code, read_notebook

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_kernel"))

from run_record import code_digest

__all__ = ["Run", "check_runs", "describe_commit", "describe_run", "find_run", "read_outputs"]


@dataclass(frozen=True)
class Run:
    """One run of a page: `seconds` of wall time, `peak_memory` in bytes where it is known."""

    started: datetime
    seconds: float
    peak_memory: int | None
    seed: int | None
    machine: Mapping[str, Any]


def find_run(cache: Path, key: str, code: Iterable[str]) -> Run:
    """Return the run that made the outputs of these code cells.

    Parameters
    ----------
    cache : Path
        The folder of cached runs.
    key : str
        The digest of all else that decides the outputs: package, data, lock, kernel.
    code : iterable of str
        The page's code cells.

    Raises
    ------
    LookupError
        If no run is on record for this code, or it is one of another package, data or lock.
    """
    path = cache / "runs" / f"{code_digest(code)}.json"
    if not path.exists():
        raise LookupError("no run of its code is on record")
    record = json.loads(path.read_text())
    if record.pop("key") != key:
        raise LookupError("its outputs were made with another package, data, lock or kernel")
    return Run(**record | {"started": datetime.fromisoformat(record["started"])})


def read_outputs(source: Path, cache: Path) -> Any:
    """Return a page as a notebook with the outputs that the cache holds for its code.

    Raises
    ------
    LookupError
        If the cache holds none.
    """
    _, notebook = get_cache(cache).merge_match_into_notebook(read_notebook(source))
    return notebook


def check_runs(
    sources: Mapping[str, Path], executed: Path, cache: Path, key: str
) -> dict[str, Run]:
    """Return the run of each executed document, all of which belong to their sources.

    Parameters
    ----------
    sources : mapping of str to Path
        The source file of each document, by name.
    executed : Path
        The folder of notebooks with outputs, as the build rendered them.
    cache, key
        As for `find_run`.

    Raises
    ------
    LookupError
        If the outputs of a document are not those of its source; all such documents are named.
    """
    runs, problems = {}, []
    for name, source in sources.items():
        code = read_code(source)
        notebook = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        rendered = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        try:
            if code_digest(rendered) != code_digest(code):
                raise LookupError("what was rendered is not the code of its source")
            runs[name] = find_run(cache, key, code)
        except LookupError as error:
            problems.append(f"  {name}: {error}")
    if problems:
        raise LookupError(
            "The outputs of these pages do not belong to the sources beside them:\n"
            + "\n".join(problems)
            + f"\nDelete {cache.relative_to(cache.parents[2])} and build again."
        )
    return runs


def describe_run(run: Run, *, fresh: bool) -> str:
    """Say in a sentence or two when a page ran, for how long, and on what."""
    memory = f" and at most {_gigabytes(run.peak_memory)}" if run.peak_memory else ""
    of = run.machine
    on = [f"{of['cores']} cores", of["system"], of["processor"]]
    if of["memory"]:
        on.insert(1, f"{of['memory'] / 2**30:.0f} GB of memory")
    how = (
        "Executed in this build."
        if fresh
        else "Its outputs come from a cache whose key matches page, package, data and lock."
    )
    seed = "" if run.seed is None else f"Seed {run.seed}. "
    when = f"{run.started.day} {run.started:%B %Y at %H:%M} UTC"
    what = f"Run on {when}, in {run.seconds:.0f} s{memory}"
    return f"{seed}{what}, on a machine with {', '.join(on)}. {how}"


def describe_commit(root: Path) -> str:
    """Return the commit that `root` is at, and whether files differ from it; empty without git."""
    try:
        commit = _git(root, "rev-parse", "--short=10", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"commit {commit}" + (", with changes since" if changed else "")


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.2f} GB" if size >= 2**30 else f"{size / 2**20:.0f} MB"
