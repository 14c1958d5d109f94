"""The report in a browser: whole, silent, reached by mouse and keyboard, on a screen, on a phone and on paper."""

from __future__ import annotations

import re
from urllib.parse import urldefrag

import pytest

from tests.browser.conftest import PHONE, WIDE
from tests.browser.result import HOSTILE

pytestmark = pytest.mark.slow
MOST_SHEETS = 60


def keys_of(page) -> list[str]:
    return page.eval_on_selector_all("#tabs a", "tabs => tabs.map(tab => tab.hash.slice(1))")


def shown(page) -> list[str]:
    return [key for key in keys_of(page) if page.locator(f"section#{key}").is_visible()]


def show_all_in_turn(page):
    """Yield the key of each page while it is shown, settled."""
    for key in keys_of(page):
        page.locator(f"#tab-{key}").click()
        page.wait_for_timeout(300)
        yield key


def test_it_loads_nothing_and_says_no_error(open_page, report):
    opened = open_page(report)
    for _ in show_all_in_turn(opened.page):
        pass
    assert opened.errors == []
    assert opened.dialogs == []
    asked = [urldefrag(url).url for url in opened.requests if not url.startswith(("data:", "blob:"))]
    assert set(asked) == {report.as_uri()}


def test_tabs_by_mouse_and_by_address(open_page, report):
    page = open_page(report).page
    keys = keys_of(page)
    assert shown(page) == keys[:1] == ["overview"]
    page.locator("#tab-benchmarks").click()
    assert shown(page) == ["benchmarks"]
    assert page.url.endswith("#benchmarks")
    page.go_back()
    assert shown(page) == ["overview"]
    linked = open_page(report, "#plates").page
    assert shown(linked) == ["plates"]
    assert linked.evaluate("window.scrollY") == 0, "the title stays in sight"


def test_tabs_by_keyboard(open_page, report):
    page = open_page(report).page
    keys = keys_of(page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    for key, place in [
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", -1),
        ("ArrowRight", 0),
        ("End", -1),
    ]:
        page.keyboard.press(key)
        assert shown(page) == [keys[place]], key
        assert page.evaluate("document.activeElement.id") == f"tab-{keys[place]}"
    assert page.locator("[role=tab][aria-selected=true]").count() == 1
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)"), "one stop for all tabs"


def test_without_scripts_all_pages_are_read(open_page, report):
    page = open_page(report, java_script_enabled=False).page
    for link in page.locator("#tabs a").all():
        section = page.locator(link.get_attribute("href"))
        assert section.is_visible()
        assert len(section.inner_text()) > 100


def test_on_paper_all_pages_are_there_without_the_bar(open_page, report):
    page = open_page(report).page
    page.emulate_media(media="print")
    assert shown(page) == keys_of(page)
    assert not page.locator("nav").is_visible()
    pdf = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) < MOST_SHEETS


def test_nothing_is_wider_than_the_sheet(open_page, report):
    page = open_page(report, viewport={"width": 718, "height": 1000}).page  # A4 between Chromium's margins
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    too_wide = (
        "all => all.filter(one => one.getBoundingClientRect().right > 718).map(one => one.innerText.slice(0, 60))"
    )
    assert page.eval_on_selector_all("table, figure, img, pre, p, li", too_wide) == []
    raw = page.locator("details.raw")
    assert raw.count() > 0
    assert page.locator("details.raw[open]").count() == 0
    assert page.locator("details:not(.raw):not(.takeaway):not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_the_contents_lead_to_their_headings(open_page, report):
    page = open_page(report, "#benchmarks").page
    links = page.locator("#benchmarks .contents a").all()
    assert links[0].inner_text() == "Scores"
    for link in links:
        link.click()
        page.wait_for_timeout(100)
        target = page.locator(link.get_attribute("href"))
        assert shown(page) == ["benchmarks"]
        assert link.inner_text() in target.inner_text()
        assert 0 <= target.bounding_box()["y"] < WIDE["height"]


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_pages_fit_and_are_accessible(open_page, report, screenshots, size):
    opened = open_page(report, viewport=size)
    page, faults = opened.page, {}
    for key in show_all_in_turn(page):
        page.screenshot(path=screenshots / f"{report.parents[2].name}-{key}-{size['width']}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth")
        found = opened.faults() + ([f"{wide} px wide"] if wide > size["width"] else [])
        if found:
            faults[key] = found
    assert faults == {}


def test_names_that_are_markup_are_text(open_page, small_report):
    opened = open_page(small_report)
    page = opened.page
    for _ in show_all_in_turn(page):
        pass
    assert opened.dialogs == []
    assert page.evaluate("window.hit") is None
    assert page.locator("svg[onload], img[onerror]").count() == 0
    text = page.evaluate("document.body.textContent")  # genes and compounds are searched for: see the other two files
    assert {name for name in ("plate", "stain", "title") if HOSTILE[name] not in text} == set()
