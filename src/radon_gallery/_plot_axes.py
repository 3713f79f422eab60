"""Axes, the axis of the counties, and legends: what the figures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from radon_gallery._checks import FloatArray
from radon_gallery._plot_style import WIDTH
from radon_gallery.data import Survey

__all__ = [
    "AxesArray",
    "label_counties",
    "legend_above",
    "legend_of_panels",
    "new_axes",
    "new_panels",
    "padded",
]

AxesArray = npt.NDArray[Any]

_CHARACTERS_AN_INCH: Final = 13  # of a legend


def new_axes(ax: Axes | None, *, height: float) -> Axes:
    """Return the axes given, or those of a new figure."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=(WIDTH, height), layout="constrained")[1]


def new_panels(
    ax: Axes | Sequence[Axes] | AxesArray | None, n_panels: int, *, share: bool = False
) -> AxesArray:
    """Return the axes given, or new ones, as a vector of `n_panels`."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != n_panels:
            raise ValueError(f"expected {n_panels} axes, one a panel, got {len(given)}.")
        return cast(AxesArray, given)
    n_columns = min(n_panels, 2 if n_panels == 4 else 3)
    n_rows = -(-n_panels // n_columns)
    height = 3.6 if share else 2.4
    _, grid = plt.subplots(
        n_rows,
        n_columns,
        figsize=(WIDTH, 0.4 + height * n_rows),
        sharex=share,
        sharey=share,
        squeeze=False,
        layout="constrained",
    )
    for spare in grid.flat[n_panels:]:
        spare.remove()
    return cast(AxesArray, grid.ravel()[:n_panels])


def label_counties(ax: Axes, survey: Survey) -> None:
    """Label an axis along which counties stand in order with their numbers of homes."""
    counts, first = np.unique(np.sort(survey.homes), return_index=True)
    ticks: list[float] = []  # from the right, so that the county with the most homes has one
    middles = (first + np.append(first[1:], survey.n_county) - 1) / 2
    for position in middles[::-1]:
        if not ticks or ticks[-1] - position >= survey.n_county / 16:
            ticks.append(float(position))
    ticks.reverse()
    ax.set_xticks(ticks, [str(counts[middles == tick].item()) for tick in ticks])
    ax.set_xlim(-1, survey.n_county)
    ax.set_xlabel("counties, ordered by number of homes (ticks)")


def legend_above(ax: Axes, *, pad: float = 0.2, handle_height: float = 0.7) -> None:
    """Put the legend above the axes, in as few rows as it needs."""
    # Matplotlib lets a tall handle reach below the text, and counts discs from the text's baseline.
    descent = 0.35 * (handle_height - 0.7)
    middle = 0.5 - descent / (handle_height - descent)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=_legend_columns(ax),
        borderaxespad=pad,
        handleheight=handle_height,
        scatteryoffsets=[middle],
    )


def legend_of_panels(panels: AxesArray, *, new_figure: bool) -> None:
    """Put one legend for all panels above a new figure, or into the first of the axes given."""
    entries: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        entries |= {
            label: entries.get(label, handle) for label, handle in zip(labels, handles, strict=True)
        }
    if new_figure:
        where = {"loc": "outside upper left", "ncols": min(4, len(entries))}
        panels[0].figure.legend(entries.values(), entries, **where)
    else:
        panels[0].legend(entries.values(), entries)


def _legend_columns(ax: Axes) -> int:
    """Return how many entries fit side by side above `ax`, judged by their lengths."""
    lengths = [len(label) + 7 for label in ax.get_legend_handles_labels()[1]]
    room = _CHARACTERS_AN_INCH * ax.bbox.width / ax.figure.dpi
    return len(lengths) if sum(lengths) <= room else max(1, int(room / max(lengths)))


def padded(values: FloatArray) -> tuple[float, float]:
    """Return the range of `values`, a little widened."""
    margin = 0.05 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin
