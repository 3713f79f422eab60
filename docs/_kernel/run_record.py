"""Each run of a page leaves a record: of which code, when, how long, how much memory, on what.

The record is a file beside the cache, named by the digest of the code cells that ran, so a page's
outputs can be traced to the run that made them and to nothing else. It is written after every
cell, because a kernel may be stopped without notice; the last one stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["MemoryWatch", "code_digest", "load_ipython_extension", "machine", "peak_memory"]

PROCESS = Path("/proc/self")
BETWEEN_LOOKS = 0.2  # seconds


def code_digest(cells: Iterable[str]) -> str:
    """Return a digest of the code cells in order, blank ones and blank ends apart."""
    digest = hashlib.sha256()
    for code in filter(None, map(str.strip, cells)):
        part = code.encode()
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:32]


def peak_memory() -> int | None:
    """Return the most memory that this process has held at once, in bytes, if the system tells."""
    status = PROCESS / "status"
    if status.exists():
        # getrusage would count what the parent held when it started this process.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class MemoryWatch(threading.Thread):
    """Looks now and then, where the system tells, at what this process and those it started hold.

    While there are no others it does not look: the system keeps a single process's peak itself.

    Attributes
    ----------
    peak : int
        The most that it saw, in bytes; memory that processes share counts once.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            self.look()
            time.sleep(BETWEEN_LOOKS)

    def look(self) -> None:
        """Look once."""
        with suppress(OSError):  # a process may end meanwhile
            processes = list(_family(PROCESS))
            if len(processes) > 1:
                self.peak = max(self.peak, sum(map(_share, processes)))


def _family(process: Path) -> Iterator[Path]:
    yield process
    for started in process.glob("task/*/children"):
        for child in started.read_text().split():
            yield from _family(Path("/proc", child))


def _share(process: Path) -> int:
    """Return what a process holds, in bytes, of shared memory its part."""
    lines = Path(process, "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def machine() -> dict[str, Any]:
    """Return what kind of machine this is: system, processor, cores and memory in bytes."""
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory": memory,
    }


class _Recorder:
    def __init__(self, shell: Any, folder: Path) -> None:
        self.shell, self.folder = shell, folder
        self.started, self.clock = datetime.now(UTC), time.monotonic()
        self.cells: list[str] = []
        self.last: Path | None = None
        self.memory = MemoryWatch()
        self.memory.start()

    def __call__(self, result: Any) -> None:
        self.cells.append(result.info.raw_cell)
        alone = peak_memory()
        record = {
            "key": os.environ.get("RADON_GALLERY_KEY"),
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 1),
            "peak_memory": alone and max(alone, self.memory.peak),
            "seed": self.shell.user_ns.get("RANDOM_SEED"),
            "machine": machine(),
        }
        path = Path(self.folder, f"{code_digest(self.cells)}.json")
        path.write_text(json.dumps(record, indent=1) + "\n")
        if self.last not in {None, path}:
            self.last.unlink(missing_ok=True)
        self.last = path


def load_ipython_extension(shell: Any) -> None:
    """Record this kernel's run, where the build has said where to."""
    folder = os.environ.get("RADON_GALLERY_RUNS")
    if folder is None:
        return
    target = Path(folder, "runs")
    target.mkdir(parents=True, exist_ok=True)
    shell.events.register("post_run_cell", _Recorder(shell, target))
