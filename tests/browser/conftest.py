"""The built site in a real browser, from a server with a strict policy and from the disk."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
JOINED = BUILD / "site"
OTHER = "pytensor"  # the edition that lies below the other in the joined site
# What readers are given: the joined site where there is one, else the edition that was built.
SITES = (
    [JOINED, JOINED / OTHER]
    if (JOINED / "index.html").exists()
    else sorted(index.parent for index in BUILD.glob("*/html/index.html"))
)

NO_BROWSER = """\
No browser was found. Install one, then run this again:
    Debian             sudo apt install chromium
    any other system   python -m playwright install --with-deps chromium
A Chromium that lies elsewhere is named by the variable CHROMIUM."""

INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


def content_policy(page: bytes) -> str:
    """Return a policy that lets a page run its own files and the inline scripts it was built with.

    Styles may stand inline: MathJax, tables and figures set them on single elements.
    """
    digests = (hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(page))
    hashes = sorted({f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests})
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {' '.join(hashes)}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class Handler(SimpleHTTPRequestHandler):
    """A web server as strict as a cautious reader's institute would run it."""

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix == ".html" and path.is_file():
            self.send_header("Content-Security-Policy", content_policy(path.read_bytes()))
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def send_error(self, code: int, *message: str | None) -> None:
        if code != HTTPStatus.NOT_FOUND:
            super().send_error(code, *message)
            return
        page = Path(self.directory, "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", content_policy(page))
        super().end_headers()
        self.wfile.write(page if self.command == "GET" else b"")

    def log_message(self, *_arguments: object) -> None:
        """Keep the test's report free of requests."""


def find_pages(site: Path) -> list[str]:
    """Return the pages of an edition's site by their addresses within it."""
    pages = (path.relative_to(site) for path in site.rglob("*.html"))
    return sorted(path.as_posix() for path in pages if path.parts[0] not in {"_static", OTHER})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each site, or for each page of each, whichever it asks for."""
    several = len(SITES) > 1
    called = {site: site.relative_to(BUILD).as_posix() for site in SITES}
    if "page_path" in metafunc.fixturenames:
        cases = [(site, page) for site in SITES for page in find_pages(site)]
        names = [f"{called[site]}/{page}" if several else page for site, page in cases]
        metafunc.parametrize(("site", "page_path"), cases, ids=names, scope="session")
    elif "site" in metafunc.fixturenames:
        metafunc.parametrize("site", SITES, ids=called.values(), scope="session")


def find_browser() -> str | None:
    """Return the path of a Chromium, or None if Playwright has its own."""
    named = os.environ.get("CHROMIUM")
    found = named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if found:
        return found
    with sync_playwright() as playwright:
        if Path(playwright.chromium.executable_path).exists():
            return None
    return pytest.exit(NO_BROWSER, returncode=1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            # The sandbox of a browser needs a user other than root.
            chromium_sandbox=not (hasattr(os, "geteuid") and os.geteuid() == 0),
            args=["--disable-background-networking", "--disable-component-update"],
        )
        yield browser
        browser.close()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Give the address of a folder on a server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The site's address on a server."""
    with serve(site) as address:
        yield address


@pytest.fixture(params=["http", "disk"])
def joined(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the site of both editions, once on a server and once on the disk."""
    if not (JOINED / "index.html").exists():
        pytest.skip("only one edition is built, so there is no switch; nox -s site builds both")
    with serve(JOINED) as address:
        yield address if request.param == "http" else f"{JOINED.as_uri()}/"


@pytest.fixture(params=["http", "disk"])
def address(request: pytest.FixtureRequest, site: Path) -> str:
    """The site's address, once on a server and once on the disk."""
    if request.param == "disk":
        return site.as_uri() + "/"
    return str(request.getfixturevalue("server"))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A reader with nothing remembered, on a wide screen."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(15_000)
    yield context
    context.close()


@dataclass
class Watch:
    """What happened in a tab."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def outside(self, address: str) -> list[str]:
        """Return the requests that left the site."""
        return [url for url in self.requests if not url.startswith((address, "data:", "blob:"))]


def describe_failure(request: Request) -> list[str]:
    """Return a complaint, unless the browser gave the request up because the reader moved on."""
    if request.failure == "net::ERR_ABORTED":
        return []
    return [f"{request.failure}: {request.url}"]


@pytest.fixture
def tab(context: BrowserContext) -> Page:
    """An empty tab."""
    return context.new_page()


@pytest.fixture
def seen(tab: Page) -> Watch:
    """All that the tab asks for and complains of."""
    seen = Watch()
    tab.on("request", lambda request: seen.requests.append(request.url))
    tab.on("requestfailed", lambda request: seen.complaints.extend(describe_failure(request)))
    tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
    tab.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text) if message.type in {"error", "warning"} else None
        ),
    )
    return seen
