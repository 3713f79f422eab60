"""The gallery's pages as a reader takes them away: notebook, script or Markdown.

A page is written in MyST Markdown, part of which only the site understands. In a notebook or a
script that part becomes plain text: citations are spelled out, equations carry their
numbers, and the numbers that the page computed stand where the site would show them.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["FORMATS", "Page", "convert_page", "find_pages", "glued_numbers", "read_page"]

#: What a page can be had as, by the end of the file's name.
FORMATS = ("ipynb", "py", "md")

_PACKAGE = Path(__file__).resolve().parent
_PLT = "import matplotlib.pyplot as plt"
_SAMPLER = "sample_nuts("
_RUN_ONCE = """\
# Chains may run in processes of their own, which look for this file: they must not run it again.
globals().pop("__file__", None)"""
_SITE_ONLY = "remove-cell"  # the cells that hand numbers to the prose
_CITATION = re.compile(r"\{(?:foot)?cite:([pt])\}`([^`]+)`")
_GLUE = re.compile(r"\{glue:text\}`([^`:]+):?([^`]*)`")
_EQUATION = re.compile(r"\$\$ \((eq-[\w-]+)\)$", re.MULTILINE)
_EQUATION_REFERENCE = re.compile(r"\{eq\}`([^`]+)`")
_LINK = re.compile(r"\]\((\d\d_\w+)\.md\)")
_SITE_LINK = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")  # to what is not taken along
_ORIGIN = (
    "From the Radon Gallery. To run this you need the package `radon-gallery` and PyMC; "
    "`radon-gallery doctor` tells what is missing."
)
_NOT_RUN = "Names in brackets stand for numbers that the page computes; the site shows them."
_REFERENCES = re.compile(r"```\{footbibliography\}\s*```")


@dataclass(frozen=True)
class Page:
    """A page of the gallery.

    Attributes
    ----------
    path : Path
        The page's source, in MyST Markdown.
    name : str
        Name of the file without its ending, such as ``04_minibatch_advi``.
    title : str
        The page's heading.
    description : str
        What the page promises, in one sentence.
    """

    path: Path
    name: str
    title: str
    description: str


def find_pages() -> list[Page]:
    """Return the gallery's pages in reading order."""
    return [_describe(path) for path in sorted(_folder().glob("[0-9][0-9]_*.md"))]


def read_page(path: Path) -> NotebookNode:
    """Return a page as a notebook without outputs, its text still in MyST Markdown."""
    import jupytext

    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="md:myst")


def glued_numbers(notebook: NotebookNode) -> dict[str, Any]:
    """Return what an executed page handed to its prose, by name."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    glued = (output for output in outputs if "scrapbook" in output.get("metadata", {}))
    return {
        output.metadata.scrapbook.name: ast.literal_eval(text)
        for output in glued
        for mime, text in output.data.items()
        if mime.endswith("text/plain")
    }


def convert_page(path: Path, to: str, *, executed: NotebookNode | None = None) -> str:
    """Return the text of a page in one of `FORMATS`.

    Parameters
    ----------
    path : Path
        The page's source.
    to : str
        ``"ipynb"``, ``"py"`` or ``"md"``; the last is the source itself.
    executed : NotebookNode, optional
        The page with its outputs. Without it the notebook has none, and the text names in
        brackets the numbers that the page computes.

    Returns
    -------
    str
        The file's text, ending in a line break.

    Raises
    ------
    ValueError
        If the format is unknown.
    """
    if to not in FORMATS:
        raise ValueError(f"unknown format {to!r}; choose one of {', '.join(FORMATS)}.")
    if to == "md":
        return path.read_text(encoding="utf-8")
    import nbformat

    notebook = _plain(executed or read_page(path), to)
    return _script(notebook) if to == "py" else nbformat.writes(notebook) + "\n"


def _folder() -> Path:
    """Return where the pages lie: in the installed package, or in the project's clone."""
    shipped = _PACKAGE / "_examples"
    return shipped if shipped.exists() else _PACKAGE.parents[1] / "examples"


@cache
def _bibliography() -> Any:
    from pybtex.database import parse_file

    shipped = _folder() / "references.bib"
    path = shipped if shipped.exists() else _PACKAGE.parents[1] / "docs" / "references.bib"
    return parse_file(str(path), bib_format="bibtex")


def _describe(path: Path) -> Page:
    notebook = read_page(path)
    heading = re.search(r"^# (.+)$", notebook.cells[0].source, re.MULTILINE)
    title = heading[1].replace("`", "") if heading else path.stem
    return Page(path, path.stem, title, notebook.metadata["gallery"]["description"])


def _plain(notebook: NotebookNode, to: str) -> NotebookNode:
    """Return a notebook that needs neither the site nor its extensions."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    numbers = glued_numbers(notebook)
    cited = [
        key
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for _, keys in _CITATION.findall(cell.source)
        for key in keys.split(",")
    ]
    references = _list_references(sorted(set(cited)))
    labels = [label for cell in notebook.cells for label in _EQUATION.findall(cell.source)]
    equations = {label: number for number, label in enumerate(labels, start=1)}
    cells = [new_markdown_cell(_wrap(_ORIGIN if numbers else f"{_ORIGIN} {_NOT_RUN}"))]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = _number_equations(cell.source, equations)
            cells.append(new_markdown_cell(_plain_text(text, to, numbers, references)))
        elif _SITE_ONLY not in cell.metadata.get("tags", ()):
            kept = {key: cell[key] for key in ("execution_count", "outputs") if key in cell}
            cells.append(new_code_cell(cell.source, **kept))
            if caption := cell.metadata.get("mystnb", {}).get("figure", {}).get("caption"):
                cells.append(new_markdown_cell(_wrap(f"*{caption.strip()}*")))
    for number, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{number}"  # nbformat's own are random
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": language})


def _plain_text(text: str, to: str, numbers: Mapping[str, Any], references: str) -> str:
    """Return the text without the site's own marks."""
    text = _GLUE.sub(lambda found: _show_number(numbers, *found.groups()), text)
    text = _CITATION.sub(lambda found: _cite(*found.groups()), text)
    text = _LINK.sub(rf"](\1.{to})", text)
    text = _SITE_LINK.sub(r"\1", text)
    return _REFERENCES.sub(lambda _: references, text)


def _number_equations(text: str, equations: Mapping[str, int]) -> str:
    """Return the text with its equations numbered as on the site."""
    text = _EQUATION.sub(lambda found: rf"\tag{{{equations[found[1]]}}}" "\n$$", text)
    return _EQUATION_REFERENCE.sub(lambda found: f"({equations[found[1]]})", text)


def _show_number(numbers: Mapping[str, Any], name: str, spec: str) -> str:
    return format(numbers[name], spec) if name in numbers else f"[{name}]"


def _cite(kind: str, keys: str) -> str:
    """Return citations as text: in parentheses (p) or as part of the sentence (t)."""
    labels = [_label(key.strip()) for key in keys.split(",")]
    if kind == "p":
        return f"({'; '.join(f'{names}, {year}' for names, year in labels)})"
    return "; ".join(f"{names} ({year})" for names, year in labels)


def _label(key: str) -> tuple[str, str]:
    entry = _bibliography().entries[key]
    names = [_unescape(" ".join(author.last_names)) for author in entry.persons["author"]]
    if len(names) > 2:
        names = [f"{names[0]} et al."]
    return " and ".join(names), entry.fields["year"]


def _unescape(latex: str) -> str:
    from pybtex.richtext import Text

    return str(Text.from_latex(latex))


def _list_references(keys: Sequence[str]) -> str:
    """Return a Markdown list of the works, in the order of the keys."""
    from pybtex.plugin import find_plugin

    style = find_plugin("pybtex.style.formatting", "plain")()
    backend = find_plugin("pybtex.backends", "plaintext")()
    entries = style.format_entries([_bibliography().entries[key] for key in keys])
    texts = [entry.text.render(backend) for entry in entries]
    return "\n".join(_wrap(f"- {text}", hanging="  ") for text in texts)


def _wrap(text: str, *, hanging: str = "") -> str:
    return textwrap.fill(
        text, 98, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _script(notebook: NotebookNode) -> str:
    """Return the notebook as a script that prints and shows what the notebook would."""
    import jupytext
    from nbformat.v4 import new_code_cell

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.source = _print_last(cell.source)
    if any(_SAMPLER in cell.source for cell in code):
        notebook.cells.insert(notebook.cells.index(code[0]), new_code_cell(_RUN_ONCE))
    notebook.metadata = {"jupytext": {"notebook_metadata_filter": "-all"}}
    text: str = jupytext.writes(notebook, fmt="py:percent")
    # A notebook shows figures as they are made; a script keeps them all for the end.
    show = ["plt.show()"] if _PLT in text else [_PLT, "", "plt.show()"]
    return "\n".join([text, "# %%", *show, ""])


def _print_last(code: str) -> str:
    """Print the value of the last expression, as a notebook would; a semicolon keeps it quiet."""
    code = code.rstrip()
    last = ast.parse(code).body[-1]
    if code.endswith(";") or not isinstance(last, ast.Expr):
        return code.removesuffix(";")
    lines = code.splitlines(keepends=True)
    before, rest = lines[: last.lineno - 1], "".join(lines[last.lineno - 1 :])
    value = ast.get_source_segment(code, last) or rest
    return "".join([*before, f"print({value})", rest[len(value) :]])
