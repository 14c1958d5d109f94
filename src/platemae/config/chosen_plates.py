"""Which plates a configuration chooses: to fit on, to align with, to keep features by, to put on the maps."""

from __future__ import annotations

from collections.abc import Sequence

from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.config.sections import Config, CorrectionEntry


def named_plates(plates: PlateTable, names: list[str] | str) -> list[str]:
    """Return plates in one order, so that rows of plates.tsv or names in another order rerun nothing."""
    return list(plates.names) if names == "all" else sorted(names)


def map_plates(config: Config, plates: Sequence[Plate]) -> list[str]:
    """Return the plates whose wells become the maps and are scored."""
    return named_plates(PlateTable.of(plates), config.map.plates)


def fit_plates(config: Config, plates: PlateTable, entry: CorrectionEntry) -> list[str]:
    """Return the plates that a basis is fitted on; all are those of the maps, as others need not be embedded."""
    named = config.map.plates if entry.fit_plates == "all" else entry.fit_plates
    return named_plates(plates, named)


def unit_plates(config: Config, plates: Sequence[Plate], correction: str, plate: str) -> list[str]:
    """Return the plates whose controls align ``plate``: itself, or all plates of its batch that are on the maps."""
    if config.entry("corrections", correction).batch_unit == "plate":
        return [plate]
    table = PlateTable.of(plates)
    together = table.of_batch[table.by_name[plate].batch]
    mapped = together if config.map.plates == "all" else config.map.plates
    return sorted({plate} | set(together) & set(mapped))


def feature_plates(config: Config, plates: Sequence[Plate], model: str, plate: str) -> list[str]:
    """Return the plates whose tables say which features a plate's profiles keep; none where its own says it."""
    entry = config.entry("models", model)
    # One table for all plates has one set of columns, unless values decide.
    apart = entry.source == "table" and ("{plate}" in entry.table or entry.missing == "drop_features")
    if entry.kind != "classical" and not apart:
        return []
    return named_plates(PlateTable.of(plates), entry.feature_plates)
