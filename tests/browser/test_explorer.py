"""The county explorer answers to pointing, tapping and the keyboard, and needs none of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

PAGE = "explorer.html"
FIRST = "Lac qui Parle"


@pytest.fixture
def explorer(tab: Page, address: str) -> Locator:
    """The explorer, drawn."""
    tab.goto(address + PAGE)
    return drawn(tab)


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Locator]:
    """The explorer on a phone."""
    with browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    ) as context:
        page = context.new_page()
        page.goto(address + PAGE)
        yield drawn(page)


def drawn(page: Page) -> Locator:
    """Wait until the explorer can be used, and return it."""
    explorer = page.locator("#county-explorer[data-ready]")
    expect(explorer).to_be_visible()
    return explorer


def disc(explorer: Locator, county: str) -> Locator:
    """Return the disc of a county."""
    return explorer.locator(f'.explorer-map path[aria-label="{county}"]')


def centre_of(explorer: Locator, county: str) -> tuple[float, float]:
    """Return the middle of a county's disc on the screen."""
    mark = disc(explorer, county)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def expect_county(explorer: Locator, county: str, *, chosen: str | None = None) -> None:
    """Require that name, map and numbers tell of a county, and the list of the one chosen."""
    expect(explorer).to_have_attribute("data-county", county)
    expect(explorer.locator("[data-part=county]")).to_have_text(county)
    expect(explorer.locator(".explorer-map").get_by_text(county, exact=True).first).to_be_visible()
    expect(explorer.get_by_label("County", exact=True)).to_have_value(chosen or county)
    row = explorer.page.locator(f'.explorer-all tr[data-county="{county}"]')
    figures = row.locator("td").all_text_contents()
    assert explorer.locator("[data-part=homes]").inner_text().startswith(figures[0])
    for shown, listed in zip(explorer.locator("tr[data-estimate]").all(), figures[1:], strict=True):
        mean, interval = shown.locator("td").all_text_contents()
        assert listed == (mean if interval == "none" else f"{mean} ({interval})")


def test_pointing_shows_a_county_and_leaving_shows_the_chosen_one(explorer: Locator) -> None:
    expect_county(explorer, FIRST)
    explorer.page.mouse.move(*centre_of(explorer, "Cook"))
    expect_county(explorer, "Cook", chosen=FIRST)
    explorer.page.mouse.move(5, 5)
    expect_county(explorer, FIRST)


def test_clicking_chooses_a_county(explorer: Locator) -> None:
    explorer.page.mouse.click(*centre_of(explorer, "St. Louis"))
    explorer.page.mouse.move(5, 5)
    expect_county(explorer, "St. Louis")


def test_tapping_chooses_a_county(phone: Locator) -> None:
    for county in ("Lake", "Hennepin"):
        phone.page.touchscreen.tap(*centre_of(phone, county))
        expect_county(phone, county)


def test_keyboard_alone_chooses_county_and_colour(explorer: Locator) -> None:
    keyboard = explorer.page.keyboard
    for _ in range(60):
        keyboard.press("Tab")
        if explorer.page.evaluate("document.activeElement.id") == "explorer-county":
            break
    keyboard.press("ArrowDown")
    expect_county(explorer, "Lake")
    keyboard.type("St. L")
    expect_county(explorer, "St. Louis")
    keyboard.press("Tab")
    before = disc(explorer, "Lac qui Parle").get_attribute("fill")
    keyboard.press("ArrowLeft")
    expect(explorer).to_have_attribute("data-estimate", "unpooled")
    expect(disc(explorer, "Lac qui Parle")).not_to_have_attribute("fill", before or "")


def test_pooled_colours_are_one_and_unpooled_ones_differ(explorer: Locator) -> None:
    def colours() -> int:
        discs = explorer.locator(".explorer-map path[aria-label]")
        assert discs.count() == 85
        fills = discs.evaluate_all("discs => discs.map(disc => disc.getAttribute('fill'))")
        return len(set(fills))

    explorer.get_by_role("radio", name="unpooled").check()
    assert colours() > 40
    explorer.get_by_role("radio", name="pooled", exact=True).check()
    assert colours() == 1


def test_numbers_are_told_as_they_change(explorer: Locator) -> None:
    live = explorer.locator("[aria-live=polite]")
    expect(live.locator("table")).to_be_visible()
    expect(live.locator("select, input, svg")).to_have_count(0)


def test_map_fits_a_phone(phone: Locator) -> None:
    page = phone.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = disc(phone, "Cook").bounding_box()  # the easternmost
    assert box is not None
    assert box["x"] + box["width"] <= 390


def test_without_javascript_a_picture_and_the_table_are_there(
    browser: Browser, address: str
) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address + PAGE)
        explorer = page.locator("#county-explorer")
        expect(explorer.locator("svg")).to_have_count(2)
        expect(disc(explorer, FIRST)).to_be_visible()
        expect(explorer.locator("[data-part=county]")).to_have_text(FIRST)
        expect(explorer.locator("select")).to_be_hidden()
        expect(page.locator(".explorer-all tbody tr")).to_have_count(85)
