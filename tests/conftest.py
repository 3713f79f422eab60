"""What every test runs under: no network, no screen, no chance."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from hypothesis import settings

from radon_gallery.data import Survey, load_minnesota
from radon_gallery.editions import NAME

mpl.use("Agg")

# The tests of the other edition need a tensor library that is not installed.
collect_ignore = [f"test_edition_{name}.py" for name in {"aesara", "pytensor"} - {NAME.lower()}]

# The same examples every time; a model that compiles on first use is not a slow test.
settings.register_profile("gallery", derandomize=True, deadline=None)
settings.load_profile("gallery")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Refuse every connection but those within the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        inside = self.family not in {socket.AF_INET, socket.AF_INET6}
        if not inside and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise RuntimeError(f"A test tried to reach {address[0]}; tests use no network.")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Leave no figure to the next test."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def minnesota() -> Survey:
    """The packaged survey."""
    return load_minnesota()
