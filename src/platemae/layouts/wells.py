"""Names of wells, as tables and instruments write them."""

from __future__ import annotations

import re

WELL = re.compile(r"([A-Z]{1,2})[-_ ]?0*([1-9]\d?)")
_LAST_ROW, _LAST_COLUMN = 32, 48  # AF48, the last well of a 1536-well plate


def normalise_well(text: str) -> str:
    """Return a well as row letters and two-digit column: ``b3`` and ``B-03`` become ``B03``.

    Raises
    ------
    ValueError
        When ``text`` names no well of a plate with up to 1536 wells.
    """
    match = WELL.fullmatch(text.strip().upper())
    number = _row_number(match[1]) if match else 0
    if match is None or not 1 <= number <= _LAST_ROW or int(match[2]) > _LAST_COLUMN:
        raise ValueError(f"{text!r} is no well")
    return f"{match[1]}{int(match[2]):02d}"


def join_well(row: str, column: str) -> str:
    """Return ``B03`` for row ``B`` or ``2`` and column ``3``.

    Raises
    ------
    ValueError
        When they name no well.
    """
    row, column = row.strip(), column.strip()
    try:
        letters = _row_letters(int(row)) if row.isdecimal() else row
        return normalise_well(f"{letters}{column}" if column.isdecimal() else "")
    except ValueError:
        raise ValueError(f"row {row!r}, column {column!r} is no well") from None


def _row_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _row_letters(number: int) -> str:
    if not 1 <= number <= _LAST_ROW:
        raise ValueError
    high, low = divmod(number - 1, 26)
    return (chr(ord("A") + high - 1) if high else "") + chr(ord("A") + low)
