"""The embeddings browser by hand: hover, select, search, colour; what it says is held against the embeddings' files."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import pandas as pd
import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import PHONE
from tests.browser.result import COMPOUND, GENE, GUIDE, PLATE

pytestmark = pytest.mark.slow


@pytest.fixture
def page(open_page, report) -> Page:
    opened = open_page(report, "#embeddings")
    opened.page.wait_for_selector(".browser[data-ready]", state="attached")
    yield opened.page
    assert opened.errors == []
    assert opened.dialogs == []


def part(page: Page, name: str) -> Locator:
    return page.locator(f".browser [data-part={name}]")


def wells(page: Page, report: Path) -> pd.DataFrame:
    """Rows of the model that is shown, from the files that its stage wrote."""
    folder = report.parents[1] / "embeddings" / part(page, "model").locator("option:checked").inner_text()
    tables = [anndata.read_h5ad(path, backed="r").obs for path in sorted(folder.glob("*.h5ad"))]
    return pd.concat(tables).astype(str)


def selected(page: Page) -> int:
    found = re.search(r"([\d,]+) wells? selected", part(page, "status").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def listed(page: Page) -> list[dict[str, str]]:
    heads, *rows = [row.locator("th, td").all_inner_texts() for row in part(page, "selected").locator("tr").all()]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def test_hover_shows_a_well_and_its_picture(page, report):
    box = part(page, "plots").bounding_box()
    spots = [(x, y) for y in range(40, 400, 12) for x in range(60, int(box["width"] / 2) - 30, 7)]
    for x, y in spots:
        page.mouse.move(box["x"] + x, box["y"] + y)
        if part(page, "tip").is_visible():
            break
    tip = part(page, "tip")
    facts = dict(zip(tip.locator("dt").all_inner_texts(), tip.locator("dd").all_inner_texts(), strict=True))
    known = wells(page, report)
    assert ((known["Metadata_Plate"] == facts["plate"]) & (known["Metadata_Well"] == facts["well"])).sum() == 1
    picture = tip.get_by_role("img").evaluate("image => getComputedStyle(image).backgroundImage")
    assert picture.startswith('url("data:image/')


def lasso_all(page: Page) -> None:
    plot = part(page, "plots").locator("> div").first.bounding_box()
    left, right, top, bottom = plot["x"] + 34, plot["x"] + plot["width"] - 8, plot["y"] + 30, plot["y"] + 405
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 3)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.wait_for_timeout(300)


def test_a_lasso_around_all_lists_the_wells(page, report):
    lasso_all(page)
    count = len(wells(page, report))
    assert selected(page) == count
    rows = listed(page)
    assert len(rows) == min(count, 100)
    assert {row["plate"] for row in rows} <= set(wells(page, report)["Metadata_Plate"])


def test_search_finds_the_wells_of_a_gene(page, report):
    known = wells(page, report)
    gene = sorted(set(known["Metadata_Gene"]) - {"", GENE})[2]
    part(page, "search").fill(gene)
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert selected(page) == (known["Metadata_Gene"] == gene).sum() > 0
    assert {row["gene"] for row in listed(page)} == {gene}
    part(page, "clear").click()
    assert selected(page) == 0


def test_the_search_offers_names_that_begin_with_what_is_typed(page, report):
    known = wells(page, report)
    assert part(page, "names").locator("option").count() == 0
    typed = sorted(set(known["Metadata_Gene"]) - {"", GENE})[2][:-1]
    part(page, "search").press_sequentially(typed.upper())
    offered = part(page, "names").locator("option").evaluate_all("options => options.map(option => option.value)")
    columns = ("Metadata_Gene", "Metadata_Perturbation", "Metadata_Compound")
    expected = {name for column in columns for name in known[column] if name.upper().startswith(typed.upper())}
    assert sorted(offered) == sorted(expected)


def test_one_selection_follows_another(page, report):
    hint = part(page, "status").inner_text()
    assert "drag over points" in hint
    assert "click a group" in hint
    part(page, "colour").select_option("gene")
    part(page, "group").select_option(index=2)
    marked = part(page, "group").locator("option:checked").inner_text()
    assert selected(page) == int(re.search(r"\((\d+)\)$", marked)[1])
    known = wells(page, report)
    gene = sorted(set(known["Metadata_Gene"]) - {"", GENE})[2]
    part(page, "search").fill(gene)
    page.keyboard.press("Enter")
    assert part(page, "status").inner_text().startswith(f"{gene}: ")
    assert part(page, "group").input_value() == "", "what is found is not what was marked"
    lasso_all(page)
    assert selected(page) == len(known)
    plot = part(page, "plots").locator("> div").first
    page.mouse.move(0, 0)
    selected_alone = plot.screenshot()
    part(page, "clear").click()
    assert part(page, "status").inner_text() == hint
    lasso_all(page)
    page.mouse.move(0, 0)
    assert plot.screenshot() == selected_alone, "no orange point of the search is left"
    part(page, "search").fill("zzz")
    page.keyboard.press("Enter")
    assert re.match("No gene.* or .* here holds “zzz”", part(page, "status").inner_text())
    assert selected(page) == 0


def swipe(page: Page, x: float, y: float, by: tuple[float, float]) -> None:
    touch = page.context.new_cdp_session(page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        point = {"x": x + by[0] * step / 8, "y": y + by[1] * step / 8}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(500)


def test_a_finger_scrolls_over_the_plots_until_dragging_is_chosen(open_page, small_report):
    page = open_page(small_report, "#embeddings", viewport=PHONE, has_touch=True, is_mobile=True).page
    page.wait_for_selector(".browser[data-ready]", state="attached")

    def box() -> dict[str, float]:
        part(page, "plots").evaluate("plots => plots.scrollIntoView()")
        page.wait_for_timeout(300)
        return part(page, "plots").bounding_box()

    plots, before = box(), page.evaluate("scrollY")
    assert plots["height"] < PHONE["height"], "both plots fit the screen"
    swipe(page, plots["x"] + 150, plots["y"] + 400, (0, -250))
    assert page.evaluate("scrollY") > before + 150
    assert selected(page) == 0
    part(page, "drag").select_option("box")
    plots, before = box(), page.evaluate("scrollY")
    swipe(page, plots["x"] + 60, plots["y"] + 60, (230, 230))
    assert page.evaluate("scrollY") == before
    assert selected(page) > 0


def test_colours_follow_the_menu(page, report):
    def drawn() -> bytes:
        page.wait_for_timeout(500)
        return part(page, "plots").screenshot()

    controls = drawn()
    part(page, "colour").select_option("plate")
    assert drawn() != controls
    names = set(wells(page, report)["Metadata_Plate"])
    legend = part(page, "legend").get_by_role("button")
    assert {re.sub(r"^.\s*| \(\d+\)$", "", text) for text in legend.all_inner_texts()} == names
    part(page, "legend").get_by_role("button").first.click()
    (plate,) = {row["plate"] for row in listed(page)}
    assert selected(page) == (wells(page, report)["Metadata_Plate"] == plate).sum()


def test_menus_work_by_keyboard(page):
    before = part(page, "drawn").inner_text()
    part(page, "model").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    assert part(page, "drawn").inner_text() != before


def test_names_that_are_markup_are_text_here_too(open_page, small_report):
    opened = open_page(small_report, "#embeddings")
    page = opened.page
    page.wait_for_selector(".browser[data-ready]", state="attached")
    part(page, "colour").select_option("plate")
    assert PLATE in part(page, "legend").inner_text()
    for wanted, column in ((GENE, "gene"), (GUIDE, "perturbation"), (COMPOUND, "compound")):
        part(page, "search").fill(wanted)
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        assert {row[column] for row in listed(page)} == {wanted}
    assert page.evaluate("window.hit") is None
    assert opened.dialogs == []
