"""Small tables of text that a user gives beside a map: labels, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from platemae.errors import InputError, MissingError

BLANK = ("", "nan", "NaN", "NA", "N/A", "None", "<NA>")
"""What stands for no value in tables and in names of wells."""


def read_text_table(path: Path, needed: Sequence[str], what: str) -> pd.DataFrame:
    """Read a table of text, separated by tabs where its header holds one, else by commas.

    Parameters
    ----------
    path
        The file, with a header.
    needed
        Columns that must be there.
    what
        What the table is, for errors: ``table of labels``.

    Returns
    -------
    All columns as text without spaces around it; words for nothing (NA, nan, None) are empty.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it cannot be read, lacks a column or holds no row.
    """
    if not path.is_file():
        raise MissingError(f"the {what} is not there", str(path), "correct its path in benchmarks")
    remedy = f"write a header with {', '.join(needed)}, separated by commas or tabs"
    try:
        head = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        separator = "\t" if "\t" in head else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"not a {what}: {error}", str(path), remedy) from error
    table.columns = table.columns.str.strip()
    lost = [column for column in needed if column not in table.columns]
    if lost:
        found = ", ".join(map(str, table.columns))
        raise InputError(f"no column {' and '.join(lost)} (found: {found})", str(path), remedy)
    if table.empty:
        raise InputError(f"the {what} holds no row", str(path), remedy)
    stripped = table.apply(lambda column: column.str.strip())
    return stripped.mask(stripped.isin(BLANK), "")
