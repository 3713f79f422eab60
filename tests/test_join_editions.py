"""The joined site: one click from any page to the same page of the other edition."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("join_editions", ROOT / "tools" / "join_editions.py")
join = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(join)


def build_site(folder: Path, pages: list[str]) -> Path:
    """Write pages as the template leaves them, once in the header and once in the sidebar."""
    for page in pages:
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{page} of {folder.name} {join.PLACE} {join.PLACE}")
    (folder / ".buildinfo").touch()
    return folder


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    common = ["index.html", "api/data.html", "examples/01_a.html"]
    sites = {
        "Aesara": build_site(tmp_path / "old", [*common, "examples/02_only_old.html"]),
        "PyTensor": build_site(tmp_path / "new", [*common, "search.html"]),
    }
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stale.html").touch()
    join.join_editions(sites, tmp_path / "site")
    return tmp_path / "site"


def links(page: Path) -> list[Path]:
    """Return where a page's links lead, from the disk."""
    return [(page.parent / href).resolve() for href in re.findall('href="(.*?)"', page.read_text())]


def test_the_sites_lie_one_below_the_other_and_nothing_else(joined):
    found = {path.relative_to(joined).as_posix() for path in joined.rglob("*") if path.is_file()}
    common = {"index.html", "api/data.html", "examples/01_a.html"}
    assert found == {
        *common,
        *(f"pytensor/{page}" for page in common),
        "examples/02_only_old.html",
        "pytensor/search.html",
    }


@pytest.mark.parametrize("page", ["index.html", "api/data.html", "examples/01_a.html"])
def test_each_page_leads_to_its_counterpart_and_back(joined, page):
    assert links(joined / page) == 2 * [joined / "pytensor" / page]
    assert links(joined / "pytensor" / page) == 2 * [joined / page]
    assert 'title="This page in the PyTensor edition">PyTensor</a>' in (joined / page).read_text()


def test_a_page_without_counterpart_leads_to_the_other_home(joined):
    alone = joined / "examples" / "02_only_old.html"
    assert links(alone) == 2 * [joined / "pytensor" / "index.html"]
    assert 'title="The gallery in the PyTensor edition"' in alone.read_text()
    assert links(joined / "pytensor" / "search.html") == 2 * [joined / "index.html"]


def test_links_are_relative_so_that_they_work_from_the_disk(joined):
    for page in joined.rglob("*.html"):
        assert not re.findall(r'href="(?:/|\w+:)', page.read_text())


def test_a_site_that_is_not_built_is_named_and_nothing_is_deleted(tmp_path):
    site = build_site(tmp_path / "old", ["index.html"])
    target = build_site(tmp_path / "site", ["index.html"])
    with pytest.raises(FileNotFoundError, match="the PyTensor edition is not built"):
        join.join_editions({"Aesara": site, "PyTensor": tmp_path / "absent"}, target)
    assert (target / "index.html").is_file()


@pytest.mark.parametrize("name", ["edition-switch", "edition"])
def test_head_and_foot_of_a_page_keep_the_place(name):
    template = ROOT / "docs" / "_templates" / f"{name}.html"
    assert template.read_text().count(join.PLACE) == 1
