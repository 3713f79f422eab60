"""The edition that runs, chosen once by what is installed.

Each module here offers the same functions with the same meanings; the rest of the package asks
`edition` and never which one it is.
"""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

__all__ = ["NAME", "edition", "version_line"]

try:
    needed = " ".join(requires("pymc") or [])
except PackageNotFoundError:
    needed = ""
installed = [name for name in ("Aesara", "PyTensor") if name.lower() in needed]
if not installed:
    raise ImportError(
        "radon_gallery found no PyMC that it can run on. Install one of its editions: "
        'pip install "radon-gallery[aesara]" for PyMC 4.4 on Aesara, with Python 3.11, or '
        'pip install "radon-gallery[pytensor]" for current PyMC on PyTensor, with Python 3.12 or '
        "newer."
    )

#: Name of the edition, which is that of the tensor library of the installed PyMC.
NAME = installed[0]

edition: Any


def __getattr__(name: str) -> Any:
    """Load the edition when it is first asked for: importing PyMC takes seconds."""
    if name == "edition":
        return import_module(f"radon_gallery.editions.{NAME.lower()}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def version_line() -> str:
    """Return the edition and its versions in one line, without loading it."""
    return (
        f"{NAME} edition: PyMC {version('pymc')}, {NAME} {version(NAME.lower())}, "
        f"Python {platform.python_version()}"
    )
