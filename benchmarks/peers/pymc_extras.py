"""The `fit_advi` of pymc-extras, by way of its `Trainer`."""

from __future__ import annotations

import numpy as np
import pytensor
from pymc_extras.inference.advi.optimizers import adam
from pymc_extras.inference.advi.training import Trainer
from pymc_model import build_model
from worker import FIRST_RATE, LAST_RATE, Array, Peer, serve


class Fitter:
    """A trainer, which `fit_advi` wraps; it goes on or back without compiling anew."""

    def __init__(self, case: str, data: str, batch: int) -> None:
        self.model = build_model(case, data, batch)
        self.steps = pytensor.shared(np.asarray(1e9), "steps")
        fall = LAST_RATE / FIRST_RATE
        self.trainer = Trainer(
            optimizer=adam(lambda count: FIRST_RATE * fall ** (count / self.steps)), random_seed=0
        )
        self.trainer.fit(1, model=self.model, random_seed=0)
        self.start = self.trainer.state

    def run(self, steps: int) -> None:
        """Take steps from where it stands."""
        self.trainer.fit(steps, model=self.model)

    def fit(self, steps: int) -> None:
        """Take all steps from the start, with the rate's schedule compiled in."""
        self.steps.set_value(np.asarray(float(steps)))
        self.trainer.fit(steps, model=self.model, state=self.start)

    def gaussian(self) -> dict[str, tuple[Array, Array]]:
        """Return mean and sd of each unconstrained variable."""
        found, values = self.trainer.state.params, self.model.rvs_to_values
        return {
            values[variable].name: (
                found[f"{variable.name}_loc"],
                np.exp(found[f"{variable.name}_scale"]),
            )
            for variable in self.model.free_RVs
        }


PEER = Peer(
    packages=("pymc-extras", "pymc", "pytensor", "numba"),
    notes=(
        "Trainer, which fit_advi wraps, with Adam in place of its clipped Adam",
        "its own gradient along the draw's path, which is calmer near the optimum",
    ),
    prepare=Fitter,
)

if __name__ == "__main__":
    serve(PEER)
