"""Join the sites of two editions: `python join_editions.py Aesara=FOLDER PyTensor=FOLDER TARGET`.

The first edition becomes the root of the target, the other a folder below it. On each page a link
to the same page of the other edition takes the place that the template keeps for it. Links are
relative, so the site works over http, under any address, and from the disk.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

PLACE = "<!-- other edition -->"
HOME = "index.html"


def join_editions(sites: Mapping[str, Path], target: Path) -> None:
    """Copy two sites into `target` and link their pages.

    Parameters
    ----------
    sites : mapping of str to Path
        The built site of each edition by the edition's title, the one for the root first.
    target : Path
        Folder of the joined site; what was there before is deleted.

    Raises
    ------
    FileNotFoundError
        If a site has not been built.
    """
    for title, site in sites.items():
        if not (site / HOME).is_file():
            raise FileNotFoundError(f"the {title} edition is not built: {site / HOME} is missing.")
    first, second = sites
    roots = {first: target, second: target / second.lower()}
    # Links are made from what each site has by itself: the second lies within the first's root.
    pages = {
        title: {path.relative_to(site) for path in site.rglob("*.html")}
        for title, site in sites.items()
    }
    shutil.rmtree(target, ignore_errors=True)
    for title, site in sites.items():
        shutil.copytree(site, roots[title], ignore=shutil.ignore_patterns(".*"))
    for here, other in ((first, second), (second, first)):
        for page in pages[here]:
            counterpart = page if page in pages[other] else Path(HOME)
            path = roots[here] / page
            href = Path(os.path.relpath(roots[other] / counterpart, path.parent)).as_posix()
            told = "This page" if counterpart == page else "The gallery"
            link = f'<a href="{href}" title="{told} in the {other} edition">{other}</a>'
            path.write_text(path.read_text(encoding="utf-8").replace(PLACE, link), encoding="utf-8")


if __name__ == "__main__":
    *named, folder = sys.argv[1:]
    join_editions(
        {title: Path(path) for title, path in (one.split("=") for one in named)}, Path(folder)
    )
