"""Each page in examples/ has the form that readers rely on (STYLE, Pages)."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import jupytext
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "examples").glob("*.md"))
DRAWS = re.compile(
    r"\bplot_\w+\(|\.plot\b|\bsubplots\(|\bsns\.\w+plot\(|\.(hist|scatter|imshow|errorbar)\("
)

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@cache
def read_cells(page: Path, kind: str) -> list[Any]:
    """Return the page's cells of a kind, ``code`` or ``markdown``."""
    notebook = jupytext.read(page, fmt="md:myst")
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def read_prose(page: Path) -> str:
    """Return the page's text."""
    return "\n\n".join(cell.source for cell in read_cells(page, "markdown"))


def read_headings(page: Path) -> list[str]:
    """Return the page's headings with their marks, in order."""
    return re.findall(r"^#+ .*$", read_prose(page), flags=re.MULTILINE)


def count_lines(cell: Any) -> int:
    """Count a cell's lines of code, blank ones apart."""
    return sum(1 for line in cell.source.splitlines() if line.strip())


def count_words(text: str) -> int:
    """Count words of prose: no formulas, no directives, no addresses."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"^(```|:::|~~~|:\w[\w-]*:).*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"\{[\w:]+\}`[^`]*`|\]\([^)]*\)", " ", text)
    return len(re.findall(r"[A-Za-z0-9][\w’'.-]*", text))


def test_name_and_front_matter(page: Path) -> None:
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", page.stem)
    _, matter, _ = page.read_text().split("---\n", 2)
    matter = yaml.safe_load(matter)
    assert matter["jupytext"]["text_representation"]["format_name"] == "myst"
    assert matter["kernelspec"]["name"] == "python3"
    assert len(matter["gallery"]["description"].split()) <= 30
    cells = read_cells(page, "code")
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells]
    assert matter["gallery"]["figure"] in figures
    titles = [heading for heading in read_headings(page) if heading.startswith("# ")]
    assert titles == read_headings(page)[:1]


def test_opens_with_what_the_reader_will_do_learn_and_need(page: Path) -> None:
    opening = read_cells(page, "markdown")[0].source
    places = [opening.find(words) for words in ("you will do", "you will learn", "you need")]
    assert -1 not in places
    assert places == sorted(places)


def test_closes_with_practice_and_further_reading(page: Path) -> None:
    sections = [heading for heading in read_headings(page) if heading.startswith("## ")]
    assert sections[-2:] == ["## In practice", "## Further reading"]


def test_cells_are_few_and_short(page: Path) -> None:
    lengths = [count_lines(cell) for cell in read_cells(page, "code")]
    assert 0 < len(lengths) <= 20
    assert max(lengths) <= 20
    assert median(lengths) <= 7


def test_prose_is_in_proportion_to_code(page: Path) -> None:
    lines = sum(count_lines(cell) for cell in read_cells(page, "code"))
    assert 6 <= count_words(read_prose(page)) / lines <= 18


def test_first_cell_imports_and_only_it_does(page: Path) -> None:
    first, *others = (ast.parse(cell.source) for cell in read_cells(page, "code"))
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in first.body)
    nodes = [node for tree in others for node in ast.walk(tree)]
    assert not any(isinstance(node, ast.Import) for node in nodes)
    # What hands numbers to the prose is the site's, not the reader's: it stands apart.
    sources = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert sources <= {"myst_nb"}


def test_second_cell_sets_the_seed(page: Path) -> None:
    assert re.search(r"^RANDOM_SEED = \d+$", read_cells(page, "code")[1].source, re.MULTILINE)


def test_asserts_its_claims(page: Path) -> None:
    trees = [ast.parse(cell.source) for cell in read_cells(page, "code")]
    assert any(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree))


def test_a_page_that_fits_advi_holds_it_against_the_evidence(page: Path) -> None:
    """It can only tell that the page has the numbers; the page itself asserts the bound."""
    code = "\n".join(cell.source for cell in read_cells(page, "code"))
    if "fit_advi(" in code:
        assert "log_evidence" in code


def test_figures_have_alt_text_and_a_caption(page: Path) -> None:
    for cell in read_cells(page, "code"):
        if not DRAWS.search(cell.source):
            continue
        about = cell.metadata.get("mystnb", {})
        alt = about.get("image", {}).get("alt", "")
        caption = about.get("figure", {}).get("caption", "")
        assert len(alt.split()) >= 5, cell.source
        assert len(caption.split()) >= 5, cell.source
        assert alt.strip() != caption.strip()


def test_equations_are_numbered_where_the_text_refers_to_them(page: Path) -> None:
    prose = read_prose(page)
    labels = re.findall(r"^\$\$ \((\S+)\)$", prose, re.MULTILINE)
    assert len(labels) == len(set(labels))
    assert all(re.fullmatch(r"eq-[a-z-]+", label) for label in labels)
    assert set(labels) == set(re.findall(r"\{eq\}`([^`]+)`", prose))


def test_carries_no_outputs(page: Path) -> None:
    text = page.read_text()
    assert "data:image/" not in text
    assert '"outputs"' not in text
    assert not list(page.parent.glob("*.ipynb"))
