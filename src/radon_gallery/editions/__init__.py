"""The edition that runs, chosen once by what is installed.

Each module here offers the same functions with the same meanings; the rest of the package asks
`edition` and never which one it is.
"""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["edition"]

if find_spec("aesara") is None:
    raise ImportError(
        "radon_gallery found no PyMC that it can run on: expected PyMC 4.4 on Aesara, which needs "
        'Python 3.11. Install it with: pip install "radon-gallery[aesara]"'
    )

from radon_gallery.editions import aesara as edition
