"""Places of wells on a plate, and the usual sizes of plates."""

from __future__ import annotations

import re
from collections.abc import Iterable

FORMATS = ((2, 3), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of the usual plates: 6, 24, 48, 96, 384, 1536 wells."""

_WELL = re.compile(r"([A-Z]{1,2})(\d+)")


def well_place(well: str) -> tuple[int, int]:
    """Return row and column of a well, from 0: ``B03`` is (1, 2), ``AA01`` is (26, 0).

    Raises
    ------
    ValueError
        When ``well`` is no well.
    """
    match = _WELL.fullmatch(well)
    if match is None:
        raise ValueError(f"{well!r} is no well")
    row = 0
    for letter in match[1]:
        row = row * 26 + ord(letter) - 64
    return row - 1, int(match[2]) - 1


def plate_shape(wells: Iterable[str]) -> tuple[int, int]:
    """Return rows and columns of the smallest usual plate that holds the wells.

    Wells that reach over less than half of it are taken without the rest: rows and columns then end with the last well.
    """
    places = [well_place(well) for well in set(wells)]
    rows, columns = (max(numbers) + 1 for numbers in zip(*places, strict=True))
    for format_rows, format_columns in FORMATS:
        if rows <= format_rows and columns <= format_columns:
            half_full = 2 * rows * columns >= format_rows * format_columns
            return (format_rows, format_columns) if half_full else (rows, columns)
    return rows, columns
