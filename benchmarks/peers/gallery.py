"""The gallery's own `fit_advi` and exact answer, in either edition."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from pymc_model import build_model, gaussian_of, keep_start
from tqdm import tqdm
from worker import Array, Data, Peer, forget_peak, peak_mib, serve

from radon_gallery.data import Survey
from radon_gallery.editions import NAME, edition
from radon_gallery.inference import _DEFAULTS, _Run, _Stage, fit_advi

IMPORTED = time.perf_counter()


class Fitter:
    """The loop that `fit_advi` makes, driven as `fit_advi` drives it, but compiled only once."""

    def __init__(self, case: str, data: str, batch: int, method: str = "meanfield") -> None:
        self.method = method
        self.model = build_model(case, data, batch)
        self.loop = edition.AdviLoop(self.model, method=method, optimiser=None, random_seed=0)
        self.rewind = keep_start(getattr(self.loop, "_steps", None) or self.loop._step)

    def run(self, steps: int) -> None:
        """Take steps from where it stands."""
        stage = _Stage(self.method, 0, steps, _DEFAULTS[self.method])
        run = _Run(self.model, [stage], (), 0)
        run._loop = self.loop  # which it would otherwise compile
        with tqdm(disable=True) as progress:
            run._run_stage(progress)

    def fit(self, steps: int) -> None:
        """Take all steps from the start; the random numbers go on."""
        self.rewind()
        self.run(steps)

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable."""
        return gaussian_of(self.loop.approximation.groups[0])


def log_density(case: str, data: str, point: dict[str, Any]) -> float:
    """Return the log joint density of all rows and an unconstrained point."""
    model = build_model(case, data)
    flat = np.concatenate([np.ravel(point[variable.name]) for variable in model.value_vars])
    return float(edition.log_density(model, flat[np.newaxis])[0])


def first_loss(case: str, data: str, batch: int) -> dict[str, Any]:
    """Fit one step, as a new process does; tell the time since the imports."""
    fit = fit_advi(build_model(case, data, batch), steps=1, random_seed=0, progressbar=False)
    return {"after_imports": time.perf_counter() - IMPORTED, "loss": float(fit.losses[0])}


def exact(data: str, draws: int) -> dict[str, Any]:
    """Integrate the posterior, then once more with twice the nodes in each dimension."""
    from radon_gallery._exact_quadrature import integrate  # here, for a fit does not need them
    from radon_gallery._exact_rule import build_rule
    from radon_gallery.exact import exact_posterior

    log_radon, floor, county_idx, n_county = Data.load(data)
    survey = Survey(log_radon, floor, county_idx, tuple(map(str, range(n_county))))
    before = forget_peak()
    cpu, started = time.process_time(), time.perf_counter()
    answer = exact_posterior(survey)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    memory = peak_mib() - before
    started = time.perf_counter()
    answer.sample(draws, random_seed=0)
    drawing = time.perf_counter() - started
    level = answer._level
    nodes = 2 * len(level.rules[0].values)
    rules = [build_rule(rule.axis, None, nodes) for rule in level.rules]
    finer = integrate(answer._problem, answer._model, rules)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "memory_mib": memory,
        "draws_a_second": draws / drawing,
        "nodes": answer.n_nodes,
        "log_evidence": answer.log_evidence,
        "evidence_change": abs(finer.log_evidence - level.log_evidence),
        "mean_change": float(np.abs(finer.mean - level.mean).max()),
        "sd_change": float(np.abs(finer.sd - level.sd).max()),
    }


PEER = Peer(
    packages=("pymc", NAME.lower(), "numpy", *(("numba",) if NAME == "PyTensor" else ())),
    notes=(
        "fit_advi's own loop and schedule, compiled once and wound back between fits",
        "one draw and one batch a step; every loss kept",
    ),
    prepare=Fitter,
    log_density=log_density,
    others={"first_loss": first_loss, "exact": exact},
)

if __name__ == "__main__":
    serve(PEER)
