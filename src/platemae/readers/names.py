"""Names of wells and fields as instruments write them, and as the store does."""

from __future__ import annotations

import re

_WELL = re.compile(r"([A-Za-z]{1,2})[-_ ]?0*([1-9]\d?)")
_LAST_ROW = 32  # AF, the last row of a 1536-well plate


def parse_well(text: str) -> str:
    """Return ``B03`` for ``B3``, ``b03`` or ``B-03``.

    Raises
    ------
    ValueError
        When ``text`` names no well.
    """
    match = _WELL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no well")
    return join_well(match[1], match[2])


def join_well(row: str, column: str) -> str:
    """Return ``B03`` for row ``B`` or ``02`` and column ``3`` or ``03``.

    Raises
    ------
    ValueError
        When they name no well of a plate with up to 1536 wells.
    """
    number = int(row) if _is_number(row) else _row_number(row)
    if not _is_number(column) or not 1 <= int(column) <= 48 or not 1 <= number <= _LAST_ROW:
        raise ValueError(f"row {row!r}, column {column!r} is no well")
    return f"{_row_letters(number)}{int(column):02d}"


def split_well(well: str) -> tuple[str, int]:
    """Return row letters and column number of a well such as ``B03``."""
    letters = well.rstrip("0123456789")
    return letters, int(well[len(letters) :])


def field_label(text: str) -> str:
    """Return an instrument's label of a field, numbers without leading zeros."""
    return str(int(text)) if _is_number(text) else text


def field_order(label: str) -> tuple[int, int, str]:
    """Return the sort key of a field label: numbers by value, then texts."""
    return (0, int(label), "") if _is_number(label) else (1, 0, label)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 18  # Python refuses to convert thousands of digits


def _row_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z":
            return 0
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _row_letters(number: int) -> str:
    high, low = divmod(number - 1, 26)
    return (chr(ord("A") + high - 1) if high else "") + chr(ord("A") + low)
