"""Wells: one spelling for all that tables and instruments write, places on a plate, the usual sizes of plates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

FORMATS = ((2, 3), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of the usual plates: 6, 24, 48, 96, 384, 1536 wells."""

_WELL = re.compile(r"([A-Z]{1,2})[-_ ]?0*([1-9]\d?)")
_PLACE = re.compile(r"([A-Z]{1,2})(\d+)")
_LAST_ROW, _LAST_COLUMN = FORMATS[-1]  # AF48
_MANY = 4096  # wells of a plate in a few spellings; a plate names each of them once an image


@lru_cache(maxsize=_MANY)
def parse_well(text: str) -> str:
    """Return a well as row letters and two-digit column: ``b3`` and ``B-03`` become ``B03``.

    Raises
    ------
    ValueError
        When ``text`` names no well of a plate with up to 1536 wells.
    """
    match = _WELL.fullmatch(text.strip().upper())
    if match is None or _row_number(match[1]) > _LAST_ROW or int(match[2]) > _LAST_COLUMN:
        raise ValueError(f"{text[:100]!r} is no well")
    return f"{match[1]}{int(match[2]):02d}"


@lru_cache(maxsize=_MANY)
def join_well(row: str, column: str) -> str:
    """Return ``B03`` for row ``B`` or ``02`` and column ``3`` or ``03``.

    Raises
    ------
    ValueError
        When they name no well of a plate with up to 1536 wells.
    """
    letters, number = row.strip(), column.strip()
    try:
        letters = _row_letters(int(letters)) if is_number(letters) else letters
        return parse_well(f"{letters}{number}" if letters.isalpha() and is_number(number) else "")
    except ValueError:
        raise ValueError(f"row {row[:100]!r}, column {column[:100]!r} is no well") from None


def split_well(well: str) -> tuple[str, int]:
    """Return row letters and column number of a well such as ``B03``."""
    letters = well.rstrip("0123456789")
    return letters, int(well[len(letters) :])


def well_order(well: str) -> tuple[int, str, int]:
    """Return the sort key of a well: row (A to Z before AA), column."""
    row, column = split_well(well)
    return len(row), row, column


def well_place(well: str) -> tuple[int, int]:
    """Return row and column of a well, from 0: ``B03`` is (1, 2), ``AA01`` is (26, 0).

    Raises
    ------
    ValueError
        When ``well`` is no well.
    """
    match = _PLACE.fullmatch(well)
    if match is None:
        raise ValueError(f"{well!r} is no well")
    return _row_number(match[1]) - 1, int(match[2]) - 1


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


def is_number(text: str) -> bool:
    """Return whether a text is a whole number of sensible length: Python refuses to convert thousands of digits."""
    return text.isdecimal() and len(text) <= 18


def _row_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _row_letters(number: int) -> str:
    if not 1 <= number <= _LAST_ROW:
        raise ValueError(f"{number} is no row")
    high, low = divmod(number - 1, 26)
    return (chr(ord("A") + high - 1) if high else "") + chr(ord("A") + low)
