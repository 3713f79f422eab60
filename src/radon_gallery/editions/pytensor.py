"""The PyTensor edition: PyMC 6 on PyTensor 3, compiled by Numba."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from arviz_base import dict_to_dataset
from pymc.data import MinibatchOp
from pymc.pytensorf import collect_default_updates, reseed_rngs
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import disconnected_grad
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.traversal import ancestors, graph_inputs
from pytensor.scan.utils import until
from pytensor.tensor.linalg import solve_triangular
from pytensor.tensor.random.type import RandomType

__all__ = [
    "AdviLoop",
    "draw_batches",
    "has_minibatch",
    "in_float_x",
    "inference_data",
    "is_symbolic",
    "largest_value",
    "log_density",
    "minibatch_tensors",
    "n_rows",
    "reseed_minibatches",
    "run_nuts",
    "smooth_weights",
    "transform_draws",
]

#: For what is evaluated a few times only: Numba would take longer to compile than NumPy to run.
#: Left out are fused operations, which Python would work through number by number, and a compiler.
_UNCOMPILED = Mode(linker="py", optimizer="fast_run").excluding("fusion", "BlasOpt", "cxx_only")

# --- minibatches ------------------------------------------------------------------------------


def is_symbolic(values: object) -> bool:
    """Tell whether `values` is a symbolic tensor rather than data."""
    return isinstance(values, pt.TensorVariable)


def in_float_x(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return floats in the engine's precision, and whole numbers as they are.

    A plain float may become single precision within a double-precision graph, and the reverse.
    """
    array = np.asarray(values)
    return array.astype(pytensor.config.floatX) if array.dtype.kind == "f" else array


def n_rows(tensor: Any) -> int:
    """Return the number of rows of a symbolic vector without drawing from it."""
    (known,) = tensor.type.shape
    return int(tensor.shape[0].eval(mode=_UNCOMPILED)) if known is None else int(known)


def largest_value(tensor: Any) -> int | None:
    """Return the largest entry of the vector that a minibatch reads, if it can be told."""
    node = tensor.owner
    if node is None or not isinstance(node.op, MinibatchOp):
        return None
    values = _data(node.inputs[node.outputs.index(tensor)])
    return None if values is None else int(np.max(values))


def minibatch_tensors(
    arrays: Sequence[npt.NDArray[Any]], batch_size: int, random_seed: int
) -> tuple[pt.TensorVariable, ...]:
    """Return one symbolic vector an array, all reading the same random rows.

    Rows are drawn with replacement, anew each time a compiled function runs.
    """
    # Shared, because Numba would compile the numbers of a constant into the code.
    shared = [pytensor.shared(in_float_x(array), shape=array.shape) for array in arrays]
    tensors = tuple(pm.Minibatch(*shared, batch_size=batch_size))
    for state in _row_states(tensors):
        state.set_value(_generator(random_seed))
    return tensors


def _generator(random_seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(random_seed))


def _row_states(tensors: Sequence[Any]) -> list[SharedVariable]:
    """Return the shared generators of all row numbers that `tensors` depend on."""
    states: dict[SharedVariable, None] = {}
    for variable in ancestors(tensors):
        if variable.owner is not None and isinstance(variable.owner.op, MinibatchOp):
            states |= dict.fromkeys(
                each for each in variable.owner.inputs if isinstance(each.type, RandomType)
            )
    return list(states)


def draw_batches(tensors: Sequence[Any], n_batches: int) -> list[npt.NDArray[Any]]:
    """Return the next `n_batches` values of each tensor, without moving the streams on."""
    states = _row_states(tensors)
    kept = [state.get_value() for state in states]
    draw = pm.compile([], list(tensors), mode=_UNCOMPILED, random_seed=False)
    try:
        batches = [draw() for _ in range(n_batches)]
    finally:
        for state, value in zip(states, kept, strict=True):
            state.set_value(value)
    return [np.stack(values) for values in zip(*batches, strict=True)]


def has_minibatch(model: pm.Model) -> bool:
    """Tell whether `model` reads random rows."""
    return bool(_model_row_states(model))


def _model_row_states(model: pm.Model) -> list[SharedVariable]:
    observed = [model.rvs_to_values[variable] for variable in model.observed_RVs]
    return _row_states([*observed, *model.basic_RVs, *model.potentials])


def reseed_minibatches(model: pm.Model, random_seed: int) -> None:
    """Give the minibatches of `model` the stream that `random_seed` stands for.

    Streams that stood at the same place still stand at the same place afterwards; those of separate
    `pm.Minibatch` calls never do.
    """
    states = _model_row_states(model)
    fresh: dict[str, int] = {}
    children = iter(np.random.SeedSequence(random_seed).spawn(len(states)))
    for state in states:
        place = str(state.get_value(borrow=True).bit_generator.state)
        fresh.setdefault(place, int(next(children).generate_state(1)[0]))
        state.set_value(_generator(fresh[place]))


# --- ADVI -------------------------------------------------------------------------------------


_METHODS = {"meanfield": pm.ADVI, "fullrank": pm.FullRankADVI}

#: Draws, each with its mirror image, that a step of a full-rank fit takes.
MIRRORED_PAIRS = 4

#: Compiled code cannot be interrupted, so a call is to last about this long at most, in seconds.
_LONGEST_CALL = 0.1


class AdviLoop:
    """ADVI's objective and updates, many steps a call inside compiled code.

    The mean-field objective is PyMC's own.

    Parameters
    ----------
    model : pymc.Model
        The model.
    method : {"meanfield", "fullrank"}
        The family of approximations.
    optimiser : callable, optional
        A PyMC optimiser, such as ``pm.adagrad_window(learning_rate=0.001)``. By default Adam,
        with the learning rate of each call to `run`.
    start : tuple of ndarray, each of shape (n_dim,), optional
        Means and standard deviations to start from, uncorrelated.
    random_seed : int
        Seed of the Monte Carlo draws and of the rows.

    Attributes
    ----------
    approximation : pymc.Approximation
        The approximation, as `pymc.fit` returns it.
    compile_seconds : float
        Time that building and compiling took.
    """

    def __init__(
        self,
        model: pm.Model,
        *,
        method: str,
        optimiser: Callable[..., Mapping[Any, Any]] | None,
        start: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
        random_seed: int,
    ) -> None:
        started = time.perf_counter()
        _, draws_seed = np.random.SeedSequence(random_seed).generate_state(2)
        with model:
            inference = _METHODS[method](random_seed=int(draws_seed) % (2**31 - 21069))
        self.approximation = inference.approx
        self._group = self.approximation.groups[0]
        if start is not None:
            self._set_gaussian(*start)
        scale = self.approximation.symbolic_normalizing_constant
        self._loss_scale = float(scale.eval(mode=_UNCOMPILED))
        self._rate = pytensor.shared(np.asarray(0.0, pytensor.config.floatX), "learning_rate")
        parameters = self.approximation.params
        loss, gradients = (_mirrored if method == "fullrank" else _plain)(self.approximation)
        optimise = optimiser or pm.adam(learning_rate=self._rate)
        # PyMC's own scale of the loss, on which optimisers with an absolute setting rely.
        updates = optimise([gradient / self._loss_scale for gradient in gradients], parameters)
        generators = collect_default_updates([loss])
        # Seeded as `pymc.fit` does it, rows and all: its steps are then ours, number by number.
        reseed_rngs(list(generators), self.approximation.rng.randint(2**30, dtype=np.int64))
        with model:
            self._steps = _compile_steps(loss, {**generators, **updates})
        self._steps(np.asarray(0))  # Numba compiles at the first call
        self._longest = 1
        self.compile_seconds = time.perf_counter() - started

    def run(
        self, steps: int, learning_rate: float, interrupts: Sequence[int] = ()
    ) -> npt.NDArray[np.float64]:
        """Take `steps` steps and return their losses, shape (steps,), on the full-data scale.

        Fewer losses come back where the loss was not finite, which is then the last one, or where
        `interrupts` filled on the way.
        """
        self._rate.set_value(np.asarray(learning_rate, self._rate.dtype))
        losses: list[npt.NDArray[np.float64]] = [np.empty(0)]
        taken = 0
        while taken < steps and not interrupts:
            started = time.perf_counter()
            some = self._steps(np.asarray(min(steps - taken, self._longest)))
            pace = len(some) / (time.perf_counter() - started)
            self._longest = max(1, int(_LONGEST_CALL * pace))
            losses.append(some)
            taken += len(some)
            if not np.isfinite(some[-1]):
                break
        return np.concatenate(losses)

    def variables(self) -> dict[str, slice]:
        """Return where each of the model's value variables lies in the unconstrained vector."""
        return {name: entry[1] for name, entry in self._group.ordering.items()}

    def gaussian(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the approximation's mean, shape (n_dim,), and factor, as `AdviFit` has them."""
        values = {name: shared.get_value() for name, shared in self._group.params_dict.items()}
        mean = np.asarray(values["mu"], dtype=np.float64)
        if "rho" in values:
            return mean, _softplus(values["rho"])
        factor = np.zeros((len(mean), len(mean)))
        factor[np.tril_indices(len(mean))] = values["L_tril"]
        np.fill_diagonal(factor, _softplus(np.diag(factor)))
        return mean, factor

    def _set_gaussian(self, mean: npt.NDArray[np.float64], factor: npt.NDArray[np.float64]) -> None:
        """Start from standard deviations `factor`, shape (n_dim,), and no correlation."""
        rho = np.log(np.expm1(factor))  # PyMC's own map of a scale to a free parameter
        values = {"mu": mean, "rho": rho, "L_tril": np.diag(rho)[np.tril_indices(len(rho))]}
        for name, parameter in self._group.params_dict.items():
            parameter.set_value(values[name].astype(parameter.dtype))


def _softplus(rho: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return PyMC's map of a free parameter to a scale; NaN gives NaN."""
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0.0, rho, dtype=np.float64)


def _plain(approximation: Any) -> tuple[pt.TensorVariable, list[pt.TensorVariable]]:
    """Return PyMC's objective with one draw, on the full-data scale, and its gradient."""
    # In PyMC's own order of terms, on which it depends which generator has which seed.
    loss = -approximation.datalogp + (approximation.logq - approximation.varlogp)
    loss = approximation.set_size_and_deterministic(loss, 1, False)
    return loss, pt.grad(loss, approximation.params)


def _mirrored(approximation: Any) -> tuple[pt.TensorVariable, list[pt.TensorVariable]]:
    """Return a full-rank objective with draws and their mirror images, and a calmer gradient.

    A full-rank factor has so many entries that their noise decides how far a fit comes. The noise
    of the batch cancels between mirrored draws. The entropy's gradient is taken along the draws'
    path, where it cancels the posterior's as the fit comes close [roeder2017sticking].
    """
    (group,) = approximation.groups
    model, mean, factor = approximation.model, group.mean, group.L
    negative = -approximation.to_flat_input(model.varlogp + model.datalogp)
    noise = group._new_initial(MIRRORED_PAIRS, False)
    path = disconnected_grad(solve_triangular(factor.T, noise.T, lower=False))
    offsets = pt.dot(factor, noise.T)
    points = mean + pt.concatenate([offsets.T, -offsets.T])
    energy = pt.mean(vectorize_graph(negative, {group.input: points}))
    squares = pt.sum(noise**2 + np.log(2 * np.pi)) / MIRRORED_PAIRS
    entropy = pt.sum(pt.log(pt.diag(factor))) + squares / 2
    along = pt.sum(path * offsets) / MIRRORED_PAIRS
    return energy - entropy, pt.grad(energy - along, approximation.params)


def _compile_steps(
    loss: pt.TensorVariable, updates: Mapping[SharedVariable, Any]
) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """Compile a function that takes n steps and returns their losses, shape (n,).

    What a step updates, parameters, optimiser's state and random generators alike, are the states
    of a loop in compiled code. It ends early after a loss that is not finite.
    """
    shared = list(updates)

    def step(*states: Any) -> tuple[list[Any], Any]:
        replace = dict(zip(shared, states, strict=True))
        loss_now, *after = clone_replace([loss, *updates.values()], replace=replace)
        after = [
            old.type.filter_variable(new, allow_convert=True)
            for old, new in zip(shared, after, strict=True)
        ]
        return [loss_now, *after], until(~pt.isfinite(loss_now))

    n_steps = pt.lscalar("n_steps")
    losses, *traces = pytensor.scan(
        step, outputs_info=[None, *shared], n_steps=n_steps, return_updates=False
    )
    last = [trace if isinstance(trace.type, RandomType) else trace[-1] for trace in traces]
    run = pm.compile(
        [n_steps],
        losses,
        updates=dict(zip(shared, last, strict=True)),
        random_seed=False,
        mode="NUMBA",
    )
    run.trust_input = True
    steps: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]] = run
    return steps


_ENTRIES_A_CHUNK = 2_000_000  # of the largest array met on the way, so that memory stays small


def _map_draws(
    model: pm.Model, outputs: Sequence[Any], draws: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64]]:
    """Evaluate functions of the value variables at unconstrained draws, shape (n_draws, n_dim)."""
    point = model.initial_point()
    shapes = [np.shape(point[variable.name]) for variable in model.value_vars]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    columns = [
        column.reshape(len(draws), *shape).astype(variable.dtype)
        for column, shape, variable in zip(
            np.split(draws, ends[:-1], axis=1), shapes, model.value_vars, strict=True
        )
    ]
    many = [
        pt.tensor(variable.name, dtype=variable.dtype, shape=(None, *shape))
        for variable, shape in zip(model.value_vars, shapes, strict=True)
    ]
    replace = dict(zip(model.value_vars, many, strict=True))
    compute = pm.compile(
        many,
        vectorize_graph(list(outputs), replace),
        mode=_UNCOMPILED,
        random_seed=False,
        on_unused_input="ignore",
    )
    size = max(1, _ENTRIES_A_CHUNK // max(ends[-1], *map(_size, graph_inputs(outputs))))
    chunks = [
        compute(*(column[first : first + size] for column in columns))
        for first in range(0, len(draws), size)
    ]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _size(root: Any) -> int:
    """Return the number of entries of data in a graph, 1 for what is not data."""
    values = _data(root)
    return 1 if values is None else int(values.size)


def _data(root: Any) -> npt.NDArray[Any] | None:
    """Return the numbers of a shared variable or a constant, None for anything else."""
    if isinstance(root, SharedVariable):
        return np.asarray(root.get_value(borrow=True))
    return getattr(root, "data", None)


def log_density(model: pm.Model, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the log joint density of data and unconstrained draws, shape (n_draws,), nats."""
    with model:
        (values,) = _map_draws(model, [model.logp()], draws)
    return values


def smooth_weights(
    log_weights: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], float]:
    """Return log weights, Pareto smoothed and normalised, and the shape k of their tail."""
    from arviz_stats.base import array_stats  # seconds, which a fit alone need not spend

    smoothed, k = array_stats.psislw(-log_weights)  # it takes the logarithms of their inverses
    return np.asarray(smoothed), float(k)


def inference_data(groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Return groups, such as `posterior` and `sample_stats`, as ArviZ keeps them together."""
    return xr.DataTree.from_dict(groups)


def transform_draws(model: pm.Model, draws: npt.NDArray[np.float64]) -> xr.DataTree:
    """Turn unconstrained draws, shape (n_draws, n_dim), into the model's variables.

    The columns follow the model's value variables in their own order.
    """
    variables = [*model.free_RVs, *model.deterministics]
    results = _map_draws(model, model.replace_rvs_by_values(variables), draws)
    names = [variable.name for variable in variables]
    posterior = {name: values[np.newaxis] for name, values in zip(names, results, strict=True)}
    dims = {
        name: list(model.named_vars_to_dims[name])
        for name in names
        if name in model.named_vars_to_dims
    }
    used = {dim for of_name in dims.values() for dim in of_name}
    coords = {dim: list(labels) for dim, labels in model.coords.items() if dim in used}
    return inference_data({"posterior": dict_to_dataset(posterior, coords=coords, dims=dims)})


# --- NUTS -------------------------------------------------------------------------------------


def run_nuts(
    model: pm.Model,
    *,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float,
    start: Sequence[Mapping[str, npt.NDArray[Any]]] | None,
    covariance: npt.NDArray[np.float64] | None,
    random_seed: int,
    progressbar: bool,
) -> xr.DataTree:
    """Sample with NUTS; see `radon_gallery.inference.sample_nuts`.

    With nutpie, or, since nutpie takes neither a mass matrix nor a starting point for each chain,
    with PyMC's own NUTS where these are given.
    """
    log = logging.getLogger("pymc")
    level = log.level
    log.setLevel(logging.ERROR)  # what it would say on the way stands in the result
    try:
        with model, warnings.catch_warnings():
            step: dict[str, Any] = {"target_accept": target_accept}
            if covariance is not None:
                nuts = pm.NUTS(scaling=covariance, is_cov=True, target_accept=target_accept)
                step = {"step": nuts}
            fit: xr.DataTree = pm.sample(
                draws,
                tune=tune,
                chains=chains,
                initvals=None if start is None else list(start),
                random_seed=int(np.random.SeedSequence(random_seed).generate_state(1)[0]),
                progressbar=progressbar,
                compute_convergence_checks=False,
                **step,
            )
    finally:
        log.setLevel(level)
    return fit
