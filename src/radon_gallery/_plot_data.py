"""What the figures draw, taken out of fits and checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.stats import gaussian_kde

from radon_gallery._checks import FloatArray, IntArray, listed, require_type, shortened
from radon_gallery.comparison import posterior_dataset
from radon_gallery.data import Survey

__all__ = [
    "CountySummary",
    "county_draws",
    "divergent_draws",
    "estimate_density",
    "is_scale",
    "order_by_homes",
    "require_county",
    "require_fits",
    "running_loss",
    "scalar_draws",
    "summarise_counties",
]

_GRID_POINTS = 400  # of a density


class CountySummary(NamedTuple):
    """Mean and interval of a county effect, each of shape (n_county,), counties as in a survey."""

    mean: FloatArray
    lower: FloatArray
    upper: FloatArray


def require_fits(fits: Mapping[str, Any]) -> dict[str, xr.Dataset]:
    """Return the posterior draws of each fit, or say what is missing."""
    # A single fit is a mapping too, of its groups or variables.
    single = isinstance(fits, xr.Dataset) or hasattr(fits, "posterior")
    if single or not isinstance(fits, Mapping):
        raise TypeError(
            f"expected fits by name, such as {{'ADVI': fit}}; got {type(fits).__name__}."
        )
    if not fits:
        raise ValueError("expected at least one fit by name, got none.")
    return {name: posterior_dataset(fit) for name, fit in fits.items()}


def _draws(posterior: xr.Dataset, fit_name: str, var_name: str) -> xr.DataArray:
    if var_name not in posterior:
        raise ValueError(
            f"fit {fit_name!r} has no parameter {var_name!r}; it has {listed(posterior)}."
        )
    draws = posterior[var_name]
    if not bool(np.isfinite(draws).all()):
        raise ValueError(
            f"fit {fit_name!r} has draws of {var_name!r} that are not finite; a fit that went "
            "astray cannot be drawn."
        )
    return draws


def scalar_draws(posterior: xr.Dataset, fit_name: str, var_name: str) -> FloatArray:
    """Return the draws of a scalar parameter, all chains together, shape (n_draws,)."""
    draws = _draws(posterior, fit_name, var_name)
    if set(draws.dims) != {"chain", "draw"}:
        scalars = [name for name in posterior if set(posterior[name].dims) == {"chain", "draw"}]
        raise ValueError(
            f"{var_name!r} of fit {fit_name!r} is not a scalar; choose among {listed(scalars)}."
        )
    return draws.transpose("chain", "draw").to_numpy().astype(np.float64).ravel()


def _county_draws(
    posterior: xr.Dataset, fit_name: str, var_name: str, county: Sequence[str]
) -> FloatArray:
    """Return the draws of some counties' effects, shape (n_draws, len(county))."""
    draws = _draws(posterior, fit_name, var_name)
    if set(draws.dims) != {"chain", "draw", "county"} or "county" not in draws.coords:
        raise ValueError(
            f"{var_name!r} of fit {fit_name!r} must have the dimensions chain, draw and county, "
            f"labelled by county; it has {listed(draws.dims)}."
        )
    known = {str(name) for name in draws["county"].to_numpy()}
    lacking = [repr(name) for name in county if name not in known]
    if lacking:
        raise ValueError(
            f"fit {fit_name!r} has no {var_name!r} for {shortened(lacking)}; "
            "give the survey that it was fitted to."
        )
    chosen = draws.sel(county=list(county)).transpose("chain", "draw", "county").to_numpy()
    return chosen.astype(np.float64).reshape(-1, len(county))


def summarise_counties(
    posterior: xr.Dataset, fit_name: str, var_name: str, survey: Survey, prob: float = 0.9
) -> CountySummary:
    """Return each county's mean and equal-tailed interval, counties in the survey's order."""
    require_type("survey", survey, Survey)
    draws = _county_draws(posterior, fit_name, var_name, survey.county)
    lower, upper = np.quantile(draws, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return CountySummary(draws.mean(axis=0), lower, upper)


def county_draws(posterior: xr.Dataset, fit_name: str, var_name: str, county: str) -> FloatArray:
    """Return the draws of one county's effect, shape (n_draws,)."""
    draws = _draws(posterior, fit_name, var_name)
    if "county" in draws.coords:
        require_county(county, [str(name) for name in draws["county"].to_numpy()])
    return _county_draws(posterior, fit_name, var_name, [county])[:, 0]


def require_county(county: str, known: Sequence[str]) -> None:
    """Raise a ValueError that names the nearest counties unless `county` is known."""
    if county not in known:
        by_lower = {name.lower(): name for name in known}
        near = get_close_matches(str(county).lower(), by_lower, n=3, cutoff=0.5)
        told = (
            f"did you mean {listed(by_lower[name] for name in near)}?"
            if near
            else (f"there are {len(known)}, such as {listed(known[:3])}.")
        )
        raise ValueError(f"unknown county {county!r}; {told}")


def divergent_draws(fit: Any, n_draws: int) -> npt.NDArray[np.bool_]:
    """Return which draws, all chains together, ended a divergent trajectory, shape (n_draws,)."""
    stats = getattr(fit, "sample_stats", None)
    if stats is None or "diverging" not in stats:
        return np.zeros(n_draws, dtype=np.bool_)
    diverging = stats["diverging"].transpose("chain", "draw")
    return np.asarray(diverging, dtype=np.bool_).ravel()


def is_scale(var_name: str) -> bool:
    """Tell whether a parameter is a standard deviation, which cannot be negative."""
    return var_name == "eps" or var_name.startswith("sigma_")


def estimate_density(
    draws: FloatArray, *, positive: bool, name: str
) -> tuple[FloatArray, FloatArray]:
    """Estimate a density from draws by a Gaussian kernel; one of a scale is reflected at zero.

    Returns the grid and the density on it, each of shape (400,).
    """
    if np.ptp(draws) == 0:
        raise ValueError(f"the draws of {name} are all {draws[0]:g}: they have no density.")
    kernel = gaussian_kde(draws)
    margin = 4.0 * float(np.sqrt(kernel.covariance.item()))
    lower = draws.min() - margin
    grid = np.linspace(max(lower, 0.0) if positive else lower, draws.max() + margin, _GRID_POINTS)
    density = kernel(grid)
    if positive:
        # Without the reflection the kernel leaks below zero and the density sags there.
        density = density + kernel(-grid)
    return grid, density


def running_loss(loss: FloatArray) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Return steps, evenly spread on a log scale, and the loss in the tenth that ends at each.

    Its mean, 5 and 95 per cent quantiles, each of the same shape as the steps.
    """
    steps = np.unique(np.geomspace(1, len(loss), _GRID_POINTS).round().astype(np.int64))
    windows = [loss[int(0.9 * step) : step] for step in steps]
    low, high = np.transpose([np.quantile(window, [0.05, 0.95]) for window in windows])
    return steps, np.array([window.mean() for window in windows]), low, high


def order_by_homes(survey: Survey) -> IntArray:
    """Return the counties' positions from the fewest homes to the most, ties as they stand."""
    require_type("survey", survey, Survey)
    return np.argsort(survey.homes, kind="stable")
