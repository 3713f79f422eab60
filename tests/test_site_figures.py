"""Figures for dark pages: the theme's colours are exchanged, all else is as it was."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba_array
from PIL import Image

from radon_gallery._plot_style import THEMES
from radon_gallery.plots import use_style

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "docs" / "_kernel")]

import cards  # noqa: E402  (found through the line above)
import dark_figures  # noqa: E402

LIGHT, DARK = THEMES["light"], THEMES["dark"]


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    """The pages' own style."""
    with plt.rc_context():
        use_style()
        yield


def test_theme_colours_are_exchanged_and_opacity_kept() -> None:
    light = to_rgba_array([LIGHT.paper, LIGHT.ink, LIGHT.muted, LIGHT.grid, *LIGHT.fits], 0.3)
    dark = to_rgba_array([DARK.paper, DARK.ink, DARK.muted, DARK.grid, *DARK.fits], 0.3)
    np.testing.assert_allclose(dark_figures.darken(light), dark)


def test_greys_run_from_ink_to_paper() -> None:
    greys = to_rgba_array(["0.0", "0.5", "1.0"])
    black, middle, white = dark_figures.darken(greys)[:, :3]
    ink, paper = np.array(to_rgb(DARK.ink)), np.array(to_rgb(DARK.paper))
    np.testing.assert_allclose([black, middle, white], [ink, (ink + paper) / 2, paper])


def test_colours_of_data_stay() -> None:
    colours = plt.get_cmap("viridis")(np.linspace(0, 1, 50))
    np.testing.assert_array_equal(dark_figures.darken(colours), colours)
    assert dark_figures.darken(np.empty((0, 4))).shape == (0, 4)


def read_colours(png: bytes) -> set[tuple[int, ...]]:
    """Return the colours of an image."""
    with Image.open(BytesIO(png)) as image:
        return {of for _, of in image.convert("RGB").getcolors(maxcolors=2**24)}


def in_bytes(colour: str) -> tuple[int, ...]:
    """Return a colour as an image holds it."""
    return tuple(round(255 * of) for of in to_rgb(colour))


def draw_everything() -> plt.Figure:
    """Draw every kind of thing that a page draws."""
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], "o-", linewidth=6, markersize=20, label="line")
    ax.scatter([0.2, 0.5, 0.6], [0.8, 0.8, 0.7], s=[200, 300, 400], c=[LIGHT.fits[1]])
    ax.scatter([0.8], [0.2], s=300, c=[0.5], cmap="viridis", vmin=0, vmax=1)
    ax.fill_between([0, 1], [0, 0], [0.2, 0.2], color=LIGHT.fits[2])
    ax.bar([0.5], [0.3], width=0.1, hatch="/", color=LIGHT.fits[3], edgecolor="k")
    ax.annotate("$x^2$", (0.1, 0.1), (0.3, 0.9), arrowprops={"arrowstyle": "->"}, fontsize=40)
    ax.set(xlabel="x", ylabel="y")
    ax.legend()
    return figure


def test_figure_is_drawn_in_the_dark_themes_colours() -> None:
    figure = draw_everything()
    colours = read_colours(dark_figures.draw_dark(figure, bbox_inches=None))
    viridis = tuple(round(255 * of) for of in plt.get_cmap("viridis")(0.5)[:3])
    for colour in (DARK.paper, DARK.ink, *DARK.fits[:4]):
        assert in_bytes(colour) in colours, colour
    assert any(np.abs(np.subtract(viridis, of)).max() <= 2 for of in colours)
    for colour in (LIGHT.paper, LIGHT.ink, LIGHT.fits[0], LIGHT.fits[1], LIGHT.fits[2]):
        assert in_bytes(colour) not in colours, colour


def test_figure_itself_stays_as_it_is() -> None:
    figure = draw_everything()
    figure.savefig(BytesIO())  # the first drawing settles ticks and layout
    before, canvas = BytesIO(), figure.canvas
    figure.savefig(before)
    dark_figures.draw_dark(figure, bbox_inches=None)
    after = BytesIO()
    figure.savefig(after)
    assert figure.canvas is canvas
    assert before.getvalue() == after.getvalue()


def make_notebook(png: bytes) -> nbformat.NotebookNode:
    """Make a notebook with two cells, the second of which shows a named figure."""
    output = nbformat.v4.new_output("display_data", {"image/png": b64encode(png).decode()})
    about = {"image": {"alt": "A line."}, "figure": {"name": "fig-line"}}
    shown = nbformat.v4.new_code_cell("plot()", outputs=[output], metadata={"mystnb": about})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1"), shown])


@pytest.mark.parametrize("label", ["fig-line", None])
def test_figure_of_a_page_is_found(label: str | None, tmp_path: Path) -> None:
    figure = cards.find_figure(make_notebook(b"png"), label, tmp_path / "images", tmp_path / "dark")
    assert figure.alt == "A line."
    assert figure.light.parent.name == "images"
    assert figure.dark == tmp_path / "dark" / figure.light.name


def test_figure_that_a_page_does_not_show_is_not_found(tmp_path: Path) -> None:
    assert cards.find_figure(make_notebook(b"png"), "fig-other", tmp_path, tmp_path) is None


@pytest.mark.parametrize("size", [(1400, 500), (1400, 2400)], ids=["wide", "tall"])
def test_pictures_show_the_whole_figure(size: tuple[int, int], tmp_path: Path) -> None:
    figure = tmp_path / "light" / f"{'a' * 64}.png"
    figure.parent.mkdir()
    drawn = Image.new("RGB", size, "#14181e")
    drawn.paste("#ff0000", (size[0] - 200, size[1] - 200, size[0], size[1]))
    drawn.save(figure)
    names = cards.make_thumbnail, cards.make_social_image
    for make, wanted in zip(names, (cards.THUMBNAIL, cards.SOCIAL), strict=True):
        with Image.open(tmp_path / "cards" / make(figure, tmp_path / "cards")) as image:
            picture = np.asarray(image.convert("RGB")).astype(int)
        assert picture.shape == (wanted[1], wanted[0], 3)
        assert np.abs(picture[0, 0] - [0x14, 0x18, 0x1E]).max() <= 2
        red = np.count_nonzero((picture[..., 0] > 200) & (picture[..., 1] < 60))
        scale = min((of - cards.MARGIN) / by for of, by in zip(wanted, size, strict=True))
        assert red == pytest.approx((200 * scale) ** 2, rel=0.2)
