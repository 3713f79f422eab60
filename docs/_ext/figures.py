"""What the site changes in a page's outputs and nothing in its code.

Each figure stands there twice, for light and for dark pages; code that only draws is folded; the
tables that pandas writes have no empty headings.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

__all__ = ["fold_cells", "mend_tables", "pair_figures", "setup"]

DRAWING = re.compile(r"[0-9a-f]{64}\.png")

#: Lines of code that draw a figure and of printed output above which they are folded.
LONG_CODE, LONG_OUTPUT = 3, 24

SHOW_CODE = "Code of this figure"
SHOW_OUTPUT = "Output, {lines} lines"


class MendOutputs(SphinxTransform):
    """Change the outputs of a page before its figures are collected."""

    default_priority = 210

    def apply(self, **_options: Any) -> None:
        """Do all that this module is about."""
        pair_figures(self.document, Path(self.config.gallery_cache, "dark"), self.env.srcdir)
        fold_cells(self.document)
        mend_tables(self.document)


def pair_figures(document: nodes.document, folder: Path, source: Path) -> None:
    """Put each figure's drawing for dark pages beside that for light ones.

    Parameters
    ----------
    document : nodes.document
        The page.
    folder : Path
        Where the kernel left the drawings, under the names that the light ones have.
    source : Path
        The folder from which Sphinx counts.

    Raises
    ------
    ExtensionError
        If a figure has no drawing for dark pages.
    """
    for light in list(document.findall(nodes.image)):
        name = light["uri"].rsplit("/", 1)[-1]
        if not DRAWING.fullmatch(name):
            continue
        if not (folder / name).exists():
            raise ExtensionError(
                f"{document['source']}: a figure has no drawing for dark pages, so it is not "
                f"from a run of this site's kernel. Delete {folder.parent} and build again."
            )
        light["loading"] = "lazy"
        dark = light.deepcopy()
        dark["ids"], dark["names"] = [], []
        dark["uri"] = "/" + os.path.relpath(folder / name, source).replace(os.sep, "/")
        # `dark-light` keeps the theme from laying a light ground under the image.
        light["classes"] += ["on-light", "dark-light"]
        dark["classes"] += ["on-dark", "dark-light"]
        light.parent.insert(light.parent.index(light) + 1, dark)


def fold_cells(document: nodes.document) -> None:
    """Fold the code of a figure and printed output where they are long.

    Here cells are marked; MyST-NB folds them when the page is written.
    """
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") != "cell_code" or cell.get("hide_mode"):
            continue
        parts = {part.get("nb_element"): part for part in cell.children}
        source, output = parts.get("cell_code_source"), parts.get("cell_code_output")
        if source is None or output is None:
            continue
        lines = _count_lines(output)
        cell["prompt_hide"] = ""
        if "figure" in cell["cell_metadata"].get("mystnb", {}):
            if source.astext().count("\n") + 1 > LONG_CODE:
                cell["hide_mode"], cell["prompt_show"] = "input", SHOW_CODE
        elif lines > LONG_OUTPUT:
            cell["hide_mode"], cell["prompt_show"] = "output", SHOW_OUTPUT.format(lines=lines)


def _count_lines(output: nodes.Element) -> int:
    """Return the lines of the longest text or table that is shown."""
    counts = [0]
    for part in output.findall(lambda node: isinstance(node, nodes.literal_block | nodes.raw)):
        if part.get("format") == "html":
            counts.append(part.astext().count("<tr"))
        elif not any(form.get("mime_type") == "text/html" for form in part.parent.parent.children):
            counts.append(part.astext().count("\n") + 1)  # else the table stands in its stead
    return max(counts)


def mend_tables(document: nodes.document) -> None:
    """Turn the empty headings in pandas' tables into plain cells, which screen readers skip."""
    for raw in document.findall(nodes.raw):
        if raw.get("format") == "html" and "dataframe" in raw.astext():
            html = re.sub(r"<th([^>]*)></th>", r"<td\1></td>", raw.astext())
            raw[:] = [nodes.Text(html)]
            raw.rawsource = html


def _open_fold(translator: Any, node: HideCodeCellNode) -> None:
    prompt = translator.encode(node["prompt_show"])
    translator.body.append(f'<details class="folded"><summary>{prompt}</summary>\n')


def _close_fold(translator: Any, _node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def setup(app: Any) -> dict[str, bool]:
    """Add the transforms, and folds whose label is the text that one sees."""
    app.add_config_value("gallery_cache", "", "env", str)
    app.add_transform(MendOutputs)
    app.add_node(HideCodeCellNode, override=True, html=(_open_fold, _close_fold))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
