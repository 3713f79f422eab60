"""The package's map (DESIGN: data, minibatch, models, inference, comparison, plots) holds."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "radon_gallery"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each part may import from the others. Private helpers belong to the part they are named for.
MAY_IMPORT = {
    "__init__": {"editions"},
    "_doctor": set(),
    "_pages": set(),
    "cli": {"_doctor", "_pages"},
    "_checks": set(),
    "_interrupts": set(),
    "benchmark": {"_checks"},
    "priors": {"_checks"},
    "data": {"_checks", "priors"},
    "editions": {"_checks"},
    "exact": {"_checks", "data", "priors"},
    "minibatch": {"_checks", "data", "editions"},
    "models": {"_checks", "data", "editions", "minibatch", "priors"},
    "inference": {"_checks", "_interrupts", "data", "editions", "minibatch", "models"},
    "comparison": {"_checks", "data", "exact"},
    "optimum": {"_checks", "data", "priors"},
    "diagnostics": {"_checks", "comparison", "editions", "inference"},
    "plots": {"_checks", "comparison", "data", "exact"},
}
HELPERS = {"_exact": "exact", "_plot": "plots"}

TENSOR_LIBRARIES = {"aeppl", "aesara", "pytensor", "theano"}
ASKS_FOR_A_VERSION = {
    *("version", "__version__", "version_info", "hexversion", "python_version"),
    *("python_version_tuple", "NAME"),
}
NEED_NO_PYMC = {
    "_checks",
    "benchmark",
    "priors",
    "data",
    "exact",
    "minibatch",
    "comparison",
    "plots",
}
READERS = {
    *("open", "files", "get_data", "read_bytes", "read_text", "fromfile", "genfromtxt", "loadtxt"),
    *("load_dataset", "open_dataset", "read_csv", "read_excel", "read_json", "read_parquet"),
}


def part_of(path: Path) -> str:
    """Return the part of the map that a file belongs to."""
    name = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for prefix, part in HELPERS.items():
        if name.startswith(prefix):
            return part
    return name


def imported_names(path: Path) -> set[str]:
    """Return every module that a file imports, wherever in the file it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            source = node.module or ""
            # "from radon_gallery import data" imports a module as well.
            inner = source == "radon_gallery"
            names.update(f"{source}.{alias.name}" if inner else source for alias in node.names)
    return names


def words_of_code(path: Path) -> set[str]:
    """Return every name, attribute and text in a file's code, its docstrings and comments apart."""
    tree = ast.parse(path.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            words.update(alias.name for alias in node.names)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
        ):
            words.add(node.value.lower())
    return words | imported_names(path)


def outside_imports(path: Path) -> set[str]:
    """Return the top-level names of the libraries that a file imports."""
    tops = {name.partition(".")[0] for name in imported_names(path)}
    return tops - set(sys.stdlib_module_names) - {"radon_gallery"}


def parts_imported(path: Path) -> set[str]:
    """Return the parts of the package that a file imports."""
    inner = [name.split(".") for name in imported_names(path) if name.startswith("radon_gallery.")]
    return {part_of(PACKAGE / name[1]) for name in inner}


def identify(path: Path) -> str:
    """Name a file in the test's report."""
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_imports_follow_the_map(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"{identify(path)} is new: give it a place in MAY_IMPORT"
    assert parts_imported(path) - {part} <= MAY_IMPORT[part]


def test_the_map_has_no_circle() -> None:
    left = {part: set(others) for part, others in MAY_IMPORT.items()}
    while left:
        free = {part for part, others in left.items() if not others & left.keys()}
        assert free, f"these import one another: {sorted(left)}"
        left = {part: others for part, others in left.items() if part not in free}


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_only_the_editions_import_a_tensor_library(path: Path) -> None:
    if part_of(path) != "editions":
        assert not outside_imports(path) & TENSOR_LIBRARIES


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_nothing_else_names_a_tensor_library_or_asks_for_a_version(path: Path) -> None:
    part = part_of(path)
    words = words_of_code(path)
    if part == "_doctor":  # it tells a reader what is installed
        assert words & ASKS_FOR_A_VERSION, "the test no longer recognises how it asks"
        return
    if part == "editions":
        return
    named = {word for word in words if any(library in word for library in TENSOR_LIBRARIES)}
    assert not named
    own = {"version", "__version__"} if part == "__init__" else set()  # the package's own
    assert not words & (ASKS_FOR_A_VERSION - own)


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_pymc_stays_where_models_are_built_and_fitted(path: Path) -> None:
    if part_of(path) in NEED_NO_PYMC:
        assert "pymc" not in outside_imports(path)


def test_the_exact_answer_needs_numpy_scipy_and_xarray_only() -> None:
    paths = [path for path in MODULES if part_of(path) == "exact"]
    assert paths
    for path in paths:
        assert outside_imports(path) <= {"numpy", "scipy", "xarray"}, path.name


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_only_what_loads_reads_files(path: Path) -> None:
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    called = {getattr(call, "attr", getattr(call, "id", None)) for call in calls}
    if path.name in {"benchmark.py", "data.py", "_pages.py"}:
        assert called & READERS, "the test no longer recognises how these read"
    else:
        assert not called & READERS


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_the_package_knows_no_page(path: Path) -> None:
    assert not outside_imports(path) & {"docs", "examples", "tests", "tools"}


@pytest.mark.parametrize(
    "module", [path.stem for path in PACKAGE.glob("[!_]*.py")], ids=lambda name: name
)
def test_each_module_has_a_test_file_and_a_reference_page(module: str) -> None:
    assert (ROOT / "tests" / f"test_{module}.py").is_file()
    assert (ROOT / "docs" / "api" / f"{module}.md").is_file()
