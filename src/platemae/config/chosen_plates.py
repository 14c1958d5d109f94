"""Which plates a configuration chooses: to fit on, to align with, to keep features by, to put on the maps.

And by that which plates a stage is asked for: rules, plans and the report all take it from here.
"""

from __future__ import annotations

from collections.abc import Sequence

from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.config.sections import Config, CorrectionEntry
from platemae.selection import selection_name


def named_plates(plates: PlateTable, names: list[str] | str) -> list[str]:
    """Return plates in one order, so that rows of plates.tsv or names in another order rerun nothing."""
    return list(plates.names) if names == "all" else sorted(names)


def map_plates(config: Config, plates: Sequence[Plate]) -> list[str]:
    """Return the plates whose wells become the maps and are scored."""
    return named_plates(PlateTable.of(plates), config.map.plates)


def fit_plates(config: Config, plates: Sequence[Plate], entry: CorrectionEntry) -> list[str]:
    """Return the plates that a basis is fitted on, none for a frozen one; all are those of the maps."""
    if entry.basis:
        return []
    named = config.map.plates if entry.fit_plates == "all" else entry.fit_plates
    return named_plates(PlateTable.of(plates), named)


def unit_plates(config: Config, plates: Sequence[Plate], correction: str, plate: str) -> list[str]:
    """Return the plates whose controls align ``plate``: itself, or all plates of its batch that are on the maps."""
    if config.entry("corrections", correction).batch_unit == "plate":
        return [plate]
    table = PlateTable.of(plates)
    together = table.of_batch[table.by_name[plate].batch]
    mapped = together if config.map.plates == "all" else config.map.plates
    return sorted({plate} | set(together) & set(mapped))


def feature_plates(config: Config, plates: Sequence[Plate], model: str) -> list[str]:
    """Return the plates whose tables say which features a plate's profiles keep; none where its own says it."""
    entry = config.entry("models", model)
    # One table for all plates has one set of columns, unless values decide.
    apart = entry.source == "table" and ("{plate}" in entry.table or entry.missing == "drop_features")
    if entry.kind != "classical" and not apart:
        return []
    return named_plates(PlateTable.of(plates), entry.feature_plates)


def profile_plates(config: Config, plates: Sequence[Plate], model: str, plate: str) -> list[str]:
    """Return the plates whose measurements or tables the profiles of a plate are made of."""
    return sorted({plate, *feature_plates(config, plates, model)})


def measured_plates(config: Config, plates: Sequence[Plate]) -> list[str]:
    """Return the plates whose cells are measured, for the profiles of every embedded plate; none if nobody asks."""
    classical = [row.name for row in config.rows if row.kind == "classical"]
    kept = {plate for name in classical for plate in feature_plates(config, plates, name)}
    return sorted(kept.union(embedded_plates(config, plates) if classical else ()))


def embedded_plates(config: Config, plates: Sequence[Plate]) -> list[str]:
    """Return the plates that every model embeds: those of the maps, and those that a correction is fitted on."""
    return _summarized(config, plates, config.corrections)


def summarized_plates(config: Config, plates: Sequence[Plate], fit_on: str) -> list[str]:
    """Return the plates of which the wells ``fit_on`` are summarized: of the maps, and for fits on such wells."""
    return _summarized(config, plates, [c for c in config.corrections if selection_name(c.fit_on) == fit_on])


def _summarized(config: Config, plates: Sequence[Plate], corrections: Sequence[CorrectionEntry]) -> list[str]:
    fitted_on = (fit_plates(config, plates, entry) for entry in corrections)
    return sorted(set(map_plates(config, plates)).union(*fitted_on))
