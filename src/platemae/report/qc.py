"""QC rows as the page shows them: excluded fields, and measures laid out on the plate."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

PASSED = "pass"
"""The verdict of a field that is used."""

FORMATS = ((2, 3), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of the usual plates: 6, 24, 48, 96, 384, 1536 wells."""

_WELL = re.compile(r"([A-Z]{1,2})(\d+)")


def failed_fields(qc: pd.DataFrame) -> pd.DataFrame:
    """Return plate, well, field and reason of each excluded field, once a field."""
    failed = qc[qc["verdict"] != PASSED]
    return failed[["plate", "well", "field", "reason"]].drop_duplicates(["plate", "well", "field"])


def reason_kind(reason: str) -> str:
    """Return a reason without its numbers: what stands before the colon, of each part."""
    return "; ".join(part.split(":")[0].strip() for part in reason.split(";"))


def well_place(well: str) -> tuple[int, int]:
    """Return row and column of a well, from 0: ``B03`` is (1, 2), ``AA01`` is (26, 0)."""
    match = _WELL.fullmatch(well)
    if match is None:
        raise ValueError(f"{well!r} is no well")
    row = 0
    for letter in match[1]:
        row = row * 26 + ord(letter) - 64
    return row - 1, int(match[2]) - 1


def plate_shape(wells: pd.Series) -> tuple[int, int]:
    """Return rows and columns of the smallest usual plate that holds the wells.

    Wells that reach over less than half of it are drawn without the rest: rows and columns then end with the last well.
    """
    places = np.array([well_place(well) for well in wells.unique()])
    rows, columns = places.max(axis=0) + 1
    for format_rows, format_columns in FORMATS:
        if rows <= format_rows and columns <= format_columns:
            half_full = 2 * rows * columns >= format_rows * format_columns
            return (format_rows, format_columns) if half_full else (int(rows), int(columns))
    return int(rows), int(columns)


def layout(values: pd.Series, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return values indexed by well as an array of the plate, NaN where there is no well."""
    plate = np.full(shape, np.nan)
    for well, value in values.items():
        plate[well_place(str(well))] = value
    return plate
