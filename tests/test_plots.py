"""The figures: what they draw, how it is told apart and named, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex, to_rgb
from scipy import stats

from radon_gallery import plots
from radon_gallery._plot_style import fit_styles
from radon_gallery.data import Survey, simulate_survey
from radon_gallery.editions import edition

N_CHAIN, N_DRAW = 2, 500


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    """Draw in the gallery's style, and render what the test drew: a warning fails it."""
    with mpl.rc_context():
        plots.use_style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()


@pytest.fixture(scope="module")
def survey() -> Survey:
    """Return twelve counties with known coordinates and unequal numbers of homes."""
    plain = simulate_survey(150, 12, random_seed=3).survey
    return Survey(
        *plain.rows,
        county=tuple(f"{letter}-county" for letter in "LKJIHGFEDCBA"),
        longitude=np.linspace(-97, -90, 12),
        latitude=np.linspace(43, 49, 12),
    )


def make_posterior(
    survey: Survey, seed: int = 0, *, shift: float = 0.0, reverse: bool = False
) -> xr.Dataset:
    """Make draws by hand: each county's alpha lies around its position, shifted."""
    rng = np.random.default_rng(seed)
    shape = (N_CHAIN, N_DRAW)
    county_shape = (*shape, survey.n_county)
    dims = ("chain", "draw", "county")
    posterior = xr.Dataset(
        {
            "mu_alpha": (dims[:2], rng.normal(1.5, 0.05, shape)),
            "sigma_beta": (dims[:2], np.abs(rng.normal(0.0, 0.2, shape))),
            "alpha": (dims, shift + rng.normal(np.arange(survey.n_county), 0.1, county_shape)),
            "beta": (dims, rng.normal(-0.6, 0.2, county_shape)),
        },
        coords={"county": list(survey.county)},
    )
    return posterior.isel(county=slice(None, None, -1)) if reverse else posterior


def as_inference_data(posterior: xr.Dataset, diverging: np.ndarray) -> Any:
    """Wrap draws as the installed ArviZ does."""
    groups = {
        "posterior": posterior,
        "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), diverging)}),
    }
    return edition.inference_data(groups)


@pytest.fixture
def posterior(survey: Survey) -> xr.Dataset:
    return make_posterior(survey)


def legend_texts(legend: Any) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def line(ax: Any, label: str) -> Any:
    """Return the line of a label."""
    (found,) = [one for one in ax.get_lines() if one.get_label() == label]
    return found


def tick_labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


# --- style ------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_the_first_fits_stand_out_from_the_paper(theme: str) -> None:
    plots.use_style(theme)

    def luminance(colour: str) -> float:
        channels = np.array(to_rgb(colour))
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def contrast(one: str, other: str) -> float:
        low, high = sorted([luminance(one), luminance(other)])
        return (high + 0.05) / (low + 0.05)

    paper = mpl.rcParams["figure.facecolor"]
    assert contrast(mpl.rcParams["text.color"], paper) > 7
    for style in fit_styles(["one", "two", "three"]).values():
        assert contrast(style.colour, paper) > 3  # WCAG 2.2, criterion 1.4.11
    for colour in plots.FLOOR_COLOURS:
        assert contrast(colour, paper) > 2.4


def test_fits_differ_by_colour_by_marker_and_by_line() -> None:
    styles = fit_styles("abcde").values()
    for each in zip(*styles, strict=True):
        assert len(set(each)) == 5


def test_an_unknown_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown theme 'sepia'; choose one of 'dark', 'light'"):
        plots.use_style("sepia")


# --- the survey -------------------------------------------------------------------------------


def test_homes_are_stacked_by_floor_and_ordered(survey: Survey) -> None:
    ax = plots.plot_homes(survey)
    basement, first = ([bar.get_height() for bar in bars] for bars in ax.containers)
    order = np.argsort(survey.homes, kind="stable")
    assert np.array_equal(np.add(basement, first), survey.homes[order])
    upstairs = np.bincount(survey.county_idx, weights=survey.floor, minlength=survey.n_county)
    assert np.array_equal(first, upstairs[order])
    assert [bar.get_y() for bar in ax.containers[1]] == basement
    assert legend_texts(ax.get_legend()) == ["basement", "first floor"]
    assert [text.get_text() for text in ax.texts] == [survey.county[at] for at in order[-3:]]
    assert ax.get_ylabel() == "homes"


def test_ticks_tell_the_number_of_homes_below_its_counties(survey: Survey) -> None:
    ax = plots.plot_homes(survey)
    homes = np.sort(survey.homes)
    labels = tick_labels(ax.xaxis)
    assert labels[-1] == str(homes[-1])
    for position, label in zip(ax.get_xticks(), labels, strict=True):
        assert position == np.flatnonzero(homes == int(label)).mean()
    assert ax.get_xlabel() == "counties, ordered by number of homes (ticks)"


def test_survey_draws_every_home_in_the_column_of_its_county(survey: Survey) -> None:
    ax = plots.plot_survey(survey)
    rank = {int(code): at for at, code in enumerate(np.argsort(survey.homes, kind="stable"))}
    for floor, points in enumerate(ax.collections):
        x, y = points.get_offsets().T
        here = survey.floor == floor
        assert np.array_equal(y, survey.log_radon[here])
        columns = [rank[int(code)] for code in survey.county_idx[here]]
        assert np.array_equal(np.round(x).astype(int), columns)
    basement, first = ax.collections
    assert len(basement.get_paths()[0]) != len(first.get_paths()[0])  # another marker
    assert to_hex(basement.get_facecolor()[0]) != to_hex(first.get_facecolor()[0])
    assert legend_texts(ax.get_legend()) == ["basement", "first floor"]
    assert ax.get_ylabel() == "log radon (log pCi/L)"


def test_map_places_sizes_and_colours_each_county(survey: Survey) -> None:
    values = np.arange(12.0) ** 2
    ax = plots.plot_map(survey, values, label="something (unit)")
    discs = ax.collections[0]
    order = np.argsort(survey.homes, kind="stable")[::-1]
    assert np.array_equal(discs.get_offsets()[:, 0], survey.longitude[order])
    assert np.array_equal(discs.get_offsets()[:, 1], survey.latitude[order])
    assert np.array_equal(discs.get_array(), values[order])
    area = discs.get_sizes()
    assert np.allclose(area / area[0], survey.homes[order] / survey.homes.max())
    assert np.all(np.diff(area) <= 0)  # small discs are drawn over large ones
    assert [axes.get_ylabel() for axes in ax.figure.axes[1:]] == ["something (unit)"]
    legend = ax.get_legend()
    assert legend_texts(legend) == ["1 home", "10 homes", "100 homes"]
    assert legend.legend_handles[1].get_sizes()[0] == pytest.approx(
        10 * area[0] / survey.homes.max()
    )
    assert ax.get_aspect() == pytest.approx(1 / np.cos(np.deg2rad(46)))
    figure, largest = ax.figure, legend.legend_handles[-1]
    figure.draw_without_rendering()
    centre = largest.get_offset_transform().transform(largest.get_offsets())[0, 1]
    radius = np.sqrt(largest.get_sizes()[0]) / 2 * figure.dpi / 72
    assert ax.get_window_extent().y1 < centre - radius
    assert centre + radius < figure.bbox.y1


def test_map_refuses_what_it_cannot_place(survey: Survey) -> None:
    nowhere = simulate_survey(20, 4, random_seed=1).survey
    with pytest.raises(ValueError, match="needs longitude and latitude"):
        plots.plot_map(nowhere, np.zeros(4), label="")
    with pytest.raises(ValueError, match="values has 3, county has 12"):
        plots.plot_map(survey, np.zeros(3), label="")
    with pytest.raises(ValueError, match="row 0 has nan"):
        plots.plot_map(survey, np.full(12, np.nan), label="")
    assert not plt.get_fignums()


# --- losses -----------------------------------------------------------------------------------


def test_loss_ends_at_the_mean_of_its_last_tenth_not_the_median() -> None:
    rng = np.random.default_rng(5)
    noise = rng.lognormal(0, 1.5, 20_000)
    loss = 1000 + 5000 * np.exp(-np.arange(20_000) / 200) + noise
    ax = plots.plot_loss({"ADVI": loss, "short": loss[:5000] + 3}, floor=995.0)
    steps, mean = line(ax, "ADVI").get_data()
    assert steps[-1] == 20_000
    assert mean[-1] == pytest.approx(loss[-2000:].mean())
    assert mean[-1] > np.median(loss[-2000:]) + 1
    band = ax.collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 20_000, 1]
    assert [last.min(), last.max()] == pytest.approx(np.quantile(loss[-2000:], [0.05, 0.95]))
    assert line(ax, "short").get_xdata()[-1] == 5000
    assert line(ax, "ADVI").get_linestyle() != line(ax, "short").get_linestyle()


def test_loss_shows_the_floor_and_leaves_out_the_first_fall() -> None:
    rng = np.random.default_rng(6)
    loss = 1000 + 5000 * np.exp(-np.arange(10_000) / 200) + rng.normal(0, 10, 10_000)
    ax = plots.plot_loss({"ADVI": loss}, floor=995.0)
    assert set(line(ax, "minus log evidence").get_ydata()) == {995.0}
    bottom, top = ax.get_ylim()
    assert 970 < bottom < 985
    assert 1015 < top < 1100
    assert ax.get_xscale() == "log"
    assert 100 < ax.get_xlim()[0] < 1000 < 10_000 == ax.get_xlim()[1]
    assert ax.get_ylabel() == "loss, full data (nats)"
    assert legend_texts(ax.get_legend()) == ["ADVI", "minus log evidence"]


@pytest.mark.parametrize("loss", [[3.0], np.full(50, 7.0)])
def test_loss_draws_a_trace_of_one_step_or_of_one_value(loss: Any) -> None:
    ax = plots.plot_loss({"ADVI": loss})
    assert line(ax, "ADVI").get_ydata()[-1] == loss[-1]


def test_loss_refuses_what_is_no_loss() -> None:
    with pytest.raises(TypeError, match="expected losses by name"):
        plots.plot_loss(np.arange(3.0))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one fit"):
        plots.plot_loss({})
    with pytest.raises(ValueError, match="at least one fit with at least one loss"):
        plots.plot_loss({"ADVI": []})
    with pytest.raises(ValueError, match="losses of 'ADVI' must be a finite number.*row 1 has nan"):
        plots.plot_loss({"ADVI": [1.0, np.nan]})
    for floor in ("1088", [1.0, 2.0], True):
        with pytest.raises(TypeError, match="floor must be a number, got"):
            plots.plot_loss({"ADVI": [1.0, 2.0]}, floor=floor)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="floor must be a finite number .* nan"):
        plots.plot_loss({"ADVI": [1.0, 2.0]}, floor=np.nan)
    assert not plt.get_fignums()


# --- densities --------------------------------------------------------------------------------


def test_densities_are_near_those_the_draws_came_from(posterior: xr.Dataset) -> None:
    centre, scale = plots.plot_densities({"fit": posterior}, ["mu_alpha", "sigma_beta"])
    grid, density = line(centre, "fit").get_data()
    truth = stats.norm(1.5, 0.05).pdf(grid)
    assert np.abs(density - truth).max() < 0.12 * truth.max()
    # A half-normal is highest at zero, where a kernel alone would halve it.
    grid, density = line(scale, "fit").get_data()
    assert grid[0] == 0
    assert density[0] == pytest.approx(stats.halfnorm(scale=0.2).pdf(0), rel=0.15)
    assert np.sum(density * np.gradient(grid)) == pytest.approx(1, abs=0.01)


def test_densities_lie_over_the_exact_one(survey: Survey, posterior: xr.Dataset) -> None:
    grid = np.linspace(1.2, 1.8, 50)
    exact = {"mu_alpha": (grid, stats.norm(1.5, 0.05).pdf(grid))}
    fits = {"ADVI": posterior, "NUTS": make_posterior(survey, 1)}
    panels = plots.plot_densities(fits, ["sigma_beta", "mu_alpha"], exact=exact)
    assert [panel.get_xlabel() for panel in panels] == [
        "sigma_beta (log pCi/L)",
        "mu_alpha (log pCi/L)",
    ]
    assert not panels[0].collections
    (filled,) = panels[1].collections
    assert filled.get_label() == "exact"
    assert filled.get_paths()[0].vertices[:, 1].max() == pytest.approx(exact["mu_alpha"][1].max())
    for panel in panels:
        advi, nuts = line(panel, "ADVI"), line(panel, "NUTS")
        assert advi.get_color() != nuts.get_color()
        assert advi.get_linestyle() != nuts.get_linestyle()
    assert filled.get_zorder() < advi.get_zorder()
    (legend,) = panels[0].figure.legends
    assert legend_texts(legend) == ["ADVI", "NUTS", "exact"]


def test_densities_take_the_exact_answer_as_a_dataset(posterior: xr.Dataset) -> None:
    curve = np.stack([np.linspace(1.2, 1.8, 50), np.linspace(1, 2, 50)])
    exact = xr.Dataset({"mu_alpha": (("curve", "point"), curve)})
    (panel,) = plots.plot_densities({"fit": posterior}, ["mu_alpha"], exact=exact)
    assert panel.collections[0].get_paths()[0].vertices[:, 1].max() == 2


def test_densities_are_the_same_for_inference_data(posterior: xr.Dataset) -> None:
    idata = as_inference_data(posterior, np.zeros((N_CHAIN, N_DRAW), dtype=bool))
    (panel,) = plots.plot_densities({"a": posterior, "b": idata}, "mu_alpha")
    assert np.array_equal(line(panel, "a").get_data(), line(panel, "b").get_data())


def test_densities_use_the_axes_they_are_given(posterior: xr.Dataset) -> None:
    _, grid = plt.subplots(1, 2)
    panels = plots.plot_densities({"fit": posterior}, ["mu_alpha", "sigma_beta"], ax=grid)
    assert list(panels) == list(grid)
    assert legend_texts(grid[0].get_legend()) == ["fit"]
    (only,) = plots.plot_densities({"fit": posterior}, ["mu_alpha"], ax=grid[1])
    assert only is grid[1]
    assert len(plt.get_fignums()) == 1
    with pytest.raises(ValueError, match="expected 1 axes, one a panel, got 2"):
        plots.plot_densities({"fit": posterior}, ["mu_alpha"], ax=grid)


def test_densities_refuse_what_has_none(posterior: xr.Dataset) -> None:
    fits = {"ADVI": posterior}
    with pytest.raises(ValueError, match="'ADVI' has no parameter 'mu'; it has 'mu_alpha', 'sigma"):
        plots.plot_densities(fits, ["mu"])
    with pytest.raises(ValueError, match="not a scalar; choose among 'mu_alpha', 'sigma_beta'"):
        plots.plot_densities(fits, ["alpha"])
    with pytest.raises(ValueError, match="at least one parameter"):
        plots.plot_densities(fits, [])
    with pytest.raises(ValueError, match="are all 1.5: they have no density"):
        plots.plot_densities({"ADVI": posterior * 0 + 1.5}, ["mu_alpha"])
    with pytest.raises(ValueError, match="'ADVI' has draws of 'mu_alpha' that are not finite"):
        plots.plot_densities({"ADVI": posterior * np.nan}, ["mu_alpha"])
    with pytest.raises(ValueError, match="exact has none of 'mu_alpha'; it has 'eps'"):
        plots.plot_densities(fits, ["mu_alpha"], exact={"eps": ([1, 2], [1, 2])})
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("curve", "told"),
    [
        (3.0, r"two vectors of one length; got 1 entries of shapes \(\)"),
        (None, r"two vectors of one length; got 1 entries of shapes \(\)"),
        (([1, 2, 3], [1, 2]), r"two vectors of one length; got 2 entries of shapes \(3,\), \(2,\)"),
        ((["a", "b"], [1, 2]), r"its grid, must be a finite number .* row 0 has 'a'"),
        (([1, 2], [1, np.nan]), r"its density, must be a finite number .* row 1 has nan"),
        (([2, 1], [1, 2]), r"a grid that rises .* got 1 steps that do not rise and 0 heights"),
        (([1, 2], [-1, 2]), r"density of at least 0 .* 1 heights below 0\. Give the grid first"),
    ],
)
def test_an_exact_density_is_a_grid_and_heights(
    posterior: xr.Dataset, curve: Any, told: str
) -> None:
    with pytest.raises(ValueError, match=rf"exact\['mu_alpha'\].*{told}"):
        plots.plot_densities({"ADVI": posterior}, ["mu_alpha"], exact={"mu_alpha": curve})
    assert not plt.get_fignums()


def test_exact_densities_come_by_name(posterior: xr.Dataset) -> None:
    with pytest.raises(TypeError, match=r"exact densities by name, such as .*; got int"):
        plots.plot_densities({"ADVI": posterior}, ["mu_alpha"], exact=3)  # type: ignore[arg-type]


def test_a_figure_of_a_survey_takes_a_survey(survey: Survey, posterior: xr.Dataset) -> None:
    fits = {"unpooled": posterior, "pooled": posterior}
    for draw in (
        plots.plot_homes,
        plots.plot_survey,
        lambda rows: plots.plot_map(rows, np.ones(12), label="one"),
        lambda rows: plots.plot_county_intervals(fits, rows),
        lambda rows: plots.plot_shrinkage(fits, rows),
    ):
        with pytest.raises(TypeError, match="survey must be of type Survey, got"):
            draw(survey.rows)
    assert not plt.get_fignums()


# --- counties ---------------------------------------------------------------------------------


def test_intervals_stand_in_rows_ordered_by_homes(survey: Survey, posterior: xr.Dataset) -> None:
    fits = {"ADVI": posterior, "NUTS": make_posterior(survey, 1, shift=0.3, reverse=True)}
    ax = plots.plot_county_intervals(fits, survey, prob=0.8)
    order = np.argsort(survey.homes, kind="stable")
    assert tick_labels(ax.yaxis) == [f"{survey.county[at]}  {survey.homes[at]}" for at in order]
    rows = np.arange(survey.n_county)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the fewest homes on top
    means = [one for one in ax.get_lines() if len(one.get_xdata())]
    for draws, points, intervals in zip(fits.values(), means, ax.collections, strict=True):
        alpha = draws["alpha"].sel(county=list(survey.county))
        assert np.allclose(points.get_xdata(), alpha.mean(("chain", "draw"))[order])
        ends = np.array([segment[:, 0] for segment in intervals.get_segments()])
        quantiles = alpha.quantile([0.1, 0.9], dim=("chain", "draw")).to_numpy()[:, order]
        assert np.allclose(ends, quantiles.T)
        heights = [segment[:, 1] for segment in intervals.get_segments()]
        assert np.allclose(heights, points.get_ydata()[:, None])
        assert np.array_equal(np.round(points.get_ydata()), rows)
    assert np.all(means[0].get_ydata() < means[1].get_ydata())
    assert means[0].get_marker() != means[1].get_marker()
    assert legend_texts(ax.get_legend()) == ["ADVI", "NUTS"]
    assert ax.get_xlabel() == "alpha (log pCi/L), mean and 80% interval"


def test_intervals_of_many_fits_stay_in_their_rows(survey: Survey) -> None:
    fits = {name: make_posterior(survey, seed) for seed, name in enumerate("abcd")}
    ax = plots.plot_county_intervals(fits, survey, var_name="beta")
    heights = [one.get_ydata()[0] for one in ax.get_lines() if len(one.get_xdata())]
    assert np.ptp(heights) < 0.8
    assert len(set(heights)) == 4


def test_intervals_refuse_fits_of_another_survey(survey: Survey, posterior: xr.Dataset) -> None:
    other = simulate_survey(30, 7, random_seed=1).survey
    with pytest.raises(ValueError, match="no 'alpha' for 'County 1', .* and 2 more; give the surv"):
        plots.plot_county_intervals({"ADVI": posterior}, other)
    with pytest.raises(ValueError, match="must have the dimensions chain, draw and county"):
        plots.plot_county_intervals({"ADVI": posterior}, survey, var_name="mu_alpha")
    with pytest.raises(ValueError, match="has no parameter 'gamma'; it has 'mu_alpha'"):
        plots.plot_county_intervals({"ADVI": posterior}, survey, var_name="gamma")
    with pytest.raises(ValueError, match="prob must lie between 0 and 1, got 90"):
        plots.plot_county_intervals({"ADVI": posterior}, survey, prob=90)
    assert not plt.get_fignums()


def test_shrinkage_joins_the_two_means_of_each_county(
    survey: Survey, posterior: xr.Dataset
) -> None:
    pooled = make_posterior(survey, 1, shift=0.4)
    ax = plots.plot_shrinkage({"unpooled": posterior, "pooled": pooled}, survey)
    order = np.argsort(survey.homes, kind="stable")
    start, end = (
        fit["alpha"].mean(("chain", "draw")).to_numpy()[order] for fit in (posterior, pooled)
    )
    assert np.allclose(line(ax, "unpooled").get_ydata(), start)
    assert np.allclose(line(ax, "pooled").get_ydata(), end)
    joined = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    assert np.allclose(joined, np.stack([start, end], axis=1))
    mean = line(ax, "mean of mu_alpha").get_ydata()
    assert np.allclose(mean, pooled["mu_alpha"].mean())
    assert legend_texts(ax.get_legend()) == ["unpooled", "pooled", "mean of mu_alpha"]
    assert line(ax, "unpooled").get_marker() != line(ax, "pooled").get_marker()
    assert ax.get_ylabel() == "alpha (log pCi/L)"


def test_shrinkage_marks_means_that_no_home_informs(survey: Survey, posterior: xr.Dataset) -> None:
    order = np.argsort(survey.homes, kind="stable")
    wild = posterior.copy(deep=True)
    wild["beta"][..., order[0]] += 500
    wild["beta"][..., order[3]] -= 500
    pooled = posterior.drop_vars("mu_alpha")
    ax = plots.plot_shrinkage({"unpooled": wild, "pooled": pooled}, survey, var_name="beta")
    bottom, top = ax.get_ylim()
    assert -3 < bottom < top < 2
    rank, height = line(ax, "off the scale").get_data()
    assert list(rank) == [0, 3]
    middle = line(ax, "pooled").get_ydata()
    assert bottom < height[1] < middle.min() < middle.max() < height[0] < top
    assert list(line(ax, "unpooled").get_xdata()) == [1, 2, *range(4, 12)]
    assert len(ax.collections[0].get_segments()) == 10
    assert "mean of mu_beta" not in legend_texts(ax.get_legend())


def test_shrinkage_needs_two_fits(survey: Survey, posterior: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="expected two fits, first the unpooled.*got 1: 'only'"):
        plots.plot_shrinkage({"only": posterior}, survey)


# --- the funnel -------------------------------------------------------------------------------


def test_funnel_draws_one_county_and_marks_divergent_draws(
    survey: Survey, posterior: xr.Dataset
) -> None:
    diverging = np.zeros((N_CHAIN, N_DRAW), dtype=bool)
    diverging[1, [7, 9]] = True
    fits = {"NUTS": as_inference_data(posterior, diverging), "ADVI": posterior}
    panels = plots.plot_funnel(fits, county="C-county")
    beta, sigma = posterior["beta"].sel(county="C-county"), posterior["sigma_beta"]
    for panel in panels:
        points = panel.collections[0].get_offsets()
        assert np.array_equal(points[:, 0], beta.to_numpy().ravel())
        assert np.array_equal(points[:, 1], sigma.to_numpy().ravel())
        assert panel.get_yscale() == "log"
        assert panel.get_xlabel() == "beta, C-county (log pCi/L)"
    crosses = panels[0].collections[1].get_offsets()
    assert np.array_equal(crosses[:, 0], beta.to_numpy()[1, [7, 9]])
    assert legend_texts(panels[0].get_legend()) == ["divergent (2)"]
    assert len(panels[1].collections) == 1
    assert panels[1].get_legend() is None
    assert [panel.get_title(loc="left") for panel in panels] == ["NUTS", "ADVI"]
    assert panels[0].get_ylabel() == "sigma_beta (log pCi/L), log scale"
    assert panels[0].get_ylim() == panels[1].get_ylim()


def test_funnel_names_the_nearest_counties(posterior: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"unknown county 'c county'; did you mean 'C-county'"):
        plots.plot_funnel({"NUTS": posterior}, county="c county")
    with pytest.raises(ValueError, match="unknown county 'Xyz'; there are 12, such as 'L-county'"):
        plots.plot_funnel({"NUTS": posterior}, county="Xyz")
    with pytest.raises(ValueError, match="has no parameter 'sigma_alpha'; it has"):
        plots.plot_funnel({"NUTS": posterior}, county="C-county", var_name="alpha")
    assert not plt.get_fignums()


# --- every figure -----------------------------------------------------------------------------


def test_fits_must_have_names_and_draws(survey: Survey, posterior: xr.Dataset) -> None:
    draw = [
        lambda fits: plots.plot_densities(fits, ["mu_alpha"]),
        lambda fits: plots.plot_county_intervals(fits, survey),
        lambda fits: plots.plot_shrinkage(fits, survey),
        lambda fits: plots.plot_funnel(fits, county="C-county"),
    ]
    idata = as_inference_data(posterior, np.zeros((N_CHAIN, N_DRAW), dtype=bool))
    for plot in draw:
        with pytest.raises(ValueError, match="at least one fit by name, got none"):
            plot({})
        for single in (posterior, idata, [posterior]):
            with pytest.raises(TypeError, match="expected fits by name"):
                plot(single)
        with pytest.raises(TypeError, match="expected a fit with posterior draws"):
            plot({"summary": posterior.mean(("chain", "draw"))})
    assert not plt.get_fignums()


def test_one_axes_is_drawn_on_where_it_is_given(survey: Survey, posterior: xr.Dataset) -> None:
    pair = {"a": posterior, "b": posterior}
    for plot in (
        lambda ax: plots.plot_homes(survey, ax=ax),
        lambda ax: plots.plot_survey(survey, ax=ax),
        lambda ax: plots.plot_map(survey, np.arange(12.0), label="", ax=ax),
        lambda ax: plots.plot_loss({"ADVI": [3.0, 2.0]}, ax=ax),
        lambda ax: plots.plot_county_intervals(pair, survey, ax=ax),
        lambda ax: plots.plot_shrinkage(pair, survey, ax=ax),
    ):
        ax = plt.figure().add_subplot()
        assert plot(ax) is ax
        assert len(plt.get_fignums()) == 1
        plt.close("all")
