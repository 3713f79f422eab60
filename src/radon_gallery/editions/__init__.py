"""The edition that runs, chosen once by what is installed.

Each module here offers the same functions with the same meanings; the rest of the package asks
`edition` and never which one it is.
"""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

__all__ = ["NAME", "edition", "version_line"]

if find_spec("aesara") is None:
    raise ImportError(
        "radon_gallery found no PyMC that it can run on: expected PyMC 4.4 on Aesara, which needs "
        'Python 3.11. Install it with: pip install "radon-gallery[aesara]"'
    )

#: Name of the edition, which is that of its tensor library.
NAME = "Aesara"

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
