"""Every page of the site: nothing from outside, no complaint, light, quick, whole, accessible."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page

MAX_WEIGHT = 3_000_000  # bytes, all that a first visit to the end of the page loads
MAX_WAIT = 2_000  # milliseconds until the largest part of the text or figures has been drawn

LARGEST_PAINT = """() => new Promise(resolve => new PerformanceObserver(list => {
    resolve(Math.max(...list.getEntries().map(entry => entry.startTime)))
}).observe({type: 'largest-contentful-paint', buffered: true}))"""

SCROLL_TO_THE_END = """async () => {
    for (let y = 0; y < document.body.scrollHeight; y += 600) {
        scrollTo(0, y);
        await new Promise(requestAnimationFrame);
    }
}"""

OPEN_FOLDS = "document.querySelectorAll('article details').forEach(fold => fold.open = true)"

# What lies beyond the edge of the screen and in no box of its own that scrolls. Formulas have a
# copy for screen readers, which is not shown.
CUT_OFF = """() => {
    const scrolls = (box) => ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const scroller = (box) =>
        box.matches('article') ? null : scrolls(box) ? box : scroller(box.parentElement);
    return [...document.querySelectorAll('article *:not(mjx-assistive-mml, mjx-assistive-mml *)')]
        .filter((box) => {
            const { left, right, width } = box.getBoundingClientRect();
            const around = scroller(box.parentElement);
            const start = around ? around.getBoundingClientRect().left - around.scrollLeft : 0;
            return width > 1 && (left < start - 1 || (!around && right > innerWidth + 1));
        })
        .map((box) => box.outerHTML.slice(0, 120));
}"""


@cache
def read_html(path: Path) -> BeautifulSoup:
    """Return a page as a tree."""
    return BeautifulSoup(path.read_bytes(), "html.parser")


def test_asks_nobody_else_and_complains_of_nothing(
    tab: Page, seen: Any, address: str, page_path: str
) -> None:
    tab.goto(address + page_path, wait_until="networkidle")
    assert tab.title()
    assert seen.outside(address) == []
    assert seen.complaints == []


def test_is_light_and_quick(browser: Browser, server: str, page_path: str) -> None:
    waits, weights = [], []
    for _ in range(3):  # the best of three: the machine may have other work
        with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
            page = context.new_page()
            requests: list[Any] = []
            page.on("requestfinished", lambda request, kept=requests: kept.append(request))
            page.goto(server + page_path, wait_until="networkidle")
            waits.append(page.evaluate(LARGEST_PAINT))
            page.evaluate(SCROLL_TO_THE_END)
            page.wait_for_load_state("networkidle")
            weights.append(sum(request.sizes()["responseBodySize"] for request in requests))
        if waits[-1] <= MAX_WAIT:
            break
    assert weights[0] <= MAX_WEIGHT
    assert min(waits) <= MAX_WAIT


def test_links_lead_to_what_is_there(site: Path, page_path: str) -> None:
    broken = []
    for element in read_html(site / page_path).select("[href], [src]"):
        target = element.get("href") or element.get("src")
        if re.match(r"[a-z]+:", target):  # another site, or data
            continue
        path, _, anchor = unquote(target).partition("#")
        path = path.partition("?")[0]
        file = site / page_path
        if path:
            file = Path(os.path.normpath(file.parent / path))
        if not file.is_file() or (anchor and not read_html(file).find(id=anchor)):
            broken.append(target)
    assert broken == []


def test_figures_are_sharp_on_dense_screens(site: Path, page_path: str) -> None:
    for image in read_html(site / page_path).select("article img[width][src$='.png']"):
        header = ((site / page_path).parent / image["src"]).read_bytes()[:24]
        assert int.from_bytes(header[16:20], "big") >= 2 * int(image["width"]), image["src"]


def test_images_have_text_in_their_stead(site: Path, page_path: str) -> None:
    for image in read_html(site / page_path).select("article img"):
        alt = image.get("alt", "")
        assert len(re.findall(r"[^\W\d_]{2,}", alt)) >= 5, f"{image['src']}: {alt!r}"
        assert not re.search(r"\w\.(png|svg|jpe?g|webp)\b|\w/\w+/", alt), alt


def test_nothing_is_cut_off_on_a_phone(browser: Browser, server: str, page_path: str) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(server + page_path, wait_until="networkidle")
        page.evaluate(OPEN_FOLDS)
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_is_accessible(
    browser: Browser, server: str, page_path: str, theme: Any, width: int
) -> None:
    with browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme
    ) as context:
        page = context.new_page()
        page.goto(server + page_path, wait_until="networkidle")
        # The page for addresses that do not exist follows the system's theme by itself.
        assert page.locator("html").get_attribute("data-theme") in {theme, None}
        page.evaluate(OPEN_FOLDS)
        assert describe_violations(page) == []


def describe_violations(page: Page) -> list[str]:
    """Return what axe-core objects to, one line an element."""
    return [
        f"{violation['id']}: {node['html'][:120]} ({node['failureSummary']})"
        for violation in Axe().run(page).response["violations"]
        for node in violation["nodes"]
    ]
