"""What one document of the site tells of others: cards, the table of runs, who uses what.

None of it can be known while a document is read, because the pages it speaks of may still have to
run. So directives leave a place, which is filled when documents are written. After every reading
each document's share is compared with what was last written; where it differs the document is
written again, and nothing else is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from cards import SOCIAL, Figure, find_figure, make_social_image, make_thumbnail
from docutils import nodes
from pages import Page, read_code, read_pages, used_names
from runs import Run, check_runs, describe_run, read_outputs
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

__all__ = ["Site", "setup"]

PICTURES = "_images/cards"


class Place(nodes.General, nodes.Element):
    """A place that is filled when its document is written; `kind` says with what."""


class PlaceDirective(SphinxDirective):
    """Leave a place for what is known once all pages have run."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the place, and note that the document has one of this kind."""
        self.env.metadata[self.env.docname].setdefault("places", set()).add(self.name)
        return [Place(kind=self.name, of=self.arguments[0] if self.arguments else None)]


class Site:
    """All that is known of the pages once every document has been read."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC).replace(microsecond=0)
        self.pages: dict[str, Page] = {}
        self.runs: dict[str, Run] = {}
        self.figures: dict[str, Figure] = {}
        self.uses: dict[str, set[str]] = {}

    def gather(self, app: Any, env: Any) -> list[str]:
        """Learn of all pages; return the documents that have to be written again."""
        if app.builder.format != "html":
            return []
        executed = Path(env.mystnb_config.output_folder)
        ran = {name for name, of in env.nb_metadata.items() if of.get("exec_data")}
        sources = {name: Path(env.doc2path(name)) for name in sorted(ran & env.found_docs)}
        sources = {name: path for name, path in sources.items() if read_code(path)}
        cache = Path(app.config.gallery_cache)
        try:
            self.pages = read_pages(Path(app.srcdir, "examples"))
            if forgotten := self.pages.keys() - sources.keys():
                raise LookupError(f"Not executed, for want of a kernel: {', '.join(forgotten)}.")
            self.runs = check_runs(sources, executed, cache, app.config.gallery_key)
            for name in sources:
                page, notebook = self.pages.get(name), read_outputs(sources[name], cache)
                figure = find_figure(notebook, page and page.figure, executed, cache / "dark")
                if figure is not None:
                    self.figures[name] = figure
                elif page is not None:
                    raise LookupError(f"{name}: it shows no figure named {page.figure!r}.")
        except (LookupError, ValueError) as error:
            raise ExtensionError(str(error)) from error
        self.uses = {name: used_names(read_code(path)) for name, path in sources.items()}
        self.paint(Path(app.outdir, PICTURES))

        shown = {name: repr(self.share(env, name)) for name in env.found_docs}
        before = getattr(env, "gallery_shown", {})
        env.gallery_shown = shown
        return sorted(name for name in shown if before.get(name) != shown[name])

    def share(self, env: Any, name: str) -> Any:
        """Return all that a document shows and that does not stand in its own source."""
        kinds = env.metadata[name].get("places", set())
        everything = [self.pages, self.runs, self.figures] if kinds - {"used-on"} else []
        own = [self.runs.get(name), self.is_fresh(name), sorted(self.uses.get(name, []))]
        described = [obj for obj, at in reference(env).items() if at.docname == name]
        users = {obj: [(of, self.pages[of].title) for of in self.users(obj)] for obj in described}
        return everything, own, users

    def is_fresh(self, name: str) -> bool:
        """Whether a page was executed in this build."""
        return name in self.runs and self.runs[name].started >= self.began

    def users(self, obj: str) -> list[str]:
        """Return the pages that use an object of the package, in reading order."""
        return [name for name in self.pages if obj in self.uses.get(name, ())]

    def paint(self, folder: Path) -> None:
        """Write the small pictures."""
        for figure in self.figures.values():
            make_social_image(figure.light, folder)
        for name in self.pages:
            make_thumbnail(self.figures[name].light, folder)
            make_thumbnail(self.figures[name].dark, folder)

    def fill(self, app: Any, doctree: nodes.document, docname: str) -> None:
        """Fill the places of a document."""
        if app.builder.format != "html":
            return
        link = partial(app.builder.get_relative_uri, docname)
        render = app.builder.templates.render
        if docname in self.pages:
            number = list(self.pages).index(docname) + 1
            facts = {"number": number, "page": self.pages[docname], "run": self.runs[docname]}
            byline = nodes.raw("", render("byline.html", facts), format="html")
            title = doctree.next_node(nodes.title)
            title.parent.insert(title.parent.index(title) + 1, byline)
        for place in list(doctree.findall(Place)):
            if place["kind"] == "used-on":
                place.replace_self(self.list_users(app, place["of"], link))
                continue
            template = {"gallery-cards": "cards.html", "gallery-runs": "runs.html"}[place["kind"]]
            html = render(template, {"cards": self.cards(docname, link)})
            place.replace_self(nodes.raw("", html, format="html"))

    def list_users(self, app: Any, obj: str, link: Any) -> list[nodes.Node]:
        """Return a line that names the pages that use an object, or nothing."""
        users = self.users(obj)
        if not users:
            return []
        line = nodes.paragraph("", "Used on: ", classes=["used-on"])
        for name in users:
            title = app.env.titles[name]
            reference = nodes.reference("", "", internal=True, refuri=link(name))
            reference += [child.deepcopy() for child in title.children]
            line += [reference, nodes.Text(", " if name != users[-1] else "")]
        return [line]

    def cards(self, docname: str, link: Any) -> list[dict[str, Any]]:
        """Return what the templates show of each page, in reading order."""
        up = "../" * (len(PurePosixPath(docname).parts) - 1) + PICTURES
        return [
            {
                "page": page,
                "title": re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(page.title)),
                "href": link(name),
                "run": self.runs[name],
                "alt": self.figures[name].alt,
                "light": f"{up}/{thumbnail_name(self.figures[name].light)}",
                "dark": f"{up}/{thumbnail_name(self.figures[name].dark)}",
            }
            for name, page in self.pages.items()
        ]

    def describe(
        self, app: Any, pagename: str, _template: str, context: dict[str, Any], _doctree: Any
    ) -> None:
        """Give the templates of a document its run, the functions it uses and its picture."""
        if app.builder.format != "html":
            return
        link = partial(app.builder.get_relative_uri, pagename)
        known = reference(app.env)
        used = sorted(self.uses.get(pagename, set()) & set(known))
        context["functions"] = [
            (obj.removeprefix("radon_gallery."), f"{link(known[obj].docname)}#{known[obj].node_id}")
            for obj in used
            if known[obj].objtype != "module"
        ]
        context["page"] = self.pages.get(pagename)
        if pagename in self.runs:
            fresh = self.is_fresh(pagename)
            context["run_line"] = describe_run(self.runs[pagename], fresh=fresh)
        figure = self.figures.get(pagename) or self.figures.get(app.config.root_doc)
        if figure is not None:
            picture = f"{PICTURES}/social-{figure.light.stem[:16]}.png"
            preview = {"og:image": picture, "og:image:alt": figure.alt}
            preview |= zip(("og:image:width", "og:image:height"), map(str, SOCIAL), strict=True)
            if pagename in self.pages:
                preview["og:description"] = self.pages[pagename].description
            context["meta"] = {**(context.get("meta") or {}), **preview}


def thumbnail_name(figure: Path) -> str:
    """Return the name under which `make_thumbnail` writes a figure."""
    return f"{figure.parent.name}-{figure.stem[:16]}.webp"


def reference(env: Any) -> dict[str, Any]:
    """Return the objects of the package that the reference describes, by full name."""
    return env.domains["py"].objects


def add_users(_app: Any, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Leave a place in an entry of the reference for the pages that use it."""
    if what in {"class", "data", "exception", "function"}:
        lines += ["", f".. used-on:: {name}", ""]


def setup(app: Any) -> dict[str, bool]:
    """Add the directives, and the steps that gather, fill and describe."""
    app.add_config_value("gallery_key", "", "env", str)
    app.add_node(Place)
    for name in ("gallery-cards", "gallery-runs", "used-on"):
        app.add_directive(name, PlaceDirective)
    site = Site()
    app.connect("autodoc-process-docstring", add_users, priority=900)  # after numpydoc
    app.connect("env-updated", site.gather)
    app.connect("doctree-resolved", site.fill)
    app.connect("html-page-context", site.describe, priority=400)  # before the preview's tags
    return {"parallel_read_safe": True, "parallel_write_safe": True}
