"""CSV to take away: what a spreadsheet would run is text, numbers stay numbers, and the snippet gives all back."""

import csv
import io
import os
from pathlib import Path

import pandas as pd
import pytest

from platemae.report.blocks import Figure, Table
from platemae.report.drawing import Drawing
from platemae.report.spreadsheet import csv_bytes, guarded

RUN = ["=1+1", "+A1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1", "-", "-0.3x", "'=1", "''-a"]
LEFT = ["-0.3", "+0.25", "-1,200", "-8.1%", "-3e-05", "-0.010 [-0.027, 0.053]", "-0.1 [-0.2, 0.0] (plates [-0.3, 0.1])"]
LEFT += ["G001", "5'-UTR", "'quoted'", "", "NA"]
TORN = ["TP53\r=1+1", "a\r\n=1+1", 'say "b"\n@SUM(1)', "c\r"]
"""Names with line ends inside, after which a spreadsheet would begin a row."""


@pytest.mark.parametrize("text", RUN)
def test_text_that_would_be_run_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("text", LEFT)
def test_numbers_and_other_text_stay(text: str) -> None:
    assert guarded(text) == text


def test_numbers_of_a_column_of_numbers_stay() -> None:
    frame = pd.DataFrame({"gene": ["a", "b"], "cosine": [-0.3, 0.2]})
    assert csv_bytes(frame) == (b"gene,cosine\na,-0.3\nb,0.2\n", False)
    assert csv_bytes(frame[:0])[0] == b"gene,cosine\n"


@pytest.mark.parametrize("names", [RUN + LEFT + TORN, LEFT, ["b\r=1"]])
def test_the_snippet_gives_back_what_was_written(names: list[str], tmp_path: Path) -> None:
    table = Table(["name", "value"], [[name, "-0.5"] for name in names], name="t")
    drawn = Figure(Drawing({"png": b""}, pd.DataFrame({"name": names, "x": -0.5})), "alt", "c", name="d")
    (tmp_path / "files").mkdir()
    for block in (table, drawn):
        for name, content in block.files.items():
            (tmp_path / "files" / name).write_bytes(content)
    written = csv.reader(io.StringIO(table.files["t.csv"].decode(), newline=""), strict=True)
    assert not [row for row in written if row[0].startswith(("=", "+A", "@", "-2+", "\t", "\r"))]
    found: dict = {}
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        exec(table.takeaway.snippet + drawn.takeaway.snippet, found)
    finally:
        os.chdir(here)
    for name in ("table", "drawn"):
        back = found[name]
        assert [str(text) for text in back["name"].fillna("")] == names
        assert (back.iloc[:, 1] == -0.5).all()
    assert ("apostrophe" in table.takeaway.snippet) == ("=1+1" in names)
