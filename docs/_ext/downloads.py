"""Each page to take away: an executed notebook, a script and the source, beside its HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runs import read_outputs

from radon_gallery._pages import FORMATS, convert_page

LABELS = {"ipynb": "Notebook", "py": "Script", "md": "Markdown"}
FOLDER = "examples"


def setup(app: Any) -> dict[str, bool]:
    """Write the files after a build, and let each page's template link to them."""
    app.connect("html-page-context", link_downloads)
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def link_downloads(
    _app: Any, pagename: str, _template: str, context: dict[str, Any], _doctree: Any
) -> None:
    """Give the template the label and the file of each format; the files lie beside the page."""
    folder, _, name = pagename.rpartition("/")
    if folder == FOLDER:
        context["downloads"] = [(LABELS[to], f"{name}.{to}") for to in FORMATS]


def write_downloads(app: Any, error: Exception | None) -> None:
    """Write every page's files; the outputs are those of the run that the site shows.

    All are made at every build, which takes a second or two, so none can be out of date.
    """
    if error or app.builder.name != "html":
        return
    cache = Path(app.config.nb_execution_cache_path)
    target = Path(app.outdir, FOLDER)
    wanted = set()
    for document in sorted(app.env.found_docs):
        folder, _, name = document.rpartition("/")
        if folder != FOLDER:
            continue
        source = Path(app.env.doc2path(document))
        executed = read_outputs(source, cache)
        for to in FORMATS:
            file = target / f"{name}.{to}"
            file.write_text(convert_page(source, to, executed=executed), encoding="utf-8")
            wanted.add(file)
    for to in FORMATS:
        for stale in set(target.glob(f"*.{to}")) - wanted:
            stale.unlink()
