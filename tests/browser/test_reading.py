"""What readers do on the site: find a page, move by keyboard, copy code that then runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

FIRST = "examples/01_the_radon_survey.html"
COPY = "button.copybtn"


def tab_to(tab: Page, selector: str, *, presses: int = 200) -> Locator:
    """Press the tabulator until an element of the kind has the focus, and return it."""
    for _ in range(presses):
        tab.keyboard.press("Tab")
        if tab.evaluate("kind => document.activeElement.matches(kind)", selector):
            tab.evaluate("kind => document.activeElement.dataset.reached = kind", selector)
            return tab.locator(f'[data-reached="{selector}"]')
    return pytest.fail(f"the tabulator does not reach {selector}")


def read_titles(site: Path) -> dict[str, str]:
    """Return the titles of the gallery's pages by the names of their files."""
    titles = {}
    for path in sorted((site / "examples").glob("*.html")):
        heading = BeautifulSoup(path.read_bytes(), "html.parser").select_one("article h1")
        assert heading is not None, f"{path.name} has no title"
        titles[path.name] = heading.get_text().rstrip("#").strip()
    assert titles, "the site has no pages"
    return titles


def find(tab: Page, address: str, words: str) -> list[str]:
    """Return the addresses that the site's search finds, best first."""
    tab.goto(f"{address}search.html?q={words}")
    expect(tab.locator("#search-results")).to_contain_text("Search finished")
    links = tab.locator("#search-results ul.search li > a")
    return [link.get_attribute("href") or "" for link in links.all()]


def test_next_and_previous_lead_through_all_pages(tab: Page, address: str, site: Path) -> None:
    names = list(read_titles(site))
    tab.goto(address + FIRST)
    for link, way in (("right-next", names[1:]), ("left-prev", names[-2::-1])):
        for name in way:
            tab.locator(f".prev-next-area a.{link}").click()
            expect(tab).to_have_url(f"{address}examples/{name}")


def test_search_finds_each_page_by_its_title(
    tab: Page, seen: Any, address: str, site: Path
) -> None:
    lost = {}
    for name, title in read_titles(site).items():
        first = [re.split(r"[?#]", link)[0] for link in find(tab, address, title)[:3]]
        if f"examples/{name}" not in [link.removeprefix(address) for link in first]:
            lost[title] = first
    assert lost == {}
    # From the disk a browser lets no page read another, so results come without an excerpt.
    assert seen.complaints == [] or address.startswith("file:")


def test_search_by_keyboard(tab: Page, seen: Any, server: str) -> None:
    tab.goto(server + FIRST)
    tab_to(tab, ".search-button__button").press("Enter")
    tab.keyboard.type("minibatch")
    tab.keyboard.press("Enter")
    expect(tab.locator("#search-results ul.search li").first).to_be_visible()
    assert seen.complaints == []


def test_theme_by_keyboard(tab: Page, seen: Any, server: str) -> None:
    tab.goto(server + FIRST)
    expect(tab.locator("html")).to_have_attribute("data-theme", "light")
    tab_to(tab, ".bd-header .theme-switch-button").press("Enter")
    tab_to(tab, "[data-mode=dark]", presses=3).press("Enter")
    expect(tab.locator("html")).to_have_attribute("data-theme", "dark")
    tab.reload()
    expect(tab.locator("html")).to_have_attribute("data-theme", "dark")
    assert seen.complaints == []


def test_filter_by_keyboard(tab: Page, seen: Any, server: str) -> None:
    tab.goto(server)
    shown = tab.locator(".page-card:visible")
    everything = shown.count()
    assert everything >= 9
    tab_to(tab, ".page-finder input[type=checkbox]").press("Space")
    assert 0 < shown.count() < everything
    expect(tab.locator(".page-finder [role=status]")).to_contain_text(f"{shown.count()} of")
    tab.keyboard.press("Space")
    tab.keyboard.press("Shift+Tab")
    assert tab.evaluate("document.activeElement.type") == "radio"
    tab.keyboard.press("ArrowDown")
    assert 0 < shown.count() < everything
    assert seen.complaints == []


def test_without_scripts_every_card_is_there(browser: Browser, server: str, site: Path) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto(server)
        for name in read_titles(site):
            expect(tab.locator(f".page-card:visible a[href='examples/{name}']")).to_have_count(1)


def test_address_that_does_not_exist_leads_to_the_start(tab: Page, seen: Any, server: str) -> None:
    answer = tab.goto(f"{server}examples/no_such_page.html", wait_until="networkidle")
    assert answer is not None
    assert answer.status == 404
    expect(tab.get_by_role("heading")).to_have_text("This page does not exist")
    tab.get_by_role("link").click()
    expect(tab).to_have_url(f"{server}index.html")
    assert seen.outside(server) == []
    assert not any("Content Security Policy" in complaint for complaint in seen.complaints)


def test_on_paper_are_the_text_and_every_figure_in_the_light_theme(
    browser: Browser, address: str
) -> None:
    with browser.new_context(color_scheme="dark") as context:
        tab = context.new_page()
        tab.goto(address + FIRST)
        expect(tab.locator("html")).to_have_attribute("data-theme", "dark")
        shown = tab.locator("article figure:has(img)").count()
        assert shown > 3
        # Images far down are loaded late; on paper there is no later.
        assert tab.pdf().count(b"/Subtype /Image") == shown
        expect(tab.locator("html")).to_have_attribute("data-theme", "dark")

        tab.emulate_media(media="print")
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(tab.locator("article img.on-dark:visible")).to_have_count(0)
        expect(tab.locator("article img.on-light:visible")).to_have_count(shown)
        expect(tab.locator("nav:visible, button:visible, summary:visible")).to_have_count(0)
        expect(tab.locator("article h1:visible, .bd-footer .run:visible")).to_have_count(2)
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        expect(tab.locator("article img.on-light:visible")).to_have_count(0)


@pytest.fixture
def clipboard(context: BrowserContext, tab: Page) -> Any:
    """Return what lies on the clipboard when called."""
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return lambda: tab.evaluate("navigator.clipboard.readText()")


def test_copy_by_keyboard(tab: Page, seen: Any, server: str, clipboard: Any) -> None:
    tab.goto(server + FIRST)
    button = tab_to(tab, COPY)
    expect(button).to_have_css("opacity", "1")
    code = button.locator("xpath=..").locator("pre").inner_text()
    button.press("Enter")
    expect(button).to_have_class(re.compile("success"))
    assert clipboard().strip() == code.strip()
    expect(button).to_be_focused()
    assert seen.complaints == []


def test_copied_code_runs(tab: Page, address: str, clipboard: Any, tmp_path: Path) -> None:
    tab.goto(address + FIRST)
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    cells = []
    for button in tab.locator(f".cell_input {COPY}").all():
        button.click()
        expect(button).to_have_class(re.compile("success"))
        cells.append(clipboard())
    assert len(cells) > 5
    assert not any(re.search(r"^(>>>|In \[|Out\[)", cell, re.MULTILINE) for cell in cells)
    assert tab.locator(f".cell_output {COPY}").count() == 0
    (tmp_path / "copied.py").write_text("\n\n".join(cells), encoding="utf-8")
    subprocess.run(
        [sys.executable, "copied.py"],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        check=True,
        capture_output=True,
    )


def test_copied_commands_have_no_prompts_and_no_outputs(
    tab: Page, server: str, clipboard: Any
) -> None:
    tab.goto(f"{server}api/cli.html")
    block = tab.locator(".highlight-console").nth(1)
    expect(block).to_contain_text("$ radon-gallery copy 4\n04_minibatch_advi.ipynb")
    block.hover()
    block.locator(COPY).click()
    expect(block.locator(COPY)).to_have_class(re.compile("success"))
    assert clipboard().splitlines() == [
        "radon-gallery copy 4",
        "radon-gallery copy minibatch_advi notes/advi.py",
    ]


def read_kinds(cell: Any) -> set[str]:
    """Return the kinds of output of a notebook's cell."""
    return {kind for output in cell.outputs for kind in output.get("data", {})}


def test_each_page_can_be_taken_away(tab: Page, server: str, site: Path) -> None:
    for name in read_titles(site):
        tab.goto(f"{server}examples/{name}")
        links = tab.get_by_role("navigation", name="Download this page").get_by_role("link")
        assert links.all_inner_texts() == ["Notebook", "Script", "Markdown"]
        with tab.expect_download() as download:
            links.first.click()
        stem = Path(name).stem
        assert download.value.suggested_filename == f"{stem}.ipynb"
        notebook = nbformat.read(download.value.path(), as_version=4)
        nbformat.validate(notebook)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code)
        assert "image/png" in {kind for cell in code for kind in read_kinds(cell)}


@pytest.mark.parametrize("page", ["index.html", FIRST, "api/data.html"])
def test_one_click_leads_to_the_same_page_of_the_other_edition(
    tab: Page, seen: Any, joined: str, page: str
) -> None:
    switch = tab.locator(".edition-switch:visible")
    tab.goto(joined + page)
    expect(switch).to_contain_text("Aesara edition")
    switch.get_by_role("link", name="PyTensor").click()
    expect(tab).to_have_url(f"{joined}pytensor/{page}")
    expect(switch).to_contain_text("PyTensor edition")
    switch.get_by_role("link", name="Aesara").click()
    expect(tab).to_have_url(joined + page)
    assert seen.outside(joined) == []
    assert seen.complaints == []
