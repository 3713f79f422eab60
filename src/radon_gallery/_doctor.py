"""What is installed, whether it fits an edition, and what to do.

Nothing of what is examined is imported in this process: it may be missing or broken.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

__all__ = ["Part", "examine", "examine_part"]

_PACKAGE = "radon-gallery"
_EDITIONS = {"aesara": "Aesara edition", "pytensor": "PyTensor edition"}
_COMPILING = {"aesara"}  # what needs a C++ compiler on the reader's machine
_IMPORT = "import radon_gallery.inference"
_PATIENCE = 300  # seconds; a first import may compile


@dataclass(frozen=True)
class Part:
    """One part of the environment.

    Attributes
    ----------
    name : str
        What the part is.
    findings : tuple of str
        One line each.
    remedies : tuple of str
        What to do, a command or a sentence each; empty if all is well.
    """

    name: str
    findings: tuple[str, ...]
    remedies: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "not ready" if self.remedies else "ready"
        return "\n".join([f"{self.name}: {verdict}", *(f"  {line}" for line in self.findings)])


def examine() -> tuple[str, bool]:
    """Return a report on this environment, and whether an edition will run in it."""
    required = [Requirement(line) for line in requires(_PACKAGE) or ()]
    base = examine_part("What every edition needs", _applying(required, ""))
    editions = [
        _examine_edition(extra, name, required, base)
        for extra, name in _EDITIONS.items()
        if any(extra in str(requirement.marker) for requirement in required)
    ]
    ready = [each.name for each in editions if not each.remedies]
    heading = f"Radon Gallery {version(_PACKAGE)}, Python {platform.python_version()}"
    parts = [f"{heading}, {platform.system()} {platform.machine()}", base, *editions]
    if ready:
        parts.append(f"The {' and the '.join(ready)} will run.")
    else:
        remedies = dict.fromkeys(line for part in (base, *editions) for line in part.remedies)
        parts.append("\n".join(["No edition will run here. What to do:", *remedies]))
    return "\n\n".join(map(str, parts)), bool(ready)


def examine_part(name: str, required: Sequence[Requirement]) -> Part:
    """Compare what is installed with what is required.

    Parameters
    ----------
    name : str
        What the part is.
    required : sequence of Requirement
        Distributions and the versions that fit.

    Returns
    -------
    Part
        One finding a distribution, and the command that brings those that do not fit.
    """
    findings, wrong = [], []
    width = max((len(requirement.name) for requirement in required), default=0)
    for requirement in required:
        installed = _installed(requirement.name)
        wanted = str(requirement.specifier) or "any version"
        if installed is None:
            verdict = f"missing; needed is {wanted}"
        elif requirement.specifier.contains(installed, prereleases=True):
            verdict = installed
        else:
            verdict = f"{installed} does not fit; needed is {wanted}"
        if verdict != installed:
            wrong.append(f'"{requirement.name}{requirement.specifier}"')
        findings.append(f"{requirement.name:{width}}  {verdict}")
    remedy = f"{_python()} -m pip install {' '.join(wrong)}"
    return Part(name, tuple(findings), (remedy,) if wrong else ())


def _examine_edition(extra: str, name: str, required: Sequence[Requirement], base: Part) -> Part:
    wanted = _applying(required, extra)
    if not wanted:
        pythons = _pythons(required, extra)
        return Part(name, (f"needs Python {pythons}",), (f"For the {name}: Python {pythons}.",))
    part = examine_part(name, wanted)
    findings, remedies = list(part.findings), list(part.remedies)
    if extra in _COMPILING and (missing := _missing_compiler()):
        findings.append(f"{missing} is missing, with which each model is compiled")
        remedies.append(f"Install {missing}; the page on installing tells the packages.")
    if not remedies and not base.remedies and (error := _failed_import()):
        findings.append(f"`{_IMPORT}` fails: {error}")
        remedies.append(f"Make a new environment for the {name}; this one is broken.")
    return Part(name, tuple(findings), tuple(remedies) or base.remedies)


def _applying(required: Sequence[Requirement], extra: str) -> list[Requirement]:
    """Return what an extra, or the package itself (""), requires on this Python."""

    def applies(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    chosen = [requirement for requirement in required if applies(requirement, extra)]
    return [each for each in chosen if not extra or not applies(each, "")]


def _pythons(required: Sequence[Requirement], extra: str) -> str:
    markers = [str(each.marker) for each in required if f'"{extra}"' in str(each.marker)]
    found = re.findall(r'python_version (\S+) "([\d.]+)"', markers[0])
    return " and ".join(f"{compared} {number}" for compared, number in found)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _missing_compiler() -> str:
    """Return what is missing for compiling, by the engine's own rule for the compiler."""
    missing = []
    if not shutil.which("clang++" if sys.platform == "darwin" else "g++"):
        missing.append("a C++ compiler")
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        missing.append("Python's header files")
    return " and ".join(missing)


def _failed_import() -> str:
    """Return the last line of what an import in a process of its own complains of, if it fails."""
    try:
        run = subprocess.run(
            [sys.executable, "-c", _IMPORT], capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"not done after {_PATIENCE} seconds"
    return "" if run.returncode == 0 else (run.stderr.strip().splitlines() or ["no message"])[-1]


def _python() -> str:
    """Return how to call this very Python; a shorter name might be that of another."""
    return f'"{sys.executable}"' if " " in sys.executable else sys.executable
