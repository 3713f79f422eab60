"""The county explorer: a map and one county's numbers, drawn by Vega-Lite, computed at build."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import altair as alt
import jinja2
import numpy as np
import pandas as pd
import vl_convert
from docutils import nodes
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import radon_gallery
from radon_gallery.data import LOG_OFFSET_PCI_L, Survey, load_minnesota
from radon_gallery.exact import exact_posterior

ESTIMATES: Final = ("raw mean", "pooled", "unpooled", "hierarchical")
FIRST_SHOWN: Final = "Lac qui Parle"  # two homes, far out: much to be seen
PROB: Final = 0.95
REACH: Final = 1.0  # log pCi/L from the pooled answer at which the colours are full

TEMPLATES: Final = Path(__file__).parent.parent / "_templates"
LIVE_SIZES: Final = {
    "map": {"width": "container", "height": "container"},
    "strip": {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}},
}

# Colours that follow the theme, and two that stand out from light and dark paper alike.
INK, MUTED, LINE = (f"var(--pst-color-{name})" for name in ("text-base", "text-muted", "border"))
PAPER, ACCENT = "var(--pst-color-background)", "var(--pst-color-primary)"
LOW, MIDDLE, HIGH = "#0072B2", "#A3ABB5", "#D55E00"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


# --- the numbers ------------------------------------------------------------------------------


def tabulate_counties(survey: Survey) -> pd.DataFrame:
    """Put what each model says of each county's basements beside the county's raw mean.

    Parameters
    ----------
    survey : Survey
        The survey, with longitude and latitude.

    Returns
    -------
    pandas.DataFrame
        One row a county and estimate: `county`, `longitude`, `latitude`, `homes`, `basements`,
        `estimate`, and in log pCi/L its `mean` and the ends `low` and `high` of its 95 % interval.
        The raw mean, of all the county's homes, has no interval.

    Raises
    ------
    ValueError
        If the survey has no longitude and latitude.
    """
    if survey.longitude is None or survey.latitude is None:
        raise ValueError("the explorer needs longitude and latitude by county; the survey has none")
    homes = survey.homes
    known = pd.DataFrame(
        {
            "county": survey.county,
            "longitude": survey.longitude,
            "latitude": survey.latitude,
            "homes": homes,
            "basements": homes - np.bincount(survey.county_idx, survey.floor).astype(int),
        }
    )
    raw = np.bincount(survey.county_idx, survey.log_radon) / homes
    parts = [known.assign(estimate=ESTIMATES[0], mean=raw, low=np.nan, high=np.nan)]
    tails = ((1 - PROB) / 2, (1 + PROB) / 2)
    for pooling in ESTIMATES[1:]:
        answer = exact_posterior(survey, alpha=pooling, beta=pooling, probabilities=tails)
        low, high = answer.quantiles["alpha"].values
        mean = answer.summary["alpha"].sel(statistic="mean").values
        parts.append(known.assign(estimate=pooling, mean=mean, low=low, high=high))
    return pd.concat(parts, ignore_index=True)


def describe_counties(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Tell each county in words and figures, ready to be shown.

    Parameters
    ----------
    table : pandas.DataFrame
        What `tabulate_counties` returns.

    Returns
    -------
    dict
        By county: `n_homes`, `homes` and `meaning` (a sentence each), and `rows`, a `mean` and an
        `interval` by estimate.
    """
    told = {}
    for county, part in table.groupby("county", sort=True):
        own = part.set_index("estimate")
        best = own.loc["hierarchical"]
        middle, low, high = (
            f"{np.exp(best[name]) - LOG_OFFSET_PCI_L:.1f}" for name in ("mean", "low", "high")
        )
        told[str(county)] = {
            "n_homes": int(best["homes"]),
            "homes": count_homes(int(best["homes"]), int(best["basements"])),
            "meaning": f"By the hierarchical model a typical basement there has {middle} pCi/L "
            f"({PROB:.0%} interval {low} to {high}).",
            "rows": {
                name: {
                    "mean": _figure(own.loc[name, "mean"]),
                    "interval": "none"
                    if np.isnan(own.loc[name, "low"])
                    else f"{_figure(own.loc[name, 'low'])} to {_figure(own.loc[name, 'high'])}",
                }
                for name in ESTIMATES
            },
        }
    return told


def count_homes(homes: int, basements: int) -> str:
    """Tell how many homes were measured, and where."""
    counted = "1 home" if homes == 1 else f"{homes} homes"
    first_floors = homes - basements
    if not first_floors:
        return f"{counted}, measured in the basement."
    if not basements:
        return f"{counted}, measured on the first floor."
    return f"{counted}: {basements} in the basement, {first_floors} on the first floor."


def _figure(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


# --- the pictures -----------------------------------------------------------------------------


def draw_map(table: pd.DataFrame) -> alt.LayerChart:
    """Draw the counties where they lie, area by homes and colour by the chosen estimate.

    Parameters
    ----------
    table : pandas.DataFrame
        What `tabulate_counties` returns.

    Returns
    -------
    altair.LayerChart
        A map with the parameters `county` and `estimate`, to be set from outside, and `hovered`
        and `picked`, which tell what the reader points at.
    """
    centre = table.loc[table["estimate"] == "pooled", "mean"].iloc[0]
    fields = ["county", "longitude", "latitude", "homes", "estimate", "mean"]
    places = (
        alt.Chart(table[fields].round(4))
        .transform_filter("datum.estimate === estimate")
        .encode(longitude="longitude:Q", latitude="latitude:Q")
    )
    discs = places.mark_circle(opacity=1, stroke=PAPER, strokeWidth=1).encode(
        size=alt.Size(
            "homes:Q",
            scale=alt.Scale(
                domain=[1, int(table["homes"].max())], range=[45, alt.ExprRef("3.5 * width")]
            ),
            legend=alt.Legend(title="homes", values=[1, 10, 100], orient="top"),
        ),
        color=alt.Color(
            "mean:Q",
            scale=alt.Scale(
                domain=[centre - REACH, centre, centre + REACH],
                range=[LOW, MIDDLE, HIGH],
                interpolate="rgb",
                clamp=True,
            ),
            legend=alt.Legend(
                title="log radon (log pCi/L)",
                orient="top",
                gradientLength=140,
                values=[0.5, 1, 1.5, 2],
                format=".1f",
            ),
        ),
        description="county:N",
        order=alt.Order("homes:Q", sort="descending"),  # small discs over large ones
    )
    near = {"nearest": True, "fields": ["county"], "empty": False}
    hovered = alt.selection_point("hovered", on="pointerover", clear="pointerout", **near)
    picked = alt.selection_point("picked", on="click", clear=False, **near)
    chosen = places.transform_filter("datum.county === county")
    beyond = alt.ExprRef("pow(sqrt(scale('size', datum.homes)) + 9, 2)")
    ring = chosen.mark_point(stroke=INK, strokeWidth=2.5, opacity=1, size=beyond, aria=False)
    name = {"text": "county:N", "size": alt.SizeValue(14)}
    above = alt.ExprRef("-16 - sqrt(scale('size', datum.homes) / PI)")
    halo = chosen.mark_text(dy=above, fontWeight="bold", stroke=PAPER, strokeWidth=4, aria=False)
    label = chosen.mark_text(dy=above, fontWeight="bold", color=INK, aria=False)
    return (
        alt.layer(
            discs.add_params(hovered, picked), ring, halo.encode(**name), label.encode(**name)
        )
        .add_params(
            alt.param("county", value=FIRST_SHOWN), alt.param("estimate", value=ESTIMATES[-1])
        )
        .project("mercator")
    )


def draw_county(table: pd.DataFrame, survey: Survey) -> alt.LayerChart:
    """Draw one county's readings, and below them what the models make of these.

    Parameters
    ----------
    table : pandas.DataFrame
        What `tabulate_counties` returns.
    survey : Survey
        The survey.

    Returns
    -------
    altair.LayerChart
        One row each for the basements, the first floors and the estimates, with the parameter
        `county`, to be set from outside.
    """
    readings = pd.DataFrame(
        {
            "county": np.array(survey.county)[survey.county_idx],
            "row": np.array(["basements", "first floors"])[survey.floor],
            "log_radon": survey.log_radon,
        }
    )
    estimates = table[["county", "estimate", "mean", "low", "high"]].rename(
        columns={"estimate": "row"}
    )
    ends = np.concatenate([survey.log_radon, table["low"].dropna(), table["high"].dropna()])
    x = {"scale": alt.Scale(domain=[ends.min() - 0.1, ends.max() + 0.1], nice=False)}
    y = alt.Y("row:N", sort=["basements", "first floors", *ESTIMATES], title=None)
    best = alt.condition("datum.row === 'hierarchical'", alt.value(ACCENT), alt.value(INK))
    here = alt.Chart(estimates.round(4)).transform_filter("datum.county === county").encode(y=y)
    marks = (
        alt.Chart(readings.round(4))
        .transform_filter("datum.county === county")
        .mark_tick(thickness=1.5, bandSize=14, opacity=0.75, color=INK)
        .encode(x=alt.X("log_radon:Q", title="log radon (log pCi/L)", **x), y=y)
    )
    intervals = here.mark_rule(strokeWidth=3).encode(x="low:Q", x2="high:Q", color=best)
    means = here.mark_point(filled=True, size=45, opacity=1).encode(x="mean:Q", color=best)
    layers = alt.layer(marks, intervals, means).properties(height=24 * (2 + len(ESTIMATES)))
    return layers.add_params(alt.param("county", value=FIRST_SHOWN))


def style(chart: alt.LayerChart, **size: Any) -> alt.LayerChart:
    """Give a chart its size and the look of the site."""
    text = {"labelFont": FONT, "titleFont": FONT, "labelColor": INK, "titleColor": INK}
    text |= {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal"}
    return (
        chart.properties(**size, background="transparent", padding=4)
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_legend(**text, offset=26, symbolStrokeColor=INK, symbolFillColor="transparent")
        .configure_axis(**text, domainColor=MUTED, tickColor=MUTED, grid=False)
    )


# --- the page ---------------------------------------------------------------------------------


def render(survey: Survey) -> str:
    """Return the explorer as HTML, with pictures of its first county for who has no JavaScript."""
    table = tabulate_counties(survey)
    charts = {"map": draw_map(table), "strip": draw_county(table, survey)}
    sizes = {"map": {"width": 500, "height": 500}, "strip": {"width": 300}}
    live = {name: style(chart, **LIVE_SIZES[name]).to_dict() for name, chart in charts.items()}
    still = {
        name: vl_convert.vegalite_to_svg(style(chart, **sizes[name]).to_dict())
        for name, chart in charts.items()
    }
    counties = describe_counties(table)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return templates.get_template("explorer.html").render(
        counties=counties,
        estimates=ESTIMATES,
        first=FIRST_SHOWN,
        prob=f"{PROB:.0%}",
        map_svg=Markup(still["map"]),
        strip_svg=Markup(still["strip"]),
        payload=htmlsafe_json_dumps(live | {"counties": counties}),
    )


class CountyExplorer(SphinxDirective):
    """Put the explorer here; it is made anew when the package or what draws it has changed."""

    def run(self) -> list[nodes.Node]:
        """Return the explorer as raw HTML."""
        package = Path(radon_gallery.__file__).parent
        sources = [*package.rglob("*.py"), *package.rglob("*.csv")]
        for source in [*sources, Path(__file__), TEMPLATES / "explorer.html"]:
            self.env.note_dependency(str(source))
        return [nodes.raw("", render(load_minnesota()), format="html", explorer=True)]


def vendor_vega(target: Path) -> str:
    """Write Vega from its wheel to `target`, as one script, and return the script's name."""
    name = f"vega-{vl_convert.__version__}.js"
    for old in target.glob("vega-*.js"):
        if old.name != name:
            old.unlink()
    if not (target / name).exists():
        target.mkdir(parents=True, exist_ok=True)
        module = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
        # A plain script runs from disk too, where a module does not; its names stay its own.
        (target / name).write_text(f'(() => {{"use strict";{module}}})();')
    return name


def add_scripts(
    app: Sphinx, _page: str, _template: str, _context: Any, doctree: nodes.document | None
) -> None:
    """Let the page of the explorer, and no other, load what the explorer needs."""
    if doctree and any(node.get("explorer") for node in doctree.findall(nodes.raw)):
        app.add_css_file("explorer.css")
        app.add_js_file(app.config.explorer_vega, loading_method="defer")
        app.add_js_file("explorer.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive and the setting `explorer_vega`, the name that `vendor_vega` returned."""
    app.add_config_value("explorer_vega", "", "html", str)
    app.add_directive("county-explorer", CountyExplorer)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
