"""The gallery's figures: each takes results and returns Axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from radon_gallery._checks import (
    FloatArray,
    IntArray,
    finite_numbers,
    listed,
    require_choice,
    require_number,
    require_same_length,
    require_type,
)
from radon_gallery._plot_axes import (
    AxesArray,
    label_counties,
    legend_above,
    legend_of_panels,
    new_axes,
    new_panels,
    padded,
)
from radon_gallery._plot_data import (
    county_draws,
    divergent_draws,
    estimate_density,
    is_scale,
    order_by_homes,
    require_fits,
    running_loss,
    scalar_draws,
    summarise_counties,
)
from radon_gallery._plot_style import (
    FLOOR_COLOURS,
    THEMES,
    fit_styles,
    ink,
    muted,
    style_settings,
)
from radon_gallery.data import Survey

__all__ = [
    "plot_county_intervals",
    "plot_densities",
    "plot_funnel",
    "plot_homes",
    "plot_loss",
    "plot_map",
    "plot_shrinkage",
    "plot_survey",
    "use_style",
]

Fits = Mapping[str, Any]

_UNIT: Final = "log pCi/L"
_FLOOR_NAMES: Final = ("basement", "first floor")


def use_style(theme: str = "light") -> None:
    """Draw the figures that follow in the gallery's style.

    Parameters
    ----------
    theme : {"light", "dark"}
        Whether the paper is light or dark.

    Raises
    ------
    ValueError
        If the theme is unknown.

    References
    ----------
    Okabe and Ito (2008) on colours that all readers can tell apart [okabe2008color].
    """
    require_choice("theme", theme, THEMES)
    mpl.rcParams.update(style_settings(theme))


# --- the survey -------------------------------------------------------------------------------


def plot_homes(survey: Survey, *, ax: Axes | None = None) -> Axes:
    """Draw the number of homes in each county, from the fewest to the most.

    Parameters
    ----------
    survey : Survey
        The survey.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One bar a county, its homes measured on the first floor on top of those in the basement.
    """
    order = order_by_homes(survey)
    ax = new_axes(ax, height=3.6)
    bottom = np.zeros(survey.n_county)
    for floor, (name, colour) in enumerate(zip(_FLOOR_NAMES, FLOOR_COLOURS, strict=True)):
        here = survey.county_idx[survey.floor == floor]
        homes = np.bincount(here, minlength=survey.n_county)[order]
        ax.bar(np.arange(survey.n_county), homes, bottom=bottom, color=colour, lw=0, label=name)
        bottom += homes
    for rank in range(max(0, survey.n_county - 3), survey.n_county):
        ax.annotate(
            survey.county[order[rank]],
            (rank + 0.4, bottom[rank]),
            xytext=(-8, 0),
            textcoords="offset points",
            ha="right",
            va="top",
        )
    label_counties(ax, survey)
    ax.set_ylabel("homes")
    ax.legend(loc="upper left")
    return ax


def plot_survey(survey: Survey, *, ax: Axes | None = None) -> Axes:
    """Draw the log radon of every home, counties ordered by their number of homes.

    Parameters
    ----------
    survey : Survey
        The survey.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One column a county and one point a home, floors told apart by colour, shape and place.
    """
    rank = np.argsort(order_by_homes(survey))
    ax = new_axes(ax, height=4.4)
    for floor, (name, colour) in enumerate(zip(_FLOOR_NAMES, FLOOR_COLOURS, strict=True)):
        at = survey.floor == floor
        ax.scatter(
            rank[survey.county_idx[at]] + (-0.18, 0.18)[floor],
            survey.log_radon[at],
            s=(13, 17)[floor],
            marker=("o", "D")[floor],
            color=colour,
            alpha=(0.65, 0.9)[floor],
            linewidths=0,
            label=name,
        )
    label_counties(ax, survey)
    ax.set_ylabel(f"log radon ({_UNIT})")
    legend_above(ax)
    return ax


def plot_map(survey: Survey, values: npt.ArrayLike, *, label: str, ax: Axes | None = None) -> Axes:
    """Draw the counties where they lie, area by number of homes and colour by a value.

    Parameters
    ----------
    survey : Survey
        The survey, with longitude and latitude.
    values : array_like, shape (n_county,)
        A number for each county, in the survey's order.
    label : str
        What the number is, with its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One disc a county; its figure has a bar of colours.

    Raises
    ------
    ValueError
        If the survey has no longitude and latitude, or `values` are not one finite number a county.
    """
    require_type("survey", survey, Survey)
    if survey.longitude is None or survey.latitude is None:
        raise ValueError(
            "a map needs longitude and latitude by county, and this survey has none; give them to "
            "survey_from_frame."
        )
    numbers = finite_numbers("values", values)
    require_same_length(values=numbers, county=np.asarray(survey.county))
    ax = new_axes(ax, height=5.8)
    most = int(survey.homes.max())
    order = order_by_homes(survey)[::-1]  # small discs over large ones
    discs = ax.scatter(
        survey.longitude[order],
        survey.latitude[order],
        s=_disc_area(survey.homes[order], most),
        c=numbers[order],
        cmap="viridis",
        edgecolors=ink(),
        linewidths=0.5,
    )
    for homes in (10**digits for digits in range(len(str(most)))):
        told = "1 home" if homes == 1 else f"{homes:,} homes"
        area = _disc_area(np.array([homes]), most)
        ax.scatter([], [], s=area, color="none", edgecolors=ink(), label=told)
    legend_above(ax, handle_height=4.5)  # room for the largest disc
    ax.set_aspect(1 / np.cos(np.deg2rad(survey.latitude.mean())))
    ax.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)")
    ax.grid(visible=False)
    bar = ax.figure.colorbar(discs, ax=ax, label=label, shrink=0.7, pad=0.02)
    bar.ax.spines["outline"].set_visible(False)
    return ax


def _disc_area(homes: IntArray, most: int) -> FloatArray:
    return np.maximum(6.0, 1200.0 * homes / most)  # points², large enough to be seen


# --- fits -------------------------------------------------------------------------------------


def plot_loss(
    losses: Mapping[str, npt.ArrayLike], *, floor: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the running mean of each fit's loss against the step.

    It is a mean because the evidence bounds the expected loss: losses of minibatches are skewed,
    and their median can lie below the bound.

    Parameters
    ----------
    losses : mapping of str to array_like, shape (n_steps,), nats
        Negative ELBO of each step on the scale of the full data, by the name of the fit.
    floor : float, optional
        Minus the log evidence, nats, below which no expected loss can lie.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Steps on a log scale, and for each fit a line, the mean over the last tenth of the steps so
        far, within a band that holds nine in ten of their losses. The first fall goes on above the
        upper edge.

    Raises
    ------
    TypeError
        If `losses` is not a mapping, or `floor` is not a number.
    ValueError
        If there are none, or they or `floor` are not finite.
    """
    if not isinstance(losses, Mapping):
        raise TypeError(
            f"expected losses by name, such as {{'ADVI': fit.losses}}; got {type(losses).__name__}."
        )
    traces = {name: finite_numbers(f"losses of {name!r}", loss) for name, loss in losses.items()}
    if not traces or not all(len(loss) for loss in traces.values()):
        raise ValueError("expected at least one fit with at least one loss, got none.")
    if floor is not None:
        require_number("floor", floor)
        finite_numbers("floor", [floor])
    ax = new_axes(ax, height=4.0)
    bottom, top = [] if floor is None else [floor], []
    means = []
    for (name, loss), style in zip(traces.items(), fit_styles(traces).values(), strict=True):
        steps, mean, low, high = running_loss(loss)
        ax.fill_between(steps, low, high, color=style.colour, alpha=0.13, linewidth=0)
        ax.plot(steps, mean, color=style.colour, linestyle=style.line_style, label=name)
        means.append((steps, mean))
        settled = steps > len(loss) / 10
        bottom.append(low[settled].min())
        top.append(high[settled].max())
    if floor is not None:
        ax.axhline(floor, color=ink(), linewidth=1.2, label="minus log evidence")
    frame = padded(np.array([*bottom, *top]))
    entered = min(steps[mean < frame[1]].min(initial=steps[-1]) for steps, mean in means)
    ax.set_ylim(frame)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlim(entered / 2, max(map(len, traces.values())))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="step", ylabel="loss, full data (nats)")
    legend_above(ax)
    return ax


def plot_densities(
    fits: Fits,
    var_names: Sequence[str],
    *,
    exact: Mapping[str, Any] | None = None,
    ax: Axes | Sequence[Axes] | AxesArray | None = None,
) -> AxesArray:
    """Lay the posterior densities of several fits over one another, one panel a parameter.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name.
    var_names : sequence of str
        Scalar parameters, one panel each.
    exact : mapping of str to array_like, shape (2, n_points), optional
        A grid (log pCi/L) and the exact density on it by the name of the parameter, as a pair or as
        `ExactPosterior.densities` has them. Parameters without one are drawn without.
    ax : Axes or sequence of Axes, optional
        Where to draw, one a parameter; by default in a new figure.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (n_var_names,)
        The panels. Standard deviations, `eps` and names that begin with ``sigma_``, have densities
        that are reflected at zero.

    Raises
    ------
    TypeError
        If a fit has no posterior draws, or `exact` does not give densities by name.
    ValueError
        If there are no fits or no parameters, a fit lacks one (the message lists those it has) or
        it is not a scalar, draws are not finite or all equal, `exact` has none of the parameters
        or a density that is not a rising grid and heights of at least 0, or there are not as many
        axes as parameters.

    References
    ----------
    Silverman (1986), section 2.10, on reflection [silverman1986density].
    """
    posteriors = require_fits(fits)
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    if not names:
        raise ValueError("expected at least one parameter in var_names, got none.")
    curves = {
        (name, fit_name): estimate_density(
            scalar_draws(posterior, fit_name, name),
            positive=is_scale(name),
            name=f"{name!r} of fit {fit_name!r}",
        )
        for name in names
        for fit_name, posterior in posteriors.items()
    }
    if exact is not None and not isinstance(exact, Mapping):
        raise TypeError(
            "expected exact densities by name, such as exact_posterior(survey).densities; "
            f"got {type(exact).__name__}."
        )
    known = {name: _exact_curve(name, exact[name]) for name in names if exact and name in exact}
    if exact and not known:
        raise ValueError(f"exact has none of {listed(names)}; it has {listed(exact)}.")
    panels = new_panels(ax, len(names))
    styles = fit_styles(posteriors)
    for panel, name in zip(panels, names, strict=True):
        shown = []
        if name in known:
            panel.fill_between(*known[name], color=muted(), alpha=0.35, linewidth=0, label="exact")
            shown.append(known[name])
        for fit_name, style in styles.items():
            curve = curves[name, fit_name]
            panel.plot(*curve, color=style.colour, linestyle=style.line_style, label=fit_name)
            shown.append(curve)
        visible = np.concatenate([grid[density > 0.005 * density.max()] for grid, density in shown])
        panel.set_xlim(visible.min(), visible.max())
        panel.set_ylim(bottom=0)
        panel.set(xlabel=f"{name} ({_UNIT})", yticks=[])
        panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        panel.spines["left"].set_visible(False)
        panel.grid(visible=False)
    panels[0].set_ylabel("density")
    legend_of_panels(panels, new_figure=ax is None)
    return panels


def _exact_curve(name: str, curve: Any) -> tuple[FloatArray, FloatArray]:
    """Return the grid and the density of one exact answer, each of shape (n_points,)."""
    parts = list(curve) if np.iterable(curve) else [curve]
    shapes = [np.shape(part) for part in parts]
    if len(parts) != 2 or len(shapes[0]) != 1 or shapes[0] != shapes[1]:
        raise ValueError(
            f"exact[{name!r}] must be a grid and the density on it, two vectors of one length; "
            f"got {len(parts)} entries of shapes {listed(shapes)}."
        )
    grid, density = (
        finite_numbers(f"exact[{name!r}], its {which},", part)
        for which, part in zip(("grid", "density"), parts, strict=True)
    )
    if np.any(np.diff(grid) <= 0) or np.any(density < 0):
        raise ValueError(
            f"exact[{name!r}] must be a grid that rises and a density of at least 0 on it; got "
            f"{np.sum(np.diff(grid) <= 0)} steps that do not rise and {np.sum(density < 0)} "
            "heights below 0. Give the grid first."
        )
    return grid, density


def plot_county_intervals(
    fits: Fits,
    survey: Survey,
    *,
    var_name: str = "alpha",
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Axes:
    """Draw each county's posterior mean and interval, fits side by side, by number of homes.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name.
    survey : Survey
        The survey that they were fitted to.
    var_name : str
        A parameter with the dimension `county`.
    prob : float
        Probability that each interval holds, equal tails.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new, tall figure.

    Returns
    -------
    matplotlib.axes.Axes
        One row a county, the one with the fewest homes at the top.

    Raises
    ------
    TypeError
        If a fit has no posterior draws.
    ValueError
        If there are no fits, `prob` is not between 0 and 1, a fit lacks the parameter (the message
        lists those it has), or the parameter has no value for some of the survey's counties.
    """
    posteriors = require_fits(fits)
    if not 0 < prob < 1:
        raise ValueError(f"prob must lie between 0 and 1, got {prob!r}.")
    summaries = {
        name: summarise_counties(posterior, name, var_name, survey, prob)
        for name, posterior in posteriors.items()
    }
    order = order_by_homes(survey)
    rows = np.arange(survey.n_county)
    ax = new_axes(ax, height=1.6 + max(0.16, 0.06 * len(fits)) * survey.n_county)
    offsets = (np.arange(len(fits)) - (len(fits) - 1) / 2) * min(0.44, 0.75 / len(fits))
    for (name, style), offset in zip(fit_styles(posteriors).items(), offsets, strict=True):
        mean, lower, upper = (values[order] for values in summaries[name])
        ax.hlines(rows + offset, lower, upper, color=style.colour, linewidth=1.4)
        ax.plot(mean, rows + offset, style.marker, color=style.colour, markersize=3.4)
        ax.plot([], [], style.marker + "-", color=style.colour, markersize=5, label=name)
    homes = survey.homes[order]
    ax.set_yticks(rows, [f"{survey.county[at]}  {n}" for at, n in zip(order, homes, strict=True)])
    ax.tick_params(axis="y", labelsize=9)
    ax.tick_params(axis="x", top=True, labeltop=True)
    ax.set_ylim(survey.n_county - 0.4, -0.6)
    ax.set_xlabel(f"{var_name} ({_UNIT}), mean and {100 * prob:g}% interval")
    ax.set_ylabel("county and its number of homes")
    ax.grid(axis="x")
    ax.grid(axis="y", visible=False)
    legend_above(ax, pad=2.2)
    return ax


def plot_shrinkage(
    fits: Fits, survey: Survey, *, var_name: str = "alpha", ax: Axes | None = None
) -> Axes:
    """Draw how far pooling moves each county's estimate, counties ordered by number of homes.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        Two fits by name: first the unpooled, then the partially pooled one.
    survey : Survey
        The survey that they were fitted to.
    var_name : str
        A parameter with the dimension `county`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        One line a county, from its unpooled to its partially pooled posterior mean. Where the
        second fit has the counties' mean (`mu_alpha` for `alpha`), a line across shows it. Where an
        unpooled mean is further away than the responses range, as of counties whose homes tell
        nothing, a mark at the edge stands for it.

    Raises
    ------
    TypeError
        If a fit has no posterior draws.
    ValueError
        If there are not two fits, one lacks the parameter (the message lists those it has), or the
        parameter has no value for some of the survey's counties.
    """
    posteriors = require_fits(fits)
    if len(posteriors) != 2:
        raise ValueError(
            "expected two fits, first the unpooled, then the partially pooled one; "
            f"got {len(posteriors)}: {listed(posteriors)}."
        )
    order = order_by_homes(survey)
    start, end = (
        summarise_counties(posterior, name, var_name, survey).mean[order]
        for name, posterior in posteriors.items()
    )
    (unpooled, style), (pooled, pooled_style) = fit_styles(posteriors).items()
    centre, group_mean = None, f"mu_{var_name}"
    if group_mean in posteriors[pooled]:
        centre = scalar_draws(posteriors[pooled], pooled, group_mean).mean()
    ax = new_axes(ax, height=4.2)
    rank = np.arange(survey.n_county)
    # An estimate that the county's homes inform stays within the range of the responses.
    off = np.abs(start - end) > np.ptp(survey.log_radon)
    frame = padded(np.concatenate([start[~off], end]))
    ax.vlines(rank[~off], start[~off], end[~off], color=muted(), linewidth=1.0)
    hollow: dict[str, Any] = {
        "color": style.colour,
        "mfc": "none",
        "linestyle": "none",
        "markersize": 4.5,
    }
    ax.plot(rank[~off], start[~off], marker="o", label=unpooled, **hollow)
    if off.any():
        edge = np.where(start > end, *np.quantile(frame, [0.99, 0.01]))[off]
        ax.plot(rank[off], edge, marker="d", label="off the scale", **hollow)
    ax.plot(rank, end, "s", color=pooled_style.colour, markersize=4.5, label=pooled)
    if centre is not None:
        ax.axhline(centre, color=ink(), linewidth=1.2, label=f"mean of {group_mean}")
    ax.set_ylim(frame)
    label_counties(ax, survey)
    ax.set_ylabel(f"{var_name} ({_UNIT})")
    legend_above(ax)
    return ax


def plot_funnel(
    fits: Fits,
    *,
    county: str,
    var_name: str = "beta",
    ax: Axes | Sequence[Axes] | AxesArray | None = None,
) -> AxesArray:
    """Draw the logarithm of a group's standard deviation against one county's effect.

    Parameters
    ----------
    fits : mapping of str to arviz.InferenceData or xarray.Dataset
        The fits by name, one panel each; each has `var_name` by county and ``sigma_<var_name>``.
    county : str
        The county.
    var_name : str
        A parameter with the dimension `county`.
    ax : Axes or sequence of Axes, optional
        Where to draw, one a fit; by default in a new figure.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (n_fits,)
        The panels, draws that ended a divergent trajectory marked by a cross; in a new figure all
        on the same scales.

    Raises
    ------
    TypeError
        If a fit has no posterior draws.
    ValueError
        If there are no fits, the county is unknown (the message names the nearest), a fit lacks a
        parameter (the message lists those it has), or there are not as many axes as fits.

    References
    ----------
    Neal (2003), section 8 [neal2003slice]; Betancourt and Girolami (2015)
    [betancourt2015hamiltonian].
    """
    posteriors = require_fits(fits)
    scale = f"sigma_{var_name}"
    points = {
        name: (
            county_draws(posterior, name, var_name, county),
            scalar_draws(posterior, name, scale),
        )
        for name, posterior in posteriors.items()
    }
    panels = new_panels(ax, len(fits), share=True)
    for panel, (name, style) in zip(panels, fit_styles(posteriors).items(), strict=True):
        effect, sigma = points[name]
        diverged = divergent_draws(fits[name], len(effect))
        panel.scatter(effect, sigma, s=7, color=style.colour, alpha=0.35, linewidths=0)
        if diverged.any():
            panel.scatter(
                effect[diverged],
                sigma[diverged],
                s=26,
                marker="x",
                color=ink(),
                linewidths=1.3,
                label=f"divergent ({diverged.sum()})",
            )
            panel.legend(loc="lower left")
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.set(title=name, xlabel=f"{var_name}, {county} ({_UNIT})")
    panels[0].set_ylabel(f"{scale} ({_UNIT}), log scale")
    return panels
