"""The gallery's own model and minibatch, for every peer that takes a PyMC model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
from worker import Array, Data

from radon_gallery.data import Rows
from radon_gallery.minibatch import build_minibatch
from radon_gallery.models import hierarchical_model


def build_model(case: str, data: str, batch: int | None = None) -> pm.Model:
    """Build the hierarchical model on a minibatch, or on all rows without `batch`."""
    survey = Data.load(data)
    rows = Rows(*survey[:3])
    total_size = None
    if batch is not None:
        total_size, rows = len(survey.log_radon), build_minibatch(rows, batch, random_seed=0)
    coords = {"county": np.arange(survey.n_county)}
    return hierarchical_model(rows, coords, total_size=total_size, parameterisation=case)


def keep_start(function: Any) -> Callable[[], None]:
    """Return a function that puts what a compiled function updates back to what it is now.

    Generators are left where they are: each fit shall have its own random numbers.
    """
    updated = [each.variable for each in function.maker.inputs if each.update is not None]
    kept = [
        (shared, shared.get_value())
        for shared in updated
        if np.asarray(shared.get_value(borrow=True)).dtype.kind == "f"
    ]

    def rewind() -> None:
        for shared, value in kept:
            shared.set_value(value)

    return rewind


def gaussian_of(group: Any) -> dict[str, tuple[Array, Array]]:
    """Return mean and sd of a mean-field group of PyMC's, variable by variable."""
    mean, rho = (np.asarray(group.params_dict[name].get_value()) for name in ("mu", "rho"))
    sd = np.logaddexp(0.0, rho)
    return {name: (mean[entry[1]], sd[entry[1]]) for name, entry in group.ordering.items()}
