"""What is shipped and how it is installed: the lock, the wheel, the README's commands."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_names_versions_and_hashes_and_nothing_else(lock: Path) -> None:
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    entry = re.compile(r"[a-z0-9-]+==\S+( ; [^/]*?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in entries if not entry.fullmatch(line.strip())] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_lock_covers_what_the_project_asks_for(lock: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    apart = {name: groups.pop(name) for name in ("browser", "bench-numpyro", "bench-pymc-extras")}
    asked = apart.get(lock.stem) or [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"][lock.stem],
        *(item for group in groups.values() for item in group),
    ]
    names = {re.match(r"[\w-]+", item)[0] for item in asked if isinstance(item, str)}
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE))
    assert names - locked == set()


def read_versions(lock: Path) -> set[tuple[str, str]]:
    """Return the names and versions that a lock holds."""
    return set(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def test_the_browsers_lock_fits_that_of_the_edition() -> None:
    edition, browser = (
        read_versions(ROOT / "requirements" / f"{name}.txt") for name in ("aesara", "browser")
    )
    shared = {name for name, _ in edition} & {name for name, _ in browser}
    assert {pair for pair in browser if pair[0] in shared} <= edition


def test_wheel_carries_the_data_the_types_and_the_pages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("radon_gallery-*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "radon_gallery").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= shipped
    assert {"radon_gallery/py.typed", "radon_gallery/_data/minnesota_homes.csv"} <= shipped
    pages = {f"radon_gallery/_examples/{page.name}" for page in (ROOT / "examples").glob("*.md")}
    assert pages | {"radon_gallery/_examples/references.bib"} <= shipped
    assert {name.split("/")[0].split("-")[0] for name in shipped} == {"radon_gallery"}


def test_the_same_python_versions_everywhere() -> None:
    versions = (ROOT / ".python-version").read_text().split()
    default = versions[0]
    assert (
        re.findall(r'Edition\("\w+", "\w+", "(.*?)"', (ROOT / "noxfile.py").read_text()) == versions
    )
    commands = re.findall(
        r"^python.* -m nox -s \w+$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert commands == [
        f'python{default} -m pip install --upgrade "nox[uv]" && python{default} -m nox -s {session}'
        for session in ("docs", "tests")
    ]


def test_the_readmes_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "fit_advi(model, " in example
    exec(example.replace("fit_advi(model, ", "fit_advi(model, steps=100, "), {})
    assert "of the exact ones" in capsys.readouterr().out
