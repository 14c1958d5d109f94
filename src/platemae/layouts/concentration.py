"""Concentrations: numbers, in micromolar where the layout says a molar unit."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from platemae.errors import ConfigError
from platemae.layouts.rows import Row

_MOLAR = {"m": 1e6, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3, "pm": 1e-6}
_MOLAR |= {"mol/l": 1e6, "mmol/l": 1e3, "umol/l": 1.0, "µmol/l": 1.0, "μmol/l": 1.0, "nmol/l": 1e-3}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
"""Stricter than ``float``, which takes 1_000 and the digits of all scripts; pandas later does not."""


def concentration(row: Row) -> str:
    """Return the concentration of a row, a number as text; empty where there is none.

    Raises
    ------
    ConfigError
        When it is no finite number.
    """
    text = row.get("concentration")
    if not text:
        return ""
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(number):
        what, remedy = f"{text!r} is no concentration", "write a number, with a decimal point"
        raise ConfigError(what, row.cell("concentration"), remedy)
    factor = _MOLAR.get(row.get("unit").lower())
    return text if factor is None else f"{number * factor:.10g}"


def unit_problems(rows: Sequence[Row], where: str) -> list[ConfigError]:
    """Return an error when treated wells have concentrations in units that no factor joins."""
    units = Counter(unit_of(row) for row in rows if row.get("concentration"))
    if len(units) <= 1:
        return []
    found = ", ".join(f"{unit or 'none'} ({n} wells)" for unit, n in units.most_common())
    return [ConfigError(f"concentrations of treated wells have different units: {found}", where, "write one unit")]


def unit_of(row: Row) -> str:
    """Return the unit of a row; all molar ones are one."""
    unit = row.get("unit")
    return "molar" if unit.lower() in _MOLAR else unit
