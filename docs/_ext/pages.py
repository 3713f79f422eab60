"""What the site knows of a page from its source alone: front matter, prose and code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myst_nb.core.read import read_myst_markdown_notebook

__all__ = ["Page", "read_code", "read_notebook", "read_page", "read_pages", "used_names"]

PACKAGE = "radon_gallery"
LEVELS = ("introductory", "intermediate", "advanced")

#: Words of prose and lines of code that a reader takes in in a minute.
WORDS, LINES = 200, 25


@dataclass(frozen=True)
class Page:
    """A page of the gallery; `figure` is the label of the figure that stands for it."""

    docname: str
    title: str
    description: str
    level: str
    category: str
    goals: tuple[str, ...]
    tags: tuple[str, ...]
    figure: str
    minutes: int
    code: tuple[str, ...]


def read_notebook(path: Path) -> Any:
    """Return a MyST Markdown page as a notebook without outputs."""
    return read_myst_markdown_notebook(path.read_text(encoding="utf8"), path=path)


def read_code(path: Path) -> tuple[str, ...]:
    """Return the code cells of a MyST Markdown page, in order."""
    return tuple(cell.source for cell in read_notebook(path).cells if cell.cell_type == "code")


def read_page(path: Path, docname: str) -> Page:
    """Read a page of the gallery.

    Parameters
    ----------
    path : Path
        A MyST Markdown file with a ``gallery`` entry in its front matter.
    docname : str
        Its name within the site.

    Raises
    ------
    ValueError
        If the front matter lacks an entry or holds one of the wrong kind, or the page no title.
    """
    notebook = read_notebook(path)
    entry = notebook.metadata.get("gallery", {})
    kinds: dict[str, type] = dict.fromkeys(("description", "level", "category", "figure"), str)
    kinds |= dict.fromkeys(("goals", "tags"), list)
    for name, kind in kinds.items():
        if not isinstance(entry.get(name), kind) or not entry[name]:
            raise ValueError(
                f"{path.name}: expected `gallery: {name}:` in the front matter to be a "
                f"{'list' if kind is list else 'text'}, got {entry.get(name)!r}."
            )
    if entry["level"] not in LEVELS:
        raise ValueError(
            f"{path.name}: expected `gallery: level:` to be one of {', '.join(LEVELS)}, "
            f"got {entry['level']!r}."
        )
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    if title is None:
        raise ValueError(f"{path.name}: expected a title, a line that begins with `# `.")
    code = tuple(cell.source for cell in notebook.cells if cell.cell_type == "code")
    seen = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
    ]
    lines = sum(1 for line in "\n".join(seen).splitlines() if line.strip())
    return Page(
        docname=docname,
        title=title[1],
        description=entry["description"],
        level=entry["level"],
        category=entry["category"],
        goals=tuple(entry["goals"]),
        tags=tuple(entry["tags"]),
        figure=entry["figure"],
        minutes=round(len(re.findall(r"[^\W\d_]{2,}", text)) / WORDS + lines / LINES),
        code=code,
    )


def read_pages(folder: Path) -> dict[str, Page]:
    """Return the pages of a folder, by name within the site, in reading order."""
    names = {f"{folder.name}/{path.stem}": path for path in sorted(folder.glob("*.md"))}
    return {name: read_page(path, name) for name, path in names.items()}


def used_names(code: Iterable[str]) -> set[str]:
    """Return what code uses of the package, as full names such as ``radon_gallery.data.Rows``.

    A name counts if it is imported and then used. Attributes are followed, so that the modules
    and whatever hangs on a name are in the set too; the reference knows which it describes.
    """
    trees = [ast.parse(cell) for cell in code]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    known: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            known |= {of.asname or of.name: f"{node.module}.{of.name}" for of in node.names}
        elif isinstance(node, ast.Import):
            ours = [of for of in node.names if of.name.split(".")[0] == PACKAGE]
            known |= {of.asname or PACKAGE: of.name if of.asname else PACKAGE for of in ours}
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            found |= {_full_name(node, known)}
    return found - {""}


def _full_name(node: Any, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if not isinstance(node, ast.Attribute):
        return ""
    owner = _full_name(node.value, known)
    return f"{owner}.{node.attr}" if owner else ""
