"""The wells that the embeddings browser saves as CSV: all that were selected, and no name that a spreadsheet runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.browser.result import COMPOUND

pytestmark = pytest.mark.slow


def test_a_name_that_is_a_formula_is_saved_as_text(open_page, small_report):
    page = open_page(small_report, "#embeddings", accept_downloads=True).page
    page.wait_for_selector(".browser[data-ready]", state="attached")
    part = {name: page.locator(f".browser [data-part={name}]") for name in ("search", "save", "selected")}
    part["search"].fill(COMPOUND)
    page.keyboard.press("Enter")
    with page.expect_download() as download:
        part["save"].click()
    assert download.value.suggested_filename == "selected-wells.csv"
    with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == part["selected"].locator("tbody tr").count() > 0
    assert {row["compound"] for row in rows} == {f"'{COMPOUND}"}
    assert {row["gene"] for row in rows} == {"G002"}
