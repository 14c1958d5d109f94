"""Plates without images: their wells are those of the layout, for profiles that were made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from platemae.readers.base import FieldRecord, Inventory
from platemae.wells import well_order

KIND = "none"
"""Kind of the reader entry that says so."""


def from_layout(wells: Iterable[str]) -> Inventory:
    """Return an inventory of no channel, with one record a well, which stands for the place of the well alone."""
    records = [FieldRecord(well, "0", {}) for well in sorted(wells, key=well_order)]
    return Inventory(tuple(records), channels=(), pixel_size_um=float("nan"), files=(), notes=("no images",))
