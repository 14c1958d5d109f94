"""Names of fields as instruments write them, and as the store does."""

from __future__ import annotations

from platemae.wells import is_number


def field_label(text: str) -> str:
    """Return an instrument's label of a field, numbers without leading zeros."""
    return str(int(text)) if is_number(text) else text


def field_order(label: str) -> tuple[int, int, str]:
    """Return the sort key of a field label: numbers by value, then texts."""
    return (0, int(label), "") if is_number(label) else (1, 0, label)
