"""Each figure that a page shows is drawn a second time, in the colours of the dark theme.

Nothing in the figure is changed and no code of the page runs again: the colours are exchanged on
their way to the canvas. The second drawing is a file beside the cache, named by the digest of the
first, so the page's outputs hold one image a figure, as they would in anybody's notebook.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgb

__all__ = ["DarkCanvas", "darken", "draw_dark", "load_ipython_extension"]

#: Colours nearer than this, in each channel, are one colour.
TOLERANCE = 0.5 / 255


@cache
def exchanges() -> tuple[np.ndarray, np.ndarray]:
    """Return the light theme's colours and the dark theme's, row by row."""
    # Imported late: a kernel that draws nothing need not load the package.
    from radon_gallery._plot_style import THEMES

    light, dark = THEMES["light"], THEMES["dark"]
    pairs = [
        (light.paper, dark.paper),
        (light.ink, dark.ink),
        (light.muted, dark.muted),
        (light.grid, dark.grid),
        *zip(light.fits, dark.fits, strict=True),
    ]
    before, after = zip(*pairs, strict=True)
    return np.array([to_rgb(of) for of in before]), np.array([to_rgb(of) for of in after])


def darken(colours: np.ndarray) -> np.ndarray:
    """Exchange colours of the light theme for those of the dark one.

    Parameters
    ----------
    colours : ndarray, shape (n, 3) or (n, 4), red, green, blue and opacity in [0, 1]
        Colours as they would be drawn on a light page.

    Returns
    -------
    ndarray, same shape
        The theme's colours exchanged for their counterparts; pure greys between the dark theme's
        ink (black) and its paper (white); any other colour, and each opacity, as it was.
    """
    new = np.array(colours, dtype=float)
    old = new[:, :3].copy()
    before, after = exchanges()
    paper, ink = after[0], after[1]
    is_grey = np.ptp(old, axis=1) == 0
    new[is_grey, :3] = ink + old[is_grey, :1] * (paper - ink)
    distance = np.abs(old[:, np.newaxis] - before).max(axis=2)
    known = distance.min(axis=1) < TOLERANCE
    new[known, :3] = after[distance.argmin(axis=1)[known]]
    return new


def _darken_one(colour: Any) -> Any:
    return None if colour is None else tuple(darken(np.array([colour]))[0])


class _DarkRenderer(RendererAgg):
    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        # RendererAgg offers these two as attributes, so methods would be hidden.
        markers, collection = self.draw_markers, self.draw_path_collection

        def draw_markers(gc: Any, *shapes: Any) -> None:
            *shapes, face = shapes
            markers(self._dark(gc), *shapes, _darken_one(face))

        def draw_path_collection(gc: Any, *args: Any, **options: Any) -> None:
            *shapes, faces, edges = args[:7]
            coloured = [darken(np.reshape(of, (-1, 4))) for of in (faces, edges)]
            if "hatchcolors" in options:
                options["hatchcolors"] = darken(np.reshape(options["hatchcolors"], (-1, 4)))
            collection(self._dark(gc), *shapes, *coloured, *args[7:], **options)

        self.draw_markers = draw_markers
        self.draw_path_collection = draw_path_collection

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:  # noqa: N803
        super().draw_path(self._dark(gc), path, transform, _darken_one(rgbFace))

    def draw_text(self, gc: Any, *args: Any, **options: Any) -> None:
        super().draw_text(self._dark(gc), *args, **options)

    def _dark(self, gc: Any) -> Any:
        dark = self.new_gc()
        dark.copy_properties(gc)
        dark.set_foreground(_darken_one(gc.get_rgb()), isRGBA=True)
        if gc.get_hatch() is not None:
            dark.set_hatch_color(_darken_one(gc.get_hatch_color()))
        return dark


class DarkCanvas(FigureCanvasAgg):
    """A canvas that draws any figure in the dark theme's colours."""

    def get_renderer(self) -> RendererAgg:
        """Return a renderer of the figure's size that exchanges colours."""
        return _DarkRenderer(*self.figure.bbox.size, self.figure.dpi)


def draw_dark(figure: Any, **options: Any) -> bytes:
    """Return a PNG of `figure` for dense screens in the dark theme's colours.

    The figure itself stays as it is.
    """
    # Imported late: the drawing is of use without a notebook.
    from IPython.core.pylabtools import retina_figure

    canvas = figure.canvas
    try:
        DarkCanvas(figure)
        png, _ = retina_figure(figure, **options)
    finally:
        figure.set_canvas(canvas)
    return png


def load_ipython_extension(shell: Any) -> None:
    """Draw every figure that is shown for dark pages too."""
    folder = os.environ.get("RADON_GALLERY_RUNS")
    if folder is None:
        return
    # Loading the backend chooses the formats; later it would undo what follows.
    import matplotlib_inline.backend_inline  # noqa: F401
    from IPython.core.pylabtools import retina_figure
    from matplotlib.figure import Figure
    from matplotlib_inline.config import InlineBackend

    target = Path(folder, "dark")
    target.mkdir(parents=True, exist_ok=True)

    def draw(figure: Figure) -> Any:
        options = InlineBackend.instance().print_figure_kwargs
        shown = retina_figure(figure, base64=True, **options)
        if shown is not None:
            name = hashlib.sha256(b64decode(shown[0])).hexdigest()
            Path(target, f"{name}.png").write_bytes(draw_dark(figure, **options))
        return shown

    shell.display_formatter.formatters["image/png"].for_type(Figure, draw)
