"""Pictures of pages: a card's thumbnail, light and dark, and the image for social previews."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["Figure", "find_figure", "make_social_image", "make_thumbnail"]

THUMBNAIL = (640, 360)  # twice the size at which a card shows it
SOCIAL = (1200, 630)  # what the networks ask for


@dataclass(frozen=True)
class Figure:
    """A figure of a page as it was drawn: PNG files for light and dark pages, and its alt text."""

    light: Path
    dark: Path
    alt: str


def find_figure(notebook: Any, label: str | None, images: Path, dark: Path) -> Figure:
    """Return the figure that a page shows under `label`, or its first where that is None.

    Parameters
    ----------
    notebook : NotebookNode
        The page with its outputs.
    label : str or None
        The ``name`` that the cell gives its figure.
    images, dark : Path
        Folders of the drawings for light and for dark pages, named by the digest of the former.

    Raises
    ------
    LookupError
        If the page shows no such figure.
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
    raise LookupError("it shows no figure" + (f" named {label!r}" if label else ""))


def make_thumbnail(figure: Path, folder: Path) -> str:
    """Write a small version of `figure` to `folder`, once, and return the file's name.

    A figure that is taller than the card shows its upper part.
    """
    target = folder / f"{figure.parent.name}-{figure.stem[:16]}.webp"
    if not target.exists():
        with Image.open(figure) as image:
            width, height = THUMBNAIL
            scale = width / image.width
            small = image.convert("RGB").resize((width, round(image.height * scale)))
            small = _pad(small, THUMBNAIL) if small.height < height else small
            folder.mkdir(parents=True, exist_ok=True)
            small.crop((0, 0, width, height)).save(target, quality=88, method=6)
    return target.name


def make_social_image(figure: Path, folder: Path) -> str:
    """Write `figure`, whole, on the networks' format to `folder`, and return the file's name."""
    target = folder / f"social-{figure.stem[:16]}.png"
    if not target.exists():
        with Image.open(figure) as image:
            width, height = SOCIAL
            scale = min((width - 60) / image.width, (height - 60) / image.height)
            size = (round(image.width * scale), round(image.height * scale))
            folder.mkdir(parents=True, exist_ok=True)
            fitted = _pad(image.convert("RGB").resize(size), SOCIAL)
            fitted.quantize(128).save(target, optimize=True)
    return target.name


def _pad(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Centre the image on a ground of the colour of its own corner."""
    ground = Image.new("RGB", size, image.getpixel((0, 0)))
    ground.paste(image, tuple((of - by) // 2 for of, by in zip(size, image.size, strict=True)))
    return ground
