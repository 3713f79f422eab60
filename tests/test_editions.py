"""Each edition offers the same functions; one is chosen by what is installed."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import runpy
from importlib import metadata
from importlib.metadata import version
from pathlib import Path

import pytest

import radon_gallery
from radon_gallery import editions
from radon_gallery.editions import edition

REQUIRED = {
    "AdviLoop",
    "draw_batches",
    "has_minibatch",
    "is_symbolic",
    "log_density",
    "minibatch_tensors",
    "n_rows",
    "reseed_minibatches",
    "run_nuts",
    "transform_draws",
}
MODULES = [module.name for module in pkgutil.iter_modules(editions.__path__)]


def read_module(name: str) -> ast.Module:
    """Parse an edition without importing it: its engine may not be installed."""
    return ast.parse(Path(editions.__path__[0], f"{name}.py").read_text(encoding="utf-8"))


def test_there_are_two_editions():
    assert set(MODULES) == {"aesara", "pytensor"}


@pytest.mark.parametrize(
    ("needs", "name"),
    [
        (["aeppl==0.0.38", "aesara==2.8.7", "arviz>=0.13.0"], "Aesara"),
        (["arviz>=1.0", "numpy>=1.25", "pytensor<3.4,>=3.3"], "PyTensor"),
    ],
)
def test_the_installed_pymc_tells_the_edition(needs, name, monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda _: needs)
    assert runpy.run_path(editions.__file__)["NAME"] == name


@pytest.mark.parametrize("needs", [None, ["theano-pymc==1.1.2"]])
def test_without_an_edition_both_are_named(needs, monkeypatch):
    def requires(name: str) -> list[str]:
        if needs is None:
            raise metadata.PackageNotFoundError(name)
        return needs

    monkeypatch.setattr(metadata, "requires", requires)
    with pytest.raises(
        ImportError, match=r"found no PyMC .*\[aesara\].*3\.11.*\[pytensor\].*3\.12"
    ):
        runpy.run_path(editions.__file__)


def read_exported(name: str) -> set[str]:
    """Return the names in an edition's `__all__`, all of which it must define."""
    defined, exported = set(), set()
    for node in read_module(name).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            defined |= names
            if "__all__" in names:
                exported = set(ast.literal_eval(node.value))
    assert exported <= defined
    return exported


@pytest.mark.parametrize("module", MODULES)
def test_each_edition_offers_the_required_names(module):
    assert read_exported(module) >= REQUIRED


@pytest.mark.parametrize("module", MODULES)
def test_all_editions_offer_the_same(module):
    assert read_exported(module) == read_exported("aesara")


@pytest.mark.parametrize("module", MODULES)
def test_the_loop_of_each_edition_has_the_required_methods(module):
    (loop,) = (
        node
        for node in read_module(module).body
        if isinstance(node, ast.ClassDef) and node.name == "AdviLoop"
    )
    methods = {node.name for node in loop.body if isinstance(node, ast.FunctionDef)}
    assert methods >= {"run", "variables", "gaussian"}


def test_the_rest_of_the_package_uses_only_what_editions_offer():
    used = set()
    for path in Path(radon_gallery.__path__[0]).glob("*.py"):
        used |= set(re.findall(r"\bedition\.(\w+)", path.read_text(encoding="utf-8")))
    assert used
    assert used <= read_exported("aesara")


def test_the_edition_that_runs_is_one_of_them():
    assert edition.__name__.rpartition(".")[2] in MODULES
    for name in REQUIRED:
        assert hasattr(edition, name)
        assert inspect.getdoc(getattr(edition, name))


def test_the_version_line_tells_edition_and_versions():
    line = radon_gallery.version_line()
    numbers = r"\d+\.\d+\.\d+"
    name = editions.NAME
    pattern = rf"{name} edition: PyMC {numbers}, {name} {numbers}, Python {numbers}"
    assert re.fullmatch(pattern, line)
    assert f"PyMC {version('pymc')}," in line
    assert line == editions.version_line()


def test_the_packages_version_is_the_distributions():
    assert radon_gallery.__version__ == version("radon-gallery")
