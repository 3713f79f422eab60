"""Hierarchical regression from minibatches, with the radon survey as the worked example."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__", "version_line"]

__version__ = version("radon-gallery")


def version_line() -> str:
    """Return the edition that runs and the versions it runs on, for the foot of a page.

    Returns
    -------
    str
        One line, such as ``"Aesara edition: PyMC 4.4.0, Aesara 2.8.7, Python 3.11.7"``.
    """
    # Asked for here, so that data and the exact answer can be had without any PyMC.
    from radon_gallery import editions

    return editions.version_line()
