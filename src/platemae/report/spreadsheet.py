"""CSV that a spreadsheet shows and does not run: names come from outside, and one such as ``=1+1`` is a formula there.

Text that begins with ``= + - @``, a tab or a line end gets an apostrophe in front, as spreadsheets mark text by hand;
numbers, also with an interval behind, stay as they are. `UNDO` takes the apostrophe off again, whatever the text was.
Where a name holds a carriage return all text is quoted, else its rest would begin a row, and could be a formula there.
"""

from __future__ import annotations

import csv
import re
from typing import Literal

import pandas as pd
from pandas.api.types import is_numeric_dtype

_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)? ?%?"
_BOUNDS = rf"\[{_NUMBER}, {_NUMBER}\]"
NUMBERS = re.compile(rf"{_NUMBER}(?: {_BOUNDS})?(?: \(plates {_BOUNDS}\))?")
"""A number as tables show it: alone, with its interval, with that of resampled plates."""

FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
"""How text begins that would be run, or that would lose an apostrophe of its own by `UNDO`."""

UNDO = r""".replace(r"^'(?='*[=+\-@\t\r\n])", "", regex=True)"""
"""Python behind a reloaded table that gives the text back."""


def guarded(text: object) -> object:
    """Return a cell, text that a spreadsheet would run with an apostrophe in front."""
    if not isinstance(text, str) or not FORMULA.match(text) or NUMBERS.fullmatch(text):
        return text
    return f"'{text}"


def csv_bytes(frame: pd.DataFrame) -> tuple[bytes, bool]:
    """Return a table as CSV, and whether any of its text had to be guarded."""
    safe = frame.apply(lambda column: column if is_numeric_dtype(column) else column.map(guarded))
    content, plain = map(_csv, (safe, frame))
    return content, content != plain


def _csv(frame: pd.DataFrame) -> bytes:
    """Return CSV with line feeds; Python's writer quotes a carriage return only where it ends lines with one."""
    texts = frame.select_dtypes(exclude="number").to_numpy().ravel()
    torn = any("\r" in str(text) for text in (*frame.columns, *texts))
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if torn else csv.QUOTE_MINIMAL
    return frame.to_csv(index=False, lineterminator="\n", quoting=quoting).encode()
