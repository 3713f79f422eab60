"""What every peer's worker shares: requests in, answers out, and the clock between them.

A worker is a process in its peer's own environment. It reads one request a line from standard
input, a JSON object whose `do` names what is wanted, and answers with one JSON object a line.
Nothing here may need more than NumPy: it runs in every environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Settings of the Adam that every peer runs: its rate falls geometrically, as in `DecayingAdam`.
FIRST_RATE, LAST_RATE = 0.02, 0.00002
STEPS_A_RATE = 100

#: Upper end of the uniform priors of the scales, and sd of the normal priors of the group means.
UPPER, EFFECT_SD = 100.0, 10_000.0


class Data(NamedTuple):
    """The survey as arrays, for those without the gallery's package as well."""

    log_radon: Array
    floor: npt.NDArray[np.int64]
    county_idx: npt.NDArray[np.int64]
    n_county: int

    @classmethod
    def load(cls, path: str) -> Data:
        """Read it from the file that `run.py` wrote."""
        with np.load(path) as file:
            return cls(file["log_radon"], file["floor"], file["county_idx"], int(file["n_county"]))


class Fitter(Protocol):
    """A compiled ADVI that stands before its first step."""

    def run(self, steps: int) -> None:
        """Take steps from where it stands; what is timed."""

    def fit(self, steps: int) -> None:
        """Go back to the start and take all steps with a falling rate; what is timed."""

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable, under PyMC's names."""


class Peer(NamedTuple):
    """What a worker can do. `prepare` gets the case, the method, the data and the batch size."""

    packages: tuple[str, ...]
    notes: tuple[str, ...]
    prepare: Callable[..., Fitter] | None = None
    sample: Callable[..., dict[str, Any]] | None = None
    log_density: Callable[..., float] | None = None
    others: Mapping[str, Callable[..., dict[str, Any]]] = {}


def rate_at(progress: float) -> float:
    """Return the learning rate when the share `progress` of the steps is done."""
    return float(FIRST_RATE * (LAST_RATE / FIRST_RATE) ** progress)


def peak_mib() -> float:
    """Return the most memory that this process has held, MiB, since `forget_peak` if that works."""
    status = Path("/proc/self/status")
    if status.exists():  # elsewhere, and in Linux's own ru_maxrss, the parent's peak may count
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak() -> float:
    """Let the peak begin anew, where Linux can do that, and return it, MiB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mib()


def save(path: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
    """Write arrays to a file that the evaluation reads."""
    np.savez(Path(path), **{name: np.asarray(value) for name, value in arrays.items()})


def describe(peer: Peer) -> dict[str, Any]:
    """Say what this peer is: interpreter, versions, threads, and how it was set."""
    versions = {}
    for package in peer.packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return {
        "python": platform.python_version(),
        "versions": versions,
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
        "notes": list(peer.notes),
    }


def answer(peer: Peer, state: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Do what a request asks for; `state` keeps the fitter between requests."""
    settings = {name: value for name, value in request.items() if name not in ("do", "out")}
    started = time.perf_counter()
    match request["do"]:
        case "describe":
            return describe(peer)
        case "prepare":
            state["fitter"] = peer.prepare(**settings)
            state["fitter"].run(1)
            return {"compile_seconds": time.perf_counter() - started}
        case "run":
            state["fitter"].run(settings["steps"])
            return {"microseconds": (time.perf_counter() - started) / settings["steps"] * 1e6}
        case "fit":
            state["fitter"].fit(**settings)
            seconds = time.perf_counter() - started
            parts = state["fitter"].gaussian()
            arrays = {f"mean/{name}": mean for name, (mean, _) in parts.items()}
            save(request["out"], arrays | {f"sd/{name}": sd for name, (_, sd) in parts.items()})
            return {"seconds": seconds}
        case "sample":
            found = peer.sample(**settings)
            save(request["out"], found.pop("draws"))
            return found
        case "log_density":
            return {"log_density": float(peer.log_density(**settings))}
        case "memory":
            return {"base_mib": state["base_mib"], "peak_mib": peak_mib()}
        case other:
            return peer.others[other](**settings)


def serve(peer: Peer) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    state: dict[str, Any] = {"base_mib": forget_peak()}
    for line in sys.stdin:
        try:
            reply = answer(peer, state, json.loads(line))
        except Exception as error:  # told to `run.py`, which records it
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), file=answers, flush=True)
