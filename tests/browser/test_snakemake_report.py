"""Snakemake's own report of the demo in a browser: it opens whole, and asks for nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def snakemake_report(demo_report, tmp_path_factory) -> Path:
    root = demo_report.parents[2]
    if not (root / "Snakefile").is_file():
        pytest.skip("the report is not that of a project's own run")
    page = tmp_path_factory.mktemp("snakemake") / "report.html"
    command = [Path(sys.executable).with_name("snakemake"), "--report", page, "--cores", "1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return page


def test_it_opens_whole_and_asks_for_nothing(open_page, snakemake_report, screenshots):
    opened = open_page(snakemake_report)
    page = opened.page
    page.get_by_text("Benchmarks", exact=True).first.wait_for()
    page.screenshot(path=screenshots / "snakemake-report-1280.png")
    page.get_by_text("Benchmarks", exact=True).first.click()
    page.get_by_text("scores.csv").first.wait_for()
    assert opened.errors == []
    assert {url for url in opened.requests if not url.startswith(("data:", "blob:"))} == {page.url.split("#")[0]}
