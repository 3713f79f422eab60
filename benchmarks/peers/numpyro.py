"""NumPyro's SVI and NUTS, in double precision, with the same unconstrained space as PyMC's."""

from __future__ import annotations

import time
from copy import copy
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax, random
from numpyro.handlers import scale
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO, init_to_uniform
from numpyro.infer.autoguide import AutoDiagonalNormal
from numpyro.infer.util import initialize_model, potential_energy
from numpyro.optim import Adam
from worker import EFFECT_SD, FIRST_RATE, LAST_RATE, UPPER, Array, Data, Peer, serve

numpyro.enable_x64()

STEPS_A_CALL = 250


def model(
    log_radon: Any, floor: Any, county_idx: Any, n_county: int, case: str, total: int,
    subsample: int | None = None,
) -> None:  # fmt: skip
    """Describe the hierarchical model; `total` homes stand behind the rows that are given.

    With `subsample` all rows are given, and the plate draws so many of them.
    """
    effects = []
    for name in ("alpha", "beta"):
        mean = numpyro.sample(f"mu_{name}", dist.Normal(0.0, EFFECT_SD))
        sd = numpyro.sample(f"sigma_{name}", dist.Uniform(0.0, UPPER))
        with numpyro.plate("county", n_county):
            if case == "centred":
                effects.append(numpyro.sample(name, dist.Normal(mean, sd)))
            else:
                offset = numpyro.sample(f"{name}_offset", dist.Normal(0.0, 1.0))
                effects.append(numpyro.deterministic(name, mean + sd * offset))
    alpha, beta = effects
    eps = numpyro.sample("eps", dist.Uniform(0.0, UPPER))
    with numpyro.plate("homes", len(log_radon), subsample) as at:
        if subsample is not None:
            log_radon, floor, county_idx = log_radon[at], floor[at], county_idx[at]
        expected = alpha[county_idx] + beta[county_idx] * floor
        with scale(scale=total / len(log_radon) if subsample is None else 1.0):
            numpyro.sample("log_radon", dist.Normal(expected, eps), obs=log_radon)


def value_name(name: str) -> str:
    """Return PyMC's name of the unconstrained variable."""
    return f"{name}_interval__" if name.startswith("sigma") or name == "eps" else name


def falling_adam(steps: Any) -> Adam:
    """Return Adam whose rate falls over so many steps."""
    fall = LAST_RATE / FIRST_RATE
    return Adam(lambda count: FIRST_RATE * fall ** (count / steps))


class Fitter:
    """SVI, many steps a call inside one compiled scan."""

    def __init__(self, case: str, data: str, batch: int, plate: bool = False) -> None:
        survey = Data.load(data)
        self.rows = tuple(jnp.asarray(column) for column in survey[:3])
        total = len(survey.log_radon)
        described = partial(
            *(model,), n_county=survey.n_county, case=case, total=total,
            subsample=batch if plate else None,
        )  # fmt: skip
        # The start that PyMC has: every unconstrained variable at 0.
        self.guide = AutoDiagonalNormal(described, init_loc_fn=init_to_uniform(radius=0))

        svi = SVI(described, self.guide, falling_adam(1e9), Trace_ELBO())
        few = self.rows if plate else tuple(row[:batch] for row in self.rows)
        self.start = self.state = svi.init(random.key(1), *few)

        @jax.jit
        def run(state: Any, key: Any, steps: Any, rows: Any) -> Any:
            falling = copy(svi)
            falling.optim = falling_adam(steps)
            if plate:
                return lax.scan(
                    lambda now, _: falling.update(now, *rows), state, None, STEPS_A_CALL
                )
            chosen = random.randint(key, (STEPS_A_CALL, batch), 0, total)
            return lax.scan(
                lambda now, at: falling.update(now, *(row[at] for row in rows)), state, chosen
            )

        self.compiled, self.key, self.read = run, random.key(0), svi.get_params

    def run(self, steps: int, over: float = 1e9) -> None:
        """Take steps, rounded up to whole calls, from where it stands."""
        losses = []
        for _ in range(-(-steps // STEPS_A_CALL)):
            self.key, key = random.split(self.key)
            self.state, some = self.compiled(self.state, key, over, self.rows)
            losses.append(np.asarray(some))

    def fit(self, steps: int) -> None:
        """Take all steps from the start; the rate's schedule is part of the compiled scan."""
        self.key, key = random.split(self.key)
        self.state = self.start._replace(rng_key=key)
        self.run(steps, float(steps))

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable."""
        found = self.guide.get_posterior(self.read(self.state))
        mean, sd = (self.guide._unpack_latent(part) for part in (found.loc, found.scale))
        return {value_name(name): (np.asarray(mean[name]), np.asarray(sd[name])) for name in mean}


def log_density(case: str, data: str, point: dict[str, Any]) -> float:
    """Return the log joint density of all rows and an unconstrained point."""
    survey = Data.load(data)
    settings = {"n_county": survey.n_county, "case": case, "total": len(survey.log_radon)}
    names = initialize_model(
        random.key(0), model, model_args=survey[:3], model_kwargs=settings
    ).param_info.z
    given = {name: jnp.asarray(point[value_name(name)]) for name in names}
    return -float(potential_energy(model, survey[:3], settings, given))


def sample(
    case: str, data: str, draws: int, tune: int, chains: int, cores: int, target: float, seed: int
) -> dict[str, Any]:
    """Sample `cores` chains at a time, one a device; JAX itself tells its compile time."""
    compiling = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiling.append(seconds) if "/compile/" in event else None
    )
    survey = Data.load(data)
    settings = {"n_county": survey.n_county, "case": case, "total": len(survey.log_radon)}
    rows = tuple(jnp.asarray(column) for column in survey[:3])
    started = time.perf_counter()
    parts, diverging = [], 0
    for first in range(0, chains, cores):
        mcmc = MCMC(
            NUTS(model, target_accept_prob=target),
            **{"num_warmup": tune, "num_samples": draws, "num_chains": cores},
            **{"chain_method": "parallel", "progress_bar": False},
        )
        mcmc.run(random.key(seed + first), *rows, **settings)
        parts.append(jax.tree.map(np.asarray, mcmc.get_samples(group_by_chain=True)))
        diverging += int(mcmc.get_extra_fields()["diverging"].sum())
    total = time.perf_counter() - started
    return {
        "seconds": total - sum(compiling),
        "compile_seconds": sum(compiling),
        "draws": {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        "divergences": diverging,
    }


PEER = Peer(
    packages=("numpyro", "jax", "jaxlib", "numpy"),
    notes=(
        "float64, since the others compute in it; XLA with one thread an operation",
        f"AutoDiagonalNormal; {STEPS_A_CALL} steps a call in one jitted scan, rows drawn by one "
        "vector of numbers, faster than a subsampling plate",
        "NUTS on two XLA devices, two of four chains at a time",
    ),
    prepare=Fitter,
    sample=sample,
    log_density=log_density,
)

if __name__ == "__main__":
    serve(PEER)
