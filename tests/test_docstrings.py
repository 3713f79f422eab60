"""What a module offers is listed and documented (STYLE, Docstrings)."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from textwrap import dedent

import pytest
from numpydoc.validate import Validator, validate

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "radon_gallery"
MODULES = sorted(path.stem for path in PACKAGE.glob("[!_]*.py"))
# Extended summaries, examples and "see also" are welcome where they help.
OPTIONAL = {"ES01", "EX01", "SA01"}


def list_public() -> list[str]:
    """Return the dotted name of every object that a module offers."""
    modules = [f"radon_gallery.{name}" for name in MODULES]
    return [f"{name}.{item}" for name in modules for item in importlib.import_module(name).__all__]


def list_documented() -> list[str]:
    """Return the functions and classes that are offered, without the constants."""
    things = [(name, Validator._load_obj(name)) for name in list_public()]
    return [name for name, it in things if inspect.isroutine(it) or inspect.isclass(it)]


@pytest.mark.parametrize("module", MODULES)
def test_all_is_explicit_and_sorted_within_its_kinds(module: str) -> None:
    offered = importlib.import_module(f"radon_gallery.{module}").__all__
    assert sorted(set(offered)) == sorted(offered)


@pytest.mark.parametrize("name", list_documented())
def test_docstring_is_complete(name: str) -> None:
    errors = [error for error in validate(name)["errors"] if error[0] not in OPTIONAL]
    assert errors == []


@pytest.mark.parametrize("name", list_documented())
def test_what_is_raised_is_documented(name: str) -> None:
    thing = Validator._load_obj(name)
    tree = ast.parse(dedent(inspect.getsource(thing)))
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(tree))
    if raises and inspect.isfunction(thing):
        assert "Raises\n" in (inspect.getdoc(thing) or "")
