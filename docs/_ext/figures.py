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

__all__ = ["FoldCells", "MendTables", "PairFigures", "setup"]

DRAWING = re.compile(r"[0-9a-f]{64}\.png")

#: Lines of code that draw a figure and of printed output above which they are folded.
LONG_CODE, LONG_OUTPUT = 3, 24

SHOW_CODE = "Code of this figure"
SHOW_OUTPUT = "Output, {lines} lines"


class PairFigures(SphinxTransform):
    """Put each figure's drawing for dark pages beside that for light ones."""

    default_priority = 210

    def apply(self, **kwargs: Any) -> None:
        """Add the drawings that the kernel left beside the cache."""
        folder = Path(self.config.gallery_cache, "dark")
        for light in list(self.document.findall(nodes.image)):
            name = light["uri"].rsplit("/", 1)[-1]
            if not DRAWING.fullmatch(name):
                continue
            if not (folder / name).exists():
                raise ExtensionError(
                    f"{self.env.docname}: a figure has no drawing for dark pages, so it is not "
                    f"from a run of this site's kernel. Delete {folder.parent.name} and build again."
                )
            light["loading"] = "lazy"
            dark = light.deepcopy()
            dark["ids"], dark["names"] = [], []
            dark["uri"] = "/" + os.path.relpath(folder / name, self.env.srcdir).replace(os.sep, "/")
            # `dark-light` keeps the theme from laying a light ground under the image.
            light["classes"] += ["on-light", "dark-light"]
            dark["classes"] += ["on-dark", "dark-light"]
            light.parent.insert(light.parent.index(light) + 1, dark)


class FoldCells(SphinxTransform):
    """Fold the code of a figure and printed output where they are long."""

    default_priority = 211

    def apply(self, **kwargs: Any) -> None:
        """Mark the cells; MyST-NB folds them when the page is written."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") != "cell_code" or cell.get("hide_mode"):
                continue
            parts = {part.get("nb_element"): part for part in cell.children}
            source, output = parts.get("cell_code_source"), parts.get("cell_code_output")
            if source is None or output is None:
                continue
            printed = max((of.astext().count("\n") for of in output.findall(nodes.literal_block)), default=0)
            if "figure" in cell["cell_metadata"].get("mystnb", {}):
                if source.astext().count("\n") + 1 > LONG_CODE:
                    cell["hide_mode"], cell["prompt_show"] = "input", SHOW_CODE
            elif printed > LONG_OUTPUT:
                cell["hide_mode"] = "output"
                cell["prompt_show"] = SHOW_OUTPUT.format(lines=printed)
            cell["prompt_hide"] = ""


class MendTables(SphinxTransform):
    """Turn the empty headings in pandas' tables into plain cells, which screen readers skip."""

    default_priority = 212

    def apply(self, **kwargs: Any) -> None:
        """Change the HTML of the outputs."""
        for raw in self.document.findall(nodes.raw):
            if raw.get("format") == "html" and "dataframe" in raw.astext():
                raw[:] = [nodes.Text(re.sub(r"<th([^>]*)></th>", r"<td\1></td>", raw.astext()))]
                raw.rawsource = raw.astext()


def _open_fold(translator: Any, node: HideCodeCellNode) -> None:
    prompt = translator.encode(node["prompt_show"])
    translator.body.append(f'<details class="folded"><summary>{prompt}</summary>\n')


def _close_fold(translator: Any, _node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def setup(app: Any) -> dict[str, bool]:
    """Add the transforms, and folds whose label is the text that one sees."""
    app.add_config_value("gallery_cache", "", "env", str)
    for transform in (PairFigures, FoldCells, MendTables):
        app.add_transform(transform)
    app.add_node(HideCodeCellNode, override=True, html=(_open_fold, _close_fold))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
