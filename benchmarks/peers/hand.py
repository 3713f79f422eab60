"""ADVI written by hand for this one model, compiled by Numba: what a step costs at the least.

The same work a step as the others do: one draw of 175 numbers, one batch of rows, the loss on the
full-data scale kept, Adam on mean and log sd of every dimension. Or, for PyMC's very steps, on the
mean and PyMC's own free parameter, whose softplus is the sd.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from worker import EFFECT_SD, FIRST_RATE, LAST_RATE, UPPER, Array, Data, Peer, serve

LOG_2PI = float(np.log(2 * np.pi))


def value_names(centred: bool) -> list[str]:
    """Return PyMC's names of what a point holds, in its order."""
    scales = [f"{name}_interval__" for name in ("sigma_alpha", "sigma_beta", "eps")]
    counties = ["alpha", "beta"] if centred else ["alpha_offset", "beta_offset"]
    return ["mu_alpha", "mu_beta", *scales, *counties]


@njit(cache=True)
def accumulate(
    free: Array, rows: Any, chosen: Any, n_county: int, centred: bool, weight: float, grad: Array
) -> float:
    """Return the log joint density at `free` and write its gradient to `grad`.

    `free` holds mu_alpha, mu_beta, the logits of sigma_alpha, sigma_beta and eps over their upper
    end, then the counties' intercepts and floor effects, or their offsets. Each of the `chosen`
    rows counts `weight` times.
    """
    log_radon, floor, county_idx = rows
    share = 1 / (1 + np.exp(-free[2:5]))
    scales = UPPER * share
    log_p = np.sum(np.log(share * (1 - share)))
    grad[:2] = -free[:2] / EFFECT_SD**2
    grad[2:5] = 1 - 2 * share
    log_p -= 0.5 * np.sum((free[:2] / EFFECT_SD) ** 2) + 2 * np.log(EFFECT_SD) + LOG_2PI
    # The counties' prior.
    log_p -= n_county * LOG_2PI
    for kind in range(2):
        first, mean, sd = 5 + kind * n_county, free[kind], scales[kind]
        total, squares = 0.0, 0.0
        for at in range(first, first + n_county):
            z = (free[at] - mean) / sd if centred else free[at]
            squares += z * z
            total += z
            grad[at] = -z / sd if centred else -z
        log_p -= 0.5 * squares
        if centred:
            log_p -= n_county * np.log(sd)
            grad[kind] += total / sd
            grad[2 + kind] += (squares - n_county) * (1 - share[kind])
    # The rows.
    eps = scales[2]
    squares = 0.0
    for row in chosen:
        at, on_floor = 5 + county_idx[row], floor[row]
        alpha, beta = free[at], free[at + n_county]
        if not centred:
            alpha = free[0] + scales[0] * alpha
            beta = free[1] + scales[1] * beta
        z = (log_radon[row] - alpha - beta * on_floor) / eps
        squares += z * z
        slope = weight * z / eps
        if centred:
            grad[at] += slope
            grad[at + n_county] += slope * on_floor
        else:
            grad[0] += slope
            grad[1] += slope * on_floor
            grad[at] += slope * scales[0]
            grad[at + n_county] += slope * on_floor * scales[1]
            grad[2] += slope * free[at] * scales[0] * (1 - share[0])
            grad[3] += slope * on_floor * free[at + n_county] * scales[1] * (1 - share[1])
    log_p -= weight * (0.5 * squares + len(chosen) * (np.log(eps) + 0.5 * LOG_2PI))
    grad[4] += weight * (squares - len(chosen)) * (1 - share[2])
    return log_p


@njit(cache=True)
def softplus(rho: float) -> float:
    """Return log(1 + exp(rho)) without overflow."""
    return rho + np.log1p(np.exp(-rho)) if rho > 0 else np.log1p(np.exp(rho))


@njit(cache=True)
def take_steps(
    state: Any,
    count: int,
    steps: int,
    over: float,
    rows: Any,
    n_county: int,
    centred: bool,
    softly: bool,
    batch: int,
    rng: Any,
) -> Array:
    """Take steps number `count` + 1 and on, of `over` in all; return their losses."""
    mean, free_sd, first, second = state
    n_dim, n_rows = len(mean), len(rows[0])
    losses = np.empty(steps)
    grad, sd, slope_sd = np.empty(n_dim), np.empty(n_dim), np.empty(n_dim)
    chosen = np.empty(batch, np.int64)
    fall = LAST_RATE / FIRST_RATE
    for step in range(steps):
        noise = rng.standard_normal(n_dim)
        for place in range(batch):
            chosen[place] = rng.integers(0, n_rows)
        log_det = 0.0
        for dim in range(n_dim):
            if softly:
                sd[dim] = softplus(free_sd[dim])
                slope_sd[dim] = 1 - np.exp(-sd[dim])
                log_det += np.log(sd[dim])
            else:
                sd[dim] = slope_sd[dim] = np.exp(free_sd[dim])
                log_det += free_sd[dim]
        log_p = accumulate(mean + sd * noise, rows, chosen, n_county, centred, n_rows / batch, grad)
        losses[step] = -log_det - 0.5 * np.sum(noise**2) - 0.5 * n_dim * LOG_2PI - log_p
        number = count + step + 1
        rate = FIRST_RATE * fall ** ((number - 1) / over)
        rate *= np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        for dim in range(n_dim):
            for part in range(2):
                slope = -grad[dim]
                if part == 1:
                    slope = (slope * noise[dim] - 1 / sd[dim]) * slope_sd[dim]
                first[part, dim] = 0.9 * first[part, dim] + 0.1 * slope
                second[part, dim] = 0.999 * second[part, dim] + 0.001 * slope * slope
                change = rate * first[part, dim] / (np.sqrt(second[part, dim]) + 1e-8)
                if part == 0:
                    mean[dim] -= change
                else:
                    free_sd[dim] -= change
    return losses


class Fitter:
    """The loop and what it changes."""

    def __init__(self, case: str, data: str, batch: int, softly: bool = False) -> None:
        survey = Data.load(data)
        self.rows, self.n_county = tuple(survey[:3]), survey.n_county
        self.centred, self.softly, self.batch = case == "centred", softly, batch
        self.rng = np.random.default_rng(0)
        self.rewind()

    def rewind(self) -> None:
        """Start as PyMC does: at 0 with an sd of log 2."""
        n_dim = 5 + 2 * self.n_county
        self.count = 0
        self.state = (
            *(np.zeros(n_dim), np.full(n_dim, 0.0 if self.softly else np.log(np.log(2.0)))),
            *(np.zeros((2, n_dim)), np.zeros((2, n_dim))),
        )

    def run(self, steps: int, over: float = 1e9) -> None:
        """Take steps from where it stands."""
        settings = (self.rows, self.n_county, self.centred, self.softly, self.batch, self.rng)
        take_steps(self.state, self.count, steps, over, *settings)
        self.count += steps

    def fit(self, steps: int) -> None:
        """Take all steps from the start."""
        self.rewind()
        self.run(steps, float(steps))

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable."""
        ends = [1, 2, 3, 4, 5, 5 + self.n_county]
        mean, free_sd = self.state[:2]
        sd = np.logaddexp(0.0, free_sd) if self.softly else np.exp(free_sd)
        parts = (np.split(part, ends) for part in (mean, sd))
        return {
            name: (mean, sd)
            for name, mean, sd in zip(value_names(self.centred), *parts, strict=True)
        }


def log_density(case: str, data: str, point: dict[str, Any]) -> float:
    """Return the log joint density of all rows and an unconstrained point."""
    survey = Data.load(data)
    free = np.concatenate([np.ravel(point[name]) for name in value_names(case == "centred")])
    every = np.arange(len(survey.log_radon))
    settings = (survey.n_county, case == "centred", 1.0, np.empty(len(free)))
    return float(accumulate(free, tuple(survey[:3]), every, *settings))


PEER = Peer(
    packages=("numba", "numpy"),
    notes=(
        "written for this model alone: gradient by hand, no graph, nothing general",
        "the draws of NumPy's generator, Adam on mean and log sd",
    ),
    prepare=Fitter,
    log_density=log_density,
)

if __name__ == "__main__":
    serve(PEER)
