"""nutpie's NUTS on the gallery's PyMC model."""

from __future__ import annotations

import time
from typing import Any

import nutpie
from pymc_model import build_model
from worker import Peer, serve


def sample(
    case: str, data: str, draws: int, tune: int, chains: int, cores: int, target: float, seed: int
) -> dict[str, Any]:
    """Compile, then sample; nutpie's target is an argument of `sample`."""
    started = time.perf_counter()
    compiled = nutpie.compile_pymc_model(build_model(case, data))
    compile_seconds = time.perf_counter() - started
    started = time.perf_counter()
    fit = nutpie.sample(
        compiled,
        **{"draws": draws, "tune": tune, "chains": chains, "cores": cores, "seed": seed},
        **{"target_accept": target, "progress_bar": False, "save_warmup": False},
    )
    return {
        "seconds": time.perf_counter() - started,
        "compile_seconds": compile_seconds,
        "draws": {str(name): values.values for name, values in fit.posterior.items()},
        "divergences": int(fit.sample_stats["diverging"].sum()),
    }


PEER = Peer(
    packages=("nutpie", "pymc", "pytensor", "numba"),
    notes=("compiled by Numba; two of four chains at a time",),
    sample=sample,
)

if __name__ == "__main__":
    serve(PEER)
