"""The command line: pages listed and copied, nothing overwritten or half written; the doctor."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement

from radon_gallery import _doctor, _pages
from radon_gallery.cli import main

ROOT = Path(__file__).resolve().parent.parent
NAMES = [path.stem for path in sorted((ROOT / "examples").glob("*.md"))]
FOURTH = "04_minibatch_advi"


def run(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_list_names_each_page_in_reading_order_with_its_promise():
    lines = run("list").output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == NAMES
    assert "Fit the hierarchical model from 100 homes at a time" in " ".join(lines)


@pytest.mark.parametrize("page", [FOURTH, "minibatch_advi", "4", "04", f"{FOURTH}.md"])
def test_copy_takes_a_name_or_a_number(page: str):
    assert run("copy", page).output.strip() == f"{FOURTH}.ipynb"


@pytest.mark.parametrize("to", _pages.FORMATS)
def test_copy_writes_the_format_asked_for(to: str, empty_folder: Path):
    assert run("copy", "4", "--format", to).exit_code == 0
    (written,) = empty_folder.iterdir()
    assert written.name == f"{FOURTH}.{to}"
    text = written.read_text(encoding="utf-8")
    if to == "ipynb":
        nbformat.validate(nbformat.reads(text, as_version=4))
    elif to == "py":
        ast.parse(text)
    else:
        assert text == (ROOT / "examples" / f"{FOURTH}.md").read_text(encoding="utf-8")


def test_copy_goes_to_the_named_file_in_the_format_of_its_ending(empty_folder: Path):
    (empty_folder / "sub").mkdir()
    assert run("copy", "4", "sub/mine.py").exit_code == 0
    ast.parse((empty_folder / "sub" / "mine.py").read_text(encoding="utf-8"))


def test_copy_overwrites_only_when_forced(empty_folder: Path):
    mine = empty_folder / f"{FOURTH}.md"
    mine.write_text("my notes")
    refused = run("copy", "4", "--format", "md")
    assert refused.exit_code == 1
    assert "exists; --force overwrites it" in refused.output
    assert mine.read_text() == "my notes"
    assert run("copy", "4", "--format", "md", "--force").exit_code == 0
    assert mine.read_text(encoding="utf-8").startswith("---\njupytext")


@pytest.mark.parametrize("dest", ["nowhere/page.py", "nowhere", "page.ipynb"])
def test_copy_refuses_a_place_that_is_none(dest: str, empty_folder: Path):
    refused = run("copy", "4", dest, "--format", "py")
    assert refused.exit_code == 1
    assert f"{dest} is neither a folder that exists nor the name of a .py file in one" in (
        refused.output
    )
    assert list(empty_folder.iterdir()) == []


def test_copy_that_fails_leaves_what_was_there(empty_folder: Path, monkeypatch: pytest.MonkeyPatch):
    mine = empty_folder / f"{FOURTH}.md"
    mine.write_text("my notes")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    refused = run("copy", "4", "--format", "md", "--force")
    assert refused.exit_code == 1
    assert "cannot be written: No space left on device" in refused.output
    assert [path.name for path in empty_folder.iterdir()] == [mine.name]
    assert mine.read_text() == "my notes"


@pytest.mark.parametrize(
    ("page", "hint"),
    [
        ("minibach_advi", f"did you mean {FOURTH}?"),
        ("04_minibatch", f"did you mean {FOURTH}?"),
        ("zebra", "`radon-gallery list` names them."),
        ("99", "`radon-gallery list` names them."),
    ],
)
def test_unknown_page_gets_the_nearest_name(page: str, hint: str, empty_folder: Path):
    refused = run("copy", page)
    assert refused.exit_code == 1
    assert f"there is no page '{page}'; {hint}" in refused.output
    assert list(empty_folder.iterdir()) == []


def test_the_reference_shows_the_help_as_it_is():
    text = (ROOT / "docs" / "api" / "cli.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"\$ radon-gallery ?([^\n]*) --help\n(.*?)\n```", text, re.DOTALL))
    assert set(shown) == {"", "copy"}
    for command, help_text in shown.items():
        output = CliRunner().invoke(main, [*command.split(), "--help"], prog_name="radon-gallery")
        assert output.output.strip() == help_text


def test_the_command_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import radon_gallery.cli; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"numpy", "pandas", "matplotlib", "pymc", "jupytext"}


# The doctor


def test_the_doctor_says_that_this_environment_is_well():
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert re.search(r"^The \w+ edition will run\.$", result.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("wanted", "finding", "remedy"),
    [
        ("pytest>=1", r"pytest  \d", None),
        ("pytest<1", r"pytest  \d\S+ does not fit; needed is <1", '"pytest<1"'),
        ("no-such-thing==2.*", r"no-such-thing  missing; needed is ==2", '"no-such-thing==2.*"'),
    ],
)
def test_the_doctor_compares_versions(wanted: str, finding: str, remedy: str | None):
    part = _doctor.examine_part("A part", [Requirement(wanted)])
    assert re.match(finding, part.findings[0])
    if remedy is None:
        assert part.remedies == ()
        assert str(part).startswith("A part: ready")
    else:
        (told,) = part.remedies
        assert sys.executable in told
        assert told.endswith(f"-m pip install {remedy}")
        assert str(part).startswith("A part: not ready")


@pytest.fixture
def own_edition() -> str:
    """The edition whose requirements apply to this Python."""
    required = [Requirement(line) for line in requires("radon-gallery") or ()]
    (extra,) = (extra for extra in _doctor._EDITIONS if _doctor._applying(required, extra))
    return extra


@pytest.mark.parametrize("absent", ["pymc", "numpy", "scipy"])
def test_the_doctor_says_what_to_install(absent: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        _doctor,
        "_installed",
        lambda name, known=_doctor._installed: None if name == absent else known(name),
    )
    result = run("doctor")
    assert result.exit_code == 1
    assert re.search(rf"^  {absent} +missing; needed is", result.output, re.MULTILINE)
    assert re.search(rf'-m pip install "{absent}', result.output)


def test_the_doctor_says_why_an_import_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_doctor, "_IMPORT", "raise ImportError('libstdc++ is too old')")
    result = run("doctor")
    assert result.exit_code == 1
    assert "fails: ImportError: libstdc++ is too old" in result.output
    assert "Make a new environment" in result.output


def test_the_doctor_misses_the_compiler_where_one_is_needed(
    own_edition: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_doctor, "_COMPILING", {own_edition})
    monkeypatch.setattr(_doctor.shutil, "which", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 1
    assert "Install a C++ compiler; the page on installing tells the packages." in result.output


def test_the_doctor_tells_which_python_an_edition_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        _doctor,
        "requires",
        lambda name: [
            "click>=8",
            'aesara==2.8.*; (python_version < "3") and extra == "aesara"',
            'pymc>=6; (python_version >= "4") and extra == "pytensor"',
        ],
    )
    result = run("doctor")
    assert result.exit_code == 1
    assert "Aesara edition: not ready\n  needs Python < 3\n" in result.output
    assert "For the PyTensor edition: Python >= 4." in result.output
