"""Pictures of pages: a card's thumbnail, light and dark, and the image for social previews."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

__all__ = ["SOCIAL", "Figure", "find_figure", "make_social_image", "make_thumbnail"]

THUMBNAIL = (640, 360)  # twice the size at which a card shows it
SOCIAL = (1200, 630)  # what the networks ask for
MARGIN = 24


@dataclass(frozen=True)
class Figure:
    """A figure of a page as it was drawn: PNG files for light and dark pages, and its alt text."""

    light: Path
    dark: Path
    alt: str


def find_figure(notebook: Any, label: str | None, images: Path, dark: Path) -> Figure | None:
    """Return the figure that a page shows under `label`, or its first where no label is given.

    Parameters
    ----------
    notebook : NotebookNode
        The page with its outputs.
    label : str or None
        The ``name`` that the cell gives its figure.
    images, dark : Path
        Folders of the drawings for light and for dark pages, named by the digest of the former.

    Returns
    -------
    Figure or None
        None if the page shows no such figure.
    """
    for cell in notebook.cells:
        about = cell.metadata.get("mystnb", {})
        if label is not None and about.get("figure", {}).get("name") != label:
            continue
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png is not None:
                name = f"{hashlib.sha256(b64decode(png)).hexdigest()}.png"
                return Figure(images / name, dark / name, about.get("image", {}).get("alt", ""))
    return None


def make_thumbnail(figure: Path, folder: Path) -> str:
    """Write a small version of `figure` to `folder`, once, and return the file's name."""
    name = f"{figure.parent.name}-{figure.stem[:16]}.webp"
    return _fit(figure, folder / name, THUMBNAIL, lossless=True, method=6)


def make_social_image(figure: Path, folder: Path) -> str:
    """Write `figure` in the networks' format to `folder`, once, and return the file's name."""
    return _fit(figure, folder / f"social-{figure.stem[:16]}.png", SOCIAL, optimize=True)


def _fit(figure: Path, target: Path, size: tuple[int, int], **options: Any) -> str:
    """Centre the whole figure on a ground of the colour of its own corner."""
    if not target.exists():
        with Image.open(figure) as image:
            drawn = image.convert("RGB")
        ground = Image.new("RGB", size, drawn.getpixel((0, 0)))
        fitted = ImageOps.contain(drawn, (size[0] - MARGIN, size[1] - MARGIN))
        corner = tuple((of - by) // 2 for of, by in zip(size, fitted.size, strict=True))
        ground.paste(fitted, corner)
        target.parent.mkdir(parents=True, exist_ok=True)
        ground.save(target, **options)
    return target.name
