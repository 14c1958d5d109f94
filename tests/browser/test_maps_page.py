"""The maps page by hand: what the search and the pointer say is held against cosines taken from the map's file."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from playwright.sync_api import Locator, Page

from tests.browser.result import GENE

pytestmark = pytest.mark.slow


def part(page: Page, name: str) -> Locator:
    return page.locator(f".map [data-part={name}]")


def cosines(page: Page, report: Path) -> dict[str, dict[str, float]]:
    """Cosines between all rows of the map that is shown, by their names."""
    model, correction = part(page, "map").locator("option:checked").inner_text().split(", ")
    table = anndata.read_h5ad(report.parents[1] / "maps" / model / f"{correction}.h5ad")
    unit_ND = table.X / np.linalg.norm(table.X, axis=1, keepdims=True)
    names = list(table.obs_names)
    return {name: dict(zip(names, row, strict=True)) for name, row in zip(names, unit_ND @ unit_ND.T, strict=True)}


def look_up(page: Page, name: str) -> dict[str, float]:
    part(page, "search").fill(name)
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    rows = [row.locator("td").all_inner_texts() for row in part(page, "nearest").locator("tbody tr").all()]
    return {row: float(cosine.replace("−", "-")) for _, row, cosine in rows}


def test_nearest_neighbours_of_a_gene(open_page, report):
    opened = open_page(report, "#maps")
    page = opened.page
    for choice in (0, 1):
        part(page, "map").select_option(index=choice)
        expected = cosines(page, report)
        gene = sorted(set(expected) - {GENE})[1]
        others = sorted((c for name, c in expected[gene].items() if name != gene), reverse=True)
        found = look_up(page, gene)
        assert found == {name: pytest.approx(expected[gene][name], abs=1e-3) for name in found}
        assert list(found.values()) == pytest.approx(others[: len(found)], abs=1e-3)
        assert len(found) == min(10, len(others))
    assert opened.errors == []


def test_the_pointer_reads_the_heatmap(open_page, report):
    page = open_page(report, "#maps").page
    page.wait_for_selector(".map[data-ready]", state="attached")
    part(page, "heatmap").scroll_into_view_if_needed()
    box = part(page, "heatmap").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.7 * box["height"])
    said = part(page, "readout").inner_text()
    expected = cosines(page, report)
    pairs = [(a, b) for a in expected if a in said for b in expected if b in said and a != b]
    assert any(f"{expected[a][b]:.3f}".replace("-", "−") in said for a, b in pairs), said


def test_the_heatmap_by_keyboard(open_page, report):
    page = open_page(report, "#maps").page
    page.wait_for_selector(".map[data-ready]", state="attached")
    expected = cosines(page, report)
    names = part(page, "labels").locator("span").all_inner_texts()
    assert sorted(names) == sorted(expected)
    assert part(page, "labels").is_visible()
    part(page, "heatmap").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    said = part(page, "readout").inner_text()
    assert part(page, "readout").get_attribute("aria-live") == "polite"
    assert said == f"{names[2]} and {names[1]}: cosine {expected[names[2]][names[1]]:.3f}".replace("-", "−")
    page.keyboard.press("End")
    assert f"and {names[-1]}:" in part(page, "readout").inner_text()
    page.keyboard.press("Enter")
    assert names[2] in part(page, "status").inner_text()


def test_names_stand_at_their_rows(open_page, report):
    page = open_page(report, "#maps").page
    page.wait_for_selector(".map[data-ready]", state="attached")
    cells, spans = part(page, "heatmap").bounding_box(), part(page, "labels").locator("span").all()
    row = cells["height"] / len(spans)
    for place in (0, len(spans) // 2, len(spans) - 1):
        box = spans[place].bounding_box()
        assert box["y"] + box["height"] / 2 == pytest.approx(cells["y"] + (place + 0.5) * row, abs=row / 2)


def test_a_gene_that_is_markup_is_text(open_page, small_report):
    opened = open_page(small_report, "#maps")
    page = opened.page
    expected = cosines(page, small_report)
    assert GENE in look_up(page, max((c, n) for n, c in expected[GENE].items() if n != GENE)[1])
    assert look_up(page, GENE)
    assert page.evaluate("window.hit") is None
    assert opened.dialogs == []
