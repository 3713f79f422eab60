"""PyMC's own `pm.fit` and `pm.sample`, in either of its versions."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import pymc as pm
from pymc_model import build_model, gaussian_of, keep_start
from worker import STEPS_A_RATE, Array, Peer, rate_at, serve

ENGINE = "pytensor" if find_spec("pytensor") else "aesara"
if ENGINE == "pytensor":
    from pytensor import shared
else:
    from aesara import shared

METHODS = {"meanfield": pm.ADVI, "fullrank": pm.FullRankADVI}


class Fitter:
    """`pm.fit`, which `refine` continues without compiling anew."""

    def __init__(
        self, case: str, data: str, batch: int, method: str = "meanfield", optimiser: str = "adam"
    ) -> None:
        self.rate = shared(np.asarray(rate_at(0.0)), "learning_rate")
        self.falls = optimiser == "adam"
        settings = {"obj_optimizer": pm.adam(learning_rate=self.rate)} if self.falls else {}
        self.callbacks: list[Any] = []
        self.inference = METHODS[method](model=build_model(case, data, batch), random_seed=1)
        self.inference.fit(0, progressbar=False, callbacks=self.callbacks, **settings)
        self.rewind = keep_start(self.inference.state.step)

    def run(self, steps: int) -> None:
        """Take steps from where it stands."""
        self.inference.refine(steps, progressbar=False)

    def fit(self, steps: int) -> None:
        """Take all steps from the start, a callback lowering the rate of Adam."""
        self.rewind()
        taken = 0

        def lower(*_: Any) -> None:
            nonlocal taken
            taken += 1
            if taken % STEPS_A_RATE == 0:
                self.rate.set_value(np.asarray(rate_at(taken / steps)))

        self.rate.set_value(np.asarray(rate_at(0.0)))
        self.callbacks[:] = [lower] if self.falls else []
        self.run(steps)
        self.callbacks.clear()

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable."""
        return gaussian_of(self.inference.approx.groups[0])


def sample(
    case: str, data: str, draws: int, tune: int, chains: int, cores: int, target: float, seed: int
) -> dict[str, Any]:
    """Sample with PyMC's own NUTS; what is not sampling is building and compiling."""
    started = time.perf_counter()
    model = build_model(case, data)
    own = {"nuts_sampler": "pymc"} if ENGINE == "pytensor" else {}
    if ENGINE == "aesara":
        own["idata_kwargs"] = {"log_likelihood": False}
    fit = pm.sample(
        *(draws,),
        **{"model": model, "tune": tune, "chains": chains, "cores": cores, "random_seed": seed},
        **{"target_accept": target, "progressbar": False, "compute_convergence_checks": False},
        **own,
    )
    total = time.perf_counter() - started
    seconds = float(fit.posterior.attrs["sampling_time"])
    return {
        "draws": {str(name): values.values for name, values in fit.posterior.items()},
        "compile_seconds": total - seconds,
        "seconds": seconds,
        "divergences": int(fit.sample_stats["diverging"].sum()),
    }


PEER = Peer(
    packages=("pymc", ENGINE, "numpy", *(("numba",) if ENGINE == "pytensor" else ())),
    notes=(
        "pm.fit with Adam, progress bar off, on the gallery's aligned minibatch",
        "for accuracy a callback lowers Adam's rate every 100 steps; its time counts",
        "pm.sample with PyMC's own NUTS, two processes",
    ),
    prepare=Fitter,
    sample=sample,
)

if __name__ == "__main__":
    serve(PEER)
