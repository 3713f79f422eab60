"""The site's helpers: pages are copied, outputs go stale when they should, citations link."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def load_helpers() -> ModuleType:
    """Load docs/_ext/gallery.py, which is part of the site and of no package."""
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "_ext" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gallery"] = module
    spec.loader.exec_module(module)
    return module


gallery = load_helpers()


@pytest.fixture
def pages(tmp_path: Path) -> tuple[Path, Path]:
    """Two pages, copied once."""
    source, target = tmp_path / "examples", tmp_path / "docs" / "examples"
    source.mkdir()
    (source / "01_a.md").write_text("one")
    (source / "02_b.md").write_text("two")
    gallery.copy_pages(source, target)
    return source, target


def contents(folder: Path) -> dict[str, str]:
    """Return a folder's files and what is in them."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_pages_are_copied(pages: tuple[Path, Path]) -> None:
    _, target = pages
    assert contents(target) == {"01_a.md": "one", "02_b.md": "two"}


def test_changed_page_is_copied_and_the_others_left_alone(pages: tuple[Path, Path]) -> None:
    source, target = pages
    for path in target.iterdir():
        os.utime(path, (0, 0))
    (source / "01_a.md").write_text("changed")
    (source / "02_b.md").touch()
    gallery.copy_pages(source, target)
    assert contents(target) == {"01_a.md": "changed", "02_b.md": "two"}
    assert (target / "01_a.md").stat().st_mtime > 0
    assert (target / "02_b.md").stat().st_mtime == 0


def test_page_that_is_gone_is_deleted(pages: tuple[Path, Path]) -> None:
    source, target = pages
    (source / "01_a.md").unlink()
    gallery.copy_pages(source, target)
    assert contents(target) == {"02_b.md": "two"}


def make_tree(root: Path) -> tuple[Path, Path]:
    """Make a small package with data, and a lock."""
    package, lock = root / "package", root / "lock.txt"
    (package / "_data").mkdir(parents=True)
    (package / "model.py").write_text("x = 1")
    (package / "_data" / "homes.csv").write_text("floor\n0\n")
    lock.write_text("numpy==1.25.2")
    return package, lock


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("package/model.py", "x = 2", id="source"),
        pytest.param("package/_data/homes.csv", "floor\n1\n", id="data"),
        pytest.param("lock.txt", "numpy==1.25.1", id="lock"),
        pytest.param("package/other.py", "", id="new module"),
    ],
)
def test_cache_key_changes_with(name: str, text: str, tmp_path: Path) -> None:
    roots = make_tree(tmp_path)
    before = gallery.cache_key(*roots)
    (tmp_path / name).write_text(text)
    assert gallery.cache_key(*roots) != before


def test_cache_key_changes_when_a_module_is_renamed(tmp_path: Path) -> None:
    roots = make_tree(tmp_path)
    before = gallery.cache_key(*roots)
    (tmp_path / "package" / "model.py").rename(tmp_path / "package" / "models.py")
    assert gallery.cache_key(*roots) != before


def test_cache_key_ignores_place_time_and_bytecode(tmp_path: Path) -> None:
    here, there = make_tree(tmp_path / "here"), make_tree(tmp_path / "there")
    os.utime(there[0] / "model.py", (0, 0))
    (there[0] / "__pycache__").mkdir()
    (there[0] / "__pycache__" / "model.cpython-311.pyc").write_text("compiled")
    assert gallery.cache_key(*here) == gallery.cache_key(*there)


def test_cache_key_refuses_a_root_that_is_missing(tmp_path: Path) -> None:
    package, _ = make_tree(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"key needs .*absent\.txt"):
        gallery.cache_key(package, tmp_path / "absent.txt")


def test_built_page_without_source_is_deleted(tmp_path: Path) -> None:
    built = tmp_path / "examples"
    built.mkdir()
    (built / "01_a.html").touch()
    (built / "02_b.html").touch()
    gallery.drop_stale_pages(tmp_path, ["index", "examples/02_b"])
    assert [path.name for path in built.iterdir()] == ["02_b.html"]


def test_bracketed_key_in_a_docstring_becomes_a_citation() -> None:
    lines = [
        "Algorithm 1 [kucukelbir2017automatic].",
        "As [gelman2013bayesian, section 5.4] does.",
        "values[idx2] stays, so does [1].",
    ]
    gallery.link_citations(None, "function", "f", None, None, lines)
    assert lines == [
        "Algorithm 1 :cite:p:`kucukelbir2017automatic`.",
        "As :cite:p:`gelman2013bayesian{section 5.4}` does.",
        "values[idx2] stays, so does [1].",
    ]


def test_references_have_unique_keys_of_one_form() -> None:
    keys = re.findall(r"^@\w+\{(.*),$", (DOCS / "references.bib").read_text(), re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert [key for key in keys if not re.fullmatch(r"[a-z]+\d{4}[a-z]+", key)] == []
