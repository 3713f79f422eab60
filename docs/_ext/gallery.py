"""What this site needs beyond Sphinx: the pages, the cache of their runs, citations."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]+)(?:, ([^]]+))?\]")


def copy_pages(source: Path, target: Path) -> None:
    """Make `target` hold the files of `source` and nothing else.

    A file whose content is the same is left alone, so that Sphinx does not read it again.
    """
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    present = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
    for name in present - wanted:
        (target / name).unlink()
    for name in sorted(wanted):
        content = (source / name).read_bytes()
        copy = target / name
        if name not in present or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def cache_key(*roots: Path) -> str:
    """Return a digest of all that decides a page's outputs, apart from the page itself.

    Parameters
    ----------
    *roots : Path
        Files, or folders read whole: the package with its data, the lock, the kernel's settings.

    Returns
    -------
    str
        Sixteen hexadecimal digits; they depend on names and contents, not on times or places.

    Raises
    ------
    FileNotFoundError
        If a root is missing: a key that leaves something out would let stale outputs pass.
    """
    digest = hashlib.sha256(platform.python_version().encode())
    for root in roots:
        if not root.exists():
            raise FileNotFoundError(f"The cache's key needs {root}, which does not exist.")
        for path in [root] if root.is_file() else _sources(root):
            name = path.relative_to(root.parent).as_posix()
            for part in (name.encode(), path.read_bytes()):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]


def open_cache(build: Path, key: str) -> Path:
    """Create the cache of executed pages for `key` and drop those of other keys.

    Made here, once: pages that are read in parallel would race to create it.
    """
    from jupyter_cache import get_cache

    cache = build / f"cache-{key}"
    for old in build.glob("cache-*"):
        if old != cache:
            shutil.rmtree(old)
    cache.mkdir(parents=True, exist_ok=True)
    _ = get_cache(cache).db
    return cache


def vendor_mathjax(target: Path) -> tuple[str, dict[str, Any]]:
    """Copy what the pages need of MathJax from its wheel to `target`.

    One file with everything would weigh three times as much.

    Returns
    -------
    path : str
        The file that a page loads.
    settings : dict
        What MathJax is told.
    """
    wheel = distribution("sphinx-mathjax-offline")
    source = Path(str(wheel.locate_file("sphinx-mathjax-offline/static/mathjax")))
    parts = ["core", "input/tex-base", "[tex]/ams", "output/chtml", "a11y/assistive-mml"]
    files = [f"{part.replace('[tex]', 'input/tex/extensions')}.js" for part in parts]
    fonts = [path.relative_to(source) for path in source.glob("output/chtml/fonts/woff-v2/*")]
    for name in ("startup.js", "output/chtml/fonts/tex.js", *files, *fonts):
        copy = target / "mathjax" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, copy)
    return "mathjax/startup.js", {
        "loader": {"load": parts},
        "tex": {"packages": ["base", "ams"]},
    }


def link_citations(
    _app: Any, _what: str, _name: str, _obj: Any, _opt: Any, lines: list[str]
) -> None:
    """Turn ``[kucukelbir2017automatic, section 2]`` into a link to the bibliography."""

    def cite(found: re.Match[str]) -> str:
        key, place = found.groups()
        return f":cite:p:`{key}{{{place}}}`" if place else f":cite:p:`{key}`"

    lines[:] = [CITATION.sub(cite, line) for line in lines]


def skip_undescribed(
    _app: Any, _what: str, _name: str, obj: Any, _skip: bool, _opt: Any
) -> bool | None:
    """Leave out a named tuple's fields, which its own docstring describes."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field") else None


def drop_roles(_app: Any, _page: str, _template: str, context: Any, _doctree: Any) -> None:
    """Leave out the roles that docutils gives to bibliographies and that are no longer allowed."""
    if "citation-list" in context.get("body", ""):
        context["body"] = re.sub(r' role="(doc-biblioentry|list)"', "", context["body"])


def drop_stale_pages(html: Path, documents: Iterable[str]) -> None:
    """Delete built pages whose source is gone, which Sphinx would leave for readers to find."""
    known = set(documents)
    for page in (html / "examples").glob("*.html"):
        if f"examples/{page.stem}" not in known:
            page.unlink()


def _sources(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
