"""The Aesara edition: PyMC 4.4 on Aesara 2.8."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aesara
import aesara.tensor as at
import arviz as az
import numpy as np
import numpy.typing as npt
import pymc as pm
import xarray as xr
from aesara.compile.mode import Mode
from aesara.compile.sharedvalue import SharedVariable
from aesara.gradient import disconnected_grad
from aesara.graph.basic import ancestors, io_toposort
from aesara.link.vm import VMLinker
from aesara.sandbox.rng_mrg import MRG_RandomStream, mrg_uniform_base
from aesara.scalar.basic import convert_to_float32, convert_to_float64
from aesara.tensor.elemwise import Elemwise
from aesara.tensor.slinalg import solve_triangular

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

# --- minibatches ------------------------------------------------------------------------------


def is_symbolic(values: object) -> bool:
    """Tell whether `values` is a symbolic tensor rather than data."""
    return isinstance(values, at.TensorVariable)


def in_float_x(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return floats in the engine's precision, and whole numbers as they are.

    A plain float may become single precision within a double-precision graph, and the reverse.
    """
    array = np.asarray(values)
    return array.astype(aesara.config.floatX) if array.dtype.kind == "f" else array


def n_rows(tensor: Any) -> int:
    """Return the number of rows of a symbolic vector without drawing from it."""
    return int(aesara.function([], tensor.shape[0], no_default_updates=True)())


def largest_value(tensor: Any) -> int | None:
    """Return the largest entry of the vector that a minibatch reads, if it can be told."""
    source = tensor.owner.inputs[0] if tensor.owner is not None else None
    return int(np.max(source.get_value())) if isinstance(source, SharedVariable) else None


def minibatch_tensors(
    arrays: Sequence[npt.NDArray[Any]], batch_size: int, random_seed: int
) -> tuple[at.TensorVariable, ...]:
    """Return one symbolic vector an array, all reading the same random rows.

    Rows are drawn with replacement, anew each time a compiled function runs.
    """
    # PyMC 4 takes no random variables in a log-probability graph, hence the MRG stream; float64
    # throughout, because a float32 uniform cannot tell more than 2**24 rows apart.
    uniform = _stream(random_seed).uniform(size=(batch_size,), dtype="float64")
    idx = at.cast(at.floor(uniform * len(arrays[0])), "int64")
    return tuple(_observable(aesara.shared(in_float_x(array))[idx]) for array in arrays)


def _observable(tensor: at.TensorVariable) -> at.TensorVariable:
    """Return `tensor` in the one form of a graph that PyMC 4 takes as observed: a cast."""
    casts = {"float64": convert_to_float64, "float32": convert_to_float32}
    return Elemwise(casts[tensor.dtype])(tensor) if tensor.dtype in casts else tensor


def _stream(random_seed: int) -> MRG_RandomStream:
    # The generator's six integers: the first three below 2**31 - 1, the rest below 2**31 - 21069.
    state = np.random.SeedSequence(random_seed).generate_state(6) % np.uint32(2**31 - 21069)
    return MRG_RandomStream([int(word) for word in state])


def _mrg_states(tensors: Sequence[Any]) -> list[SharedVariable]:
    """Return the shared states of all random streams that `tensors` depend on."""
    states: dict[SharedVariable, None] = {}
    for variable in ancestors(tensors):
        if variable.owner is not None and isinstance(variable.owner.op, mrg_uniform_base):
            states[variable.owner.inputs[0]] = None
    return list(states)


def draw_batches(tensors: Sequence[Any], n_batches: int) -> list[npt.NDArray[Any]]:
    """Return the next `n_batches` values of each tensor, without moving the streams on."""
    states = _mrg_states(tensors)
    kept = [state.get_value() for state in states]
    draw = aesara.function([], list(tensors))
    try:
        batches = [draw() for _ in range(n_batches)]
    finally:
        for state, value in zip(states, kept, strict=True):
            state.set_value(value)
    return [np.stack(values) for values in zip(*batches, strict=True)]


def has_minibatch(model: pm.Model) -> bool:
    """Tell whether `model` reads random rows."""
    return bool(_row_states(model))


def _row_states(model: pm.Model) -> list[SharedVariable]:
    observed = [model.rvs_to_values[variable] for variable in model.observed_RVs]
    return _mrg_states([*observed, *model.basic_RVs, *model.potentials])


def reseed_minibatches(model: pm.Model, random_seed: int) -> None:
    """Give the minibatches of `model` the stream that `random_seed` stands for.

    Streams that stood at the same place, as those of separate `pm.Minibatch` calls do, still stand
    at the same place afterwards.
    """
    states = _row_states(model)
    fresh: dict[bytes, npt.NDArray[Any]] = {}
    children = iter(np.random.SeedSequence(random_seed).spawn(len(states)))
    for state in states:
        value = state.get_value()
        if value.tobytes() not in fresh:
            stream = _stream(int(next(children).generate_state(1)[0]))
            fresh[value.tobytes()] = stream.get_substream_rstates(len(value), "float64")
        state.set_value(fresh[value.tobytes()])


# --- ADVI -------------------------------------------------------------------------------------


_METHODS = {"meanfield": pm.ADVI, "fullrank": pm.FullRankADVI}

#: Draws, each with its mirror image, that a step of a full-rank fit takes.
MIRRORED_PAIRS = 4


class AdviLoop:
    """ADVI's objective and updates, compiled once and run many steps a call.

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
        rows_seed, draws_seed = np.random.SeedSequence(random_seed).generate_state(2)
        with model:
            inference = _METHODS[method](random_seed=int(draws_seed) % (2**31 - 21069))
        self.approximation = inference.approx
        self._group = self.approximation.groups[0]
        if start is not None:
            self._set_gaussian(*start)
        scale = self.approximation.symbolic_normalizing_constant
        self._loss_scale = float(aesara.function([], scale, no_default_updates=True)())
        self._rate = aesara.shared(np.asarray(0.0, dtype=aesara.config.floatX), "learning_rate")
        parameters = self.approximation.params
        loss, gradients = (_mirrored if method == "fullrank" else _plain)(self.approximation)
        optimise = optimiser or pm.adam(learning_rate=self._rate)
        # PyMC's own scale of the loss, on which optimisers with an absolute setting rely.
        updates = optimise([gradient / self._loss_scale for gradient in gradients], parameters)
        # A step is hundreds of small operations, so what counts is the overhead of each: run them
        # in Aesara's C loop and keep their buffers between steps.
        mode = Mode(linker=VMLinker(allow_gc=False, use_cloop=True), optimizer="fast_run")
        self._step = pm.aesaraf.compile_pymc([], loss, updates=updates, mode=mode)
        reseed_minibatches(model, int(rows_seed))
        self.compile_seconds = time.perf_counter() - started

    def run(
        self, steps: int, learning_rate: float, interrupts: Sequence[int] = ()
    ) -> npt.NDArray[np.float64]:
        """Take `steps` steps and return their losses, shape (steps,), on the full-data scale.

        Fewer losses come back where the loss was not finite, which is then the last one, or where
        `interrupts` filled on the way.
        """
        self._rate.set_value(np.asarray(learning_rate, dtype=aesara.config.floatX))
        losses = np.empty(steps)
        taken = 0
        while taken < steps and not interrupts:
            losses[taken] = loss = self._step()
            taken += 1
            if not np.isfinite(loss):
                break
        return losses[:taken]

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


def _plain(approximation: Any) -> tuple[at.TensorVariable, list[at.TensorVariable]]:
    """Return PyMC's objective with one draw, on the full-data scale, and its gradient.

    PyMC divides by a constant that it computes at every step, for which it draws the model's
    variables from their priors; without it a step takes half the time.
    """
    loss = approximation.logq - approximation.logp
    loss = approximation.set_size_and_deterministic(loss, 1, False)
    return loss, at.grad(loss, approximation.params)


def _mirrored(approximation: Any) -> tuple[at.TensorVariable, list[at.TensorVariable]]:
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
    offsets = at.dot(factor, noise.T)
    points = [mean + sign * offsets[:, pair] for pair in range(MIRRORED_PAIRS) for sign in (1, -1)]
    losses = [_substitute(negative, group.input, point) for point in points]
    energy = sum(losses) / len(losses)
    squares = at.sum(noise**2 + np.log(2 * np.pi)) / MIRRORED_PAIRS
    entropy = at.sum(at.log(at.diag(factor))) + squares / 2
    along = at.sum(path * offsets) / MIRRORED_PAIRS
    return energy - entropy, at.grad(energy - along, approximation.params)


def _substitute(output: Any, old: Any, new: Any) -> Any:
    """Return `output` with `new` for `old`; what does not depend on it is shared, not copied."""
    fresh = {old: new}
    for node in io_toposort([old], [output]):
        if any(variable in fresh for variable in node.inputs):
            copy = node.clone_with_new_inputs([fresh.get(each, each) for each in node.inputs])
            fresh.update(zip(node.outputs, copy.outputs, strict=True))
    return fresh.get(output, output)


def _split(model: pm.Model, draws: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Cut unconstrained draws, shape (n_draws, n_dim), into the model's value variables."""
    point = model.initial_point()
    shapes = [np.shape(point[variable.name]) for variable in model.value_vars]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    columns = np.split(draws, ends[:-1], axis=1)
    return [
        column.reshape(len(draws), *shape) for column, shape in zip(columns, shapes, strict=True)
    ]


def log_density(model: pm.Model, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the log joint density of data and unconstrained draws, shape (n_draws,), nats."""
    compute = model.compile_fn(model.logp(), inputs=model.value_vars, point_fn=False)
    return np.array([compute(*values) for values in zip(*_split(model, draws), strict=True)])


def smooth_weights(
    log_weights: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], float]:
    """Return log weights, Pareto smoothed and normalised, and the shape k of their tail."""
    smoothed, k = az.psislw(log_weights)
    return np.asarray(smoothed), float(k)


def inference_data(groups: Mapping[str, xr.Dataset]) -> az.InferenceData:
    """Return groups, such as `posterior` and `sample_stats`, as ArviZ keeps them together."""
    return az.InferenceData(**groups)


def transform_draws(model: pm.Model, draws: npt.NDArray[np.float64]) -> az.InferenceData:
    """Turn unconstrained draws, shape (n_draws, n_dim), into the model's variables.

    The columns follow the model's value variables in their own order.
    """
    outputs = [*model.free_RVs, *model.deterministics]
    compute = model.compile_fn(
        model.replace_rvs_by_values(outputs), inputs=model.value_vars, point_fn=False
    )
    results = [compute(*values) for values in zip(*_split(model, draws), strict=True)]
    names = [variable.name for variable in outputs]
    posterior = {
        name: np.stack(values)[np.newaxis]
        for name, values in zip(names, zip(*results, strict=True), strict=True)
    }
    dims = {
        name: list(model.named_vars_to_dims[name])
        for name in names
        if name in model.named_vars_to_dims
    }
    used = {dim for of_name in dims.values() for dim in of_name}
    coords = {dim: list(labels) for dim, labels in model.coords.items() if dim in used}
    return inference_data({"posterior": az.dict_to_dataset(posterior, coords=coords, dims=dims)})


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
) -> az.InferenceData:
    """Sample with PyMC's NUTS; see `radon_gallery.inference.sample_nuts`."""
    log = logging.getLogger("pymc")
    level = log.level
    log.setLevel(logging.ERROR)  # what it would say on the way stands in the result
    try:
        with model, warnings.catch_warnings():
            # PyMC lays one statistic of a single chain the wrong way round; mended below.
            warnings.filterwarnings("ignore", message="More chains", category=UserWarning)
            # Without a covariance to hold on to, PyMC estimates a diagonal while it tunes.
            step = {"target_accept": target_accept}
            if covariance is not None:
                nuts = pm.NUTS(scaling=covariance, is_cov=True, target_accept=target_accept)
                step = {"step": nuts}
            fit = pm.sample(
                draws,
                tune=tune,
                chains=chains,
                initvals=None if start is None else list(start),
                # PyMC takes seeds below 2**32 only.
                random_seed=int(np.random.SeedSequence(random_seed).generate_state(1)[0]),
                progressbar=progressbar,
                compute_convergence_checks=False,
                idata_kwargs={"log_likelihood": False},
                **step,
            )
    finally:
        log.setLevel(level)
    # That statistic's misplaced draws would otherwise become chains of all the others.
    kept = {dim: fit.posterior[dim] for dim in ("chain", "draw")}
    stats = fit.sample_stats.sel(kept)
    fit.sample_stats = stats.assign(diverging=stats["diverging"].astype(bool))
    return fit
