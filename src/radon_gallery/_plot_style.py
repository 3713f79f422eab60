"""The one place where the figures' colours, sizes and line styles are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import seaborn as sns
from cycler import cycler

__all__ = [
    "FLOOR_COLOURS",
    "THEMES",
    "WIDTH",
    "FitStyle",
    "fit_styles",
    "ink",
    "muted",
    "style_settings",
]

#: Width of a figure in inches: 700 pixels, the width of a page's column.
WIDTH: Final = 7.0

#: Basement and first floor, told apart in a light and in a dark theme alike.
FLOOR_COLOURS: Final = ("#6F7F92", "#E08A00")

_MARKERS: Final = ("o", "s", "^", "D", "v")
_LINE_STYLES: Final = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)))


class _Theme(NamedTuple):
    paper: str
    ink: str
    muted: str
    grid: str
    fits: tuple[str, ...]


# Okabe and Ito's colours; of these the ones that stand out from the paper come first.
THEMES: Final = {
    "light": _Theme(
        paper="#FFFFFF",
        ink="#1F2933",
        muted="#697586",
        grid="#E3E8EE",
        fits=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    ),
    "dark": _Theme(
        paper="#14181E",
        ink="#E6EAF0",
        muted="#9AA5B4",
        grid="#2C343F",
        fits=("#56B4E9", "#E69F00", "#3CC79A", "#CC79A7", "#F0E442"),
    ),
}


class FitStyle(NamedTuple):
    """How one fit is drawn, the same in every figure that names it at the same place."""

    colour: str
    marker: str
    line_style: Any


def fit_styles(names: Iterable[str]) -> dict[str, FitStyle]:
    """Return a style for each fit: by colour, marker and line, so that one of them is enough."""
    colours = mpl.rcParams["axes.prop_cycle"].by_key().get("color", THEMES["light"].fits)
    styles = zip(names, cycle(colours), cycle(_MARKERS), cycle(_LINE_STYLES), strict=False)
    return {name: FitStyle(*style) for name, *style in styles}


def ink() -> str:
    """Return the colour of text."""
    return str(mpl.rcParams["text.color"])


def muted() -> str:
    """Return the colour of what stands behind the data: exact answers, reference lines, notes."""
    return str(mpl.rcParams["xtick.color"])


def style_settings(theme: str) -> dict[str, Any]:
    """Return Matplotlib's settings for a theme, ``"light"`` or ``"dark"``."""
    look = THEMES[theme]
    settings: dict[str, Any] = dict(sns.axes_style("ticks"))
    return settings | {
        "axes.axisbelow": True,
        "axes.edgecolor": look.muted,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.labelcolor": look.ink,
        "axes.labelsize": 11.5,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=look.fits),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.wspace": 0.06,
        "figure.dpi": 100,
        "figure.facecolor": look.paper,
        "figure.figsize": (WIDTH, 4.2),
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 11,
        "grid.color": look.grid,
        "grid.linewidth": 0.8,
        "image.cmap": "cividis",
        "legend.fontsize": 11,
        "legend.frameon": False,
        "legend.handlelength": 2.2,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "savefig.dpi": 200,
        "savefig.facecolor": look.paper,
        "text.color": look.ink,
        "xtick.color": look.muted,
        "xtick.labelcolor": look.ink,
        "xtick.labelsize": 10.5,
        "xtick.major.size": 4,
        "xtick.major.width": 0.8,
        "ytick.color": look.muted,
        "ytick.labelcolor": look.ink,
        "ytick.labelsize": 10.5,
        "ytick.major.size": 0,
    }
