"""fit_intensity: the map from source values to 0..255, fitted on control fields that passed QC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest, canonical, write_text
from platemae.fingerprint import digest_json
from platemae.layout import Results
from platemae.qc.gate import kept_fields
from platemae.store.illumination import open_store
from platemae.store.intensity_fit import FitPlate, choose_fields, fit_map
from platemae.store.intensity_map import Limits
from platemae.store.parquet import read_parquet

STAGE = "fit_intensity"


def run(results: Results, cfg: dict[str, Any], *, intensity: str, threads: int) -> Manifest:
    """Fit a map and write it as JSON.

    Parameters
    ----------
    results
        Where stores, tables and the map lie.
    cfg
        ``intensity``: the entry, its ``fit_plates`` named.
    intensity
        Name of the entry.
    threads
        Fields read at once.

    Raises
    ------
    ConfigError
        When no fit plate has a control field that passed QC, or the plates do not match.
    """
    entry = cfg["intensity"]
    plates = [_fit_plate(results, plate, entry["fit_on"]) for plate in entry["fit_plates"]]
    fitted, warnings = fit_map(entry, plates, threads)
    value = fitted.to_json()
    write_text(results.intensity(intensity), canonical(value) + "\n")
    counts = {
        "channels": list(fitted.channels),
        "units": sorted(fitted.maps),
        "fields": {plate.plate: len(plate.groups) for plate in plates},
        "clipped": {name: _worst(fitted.clipped, name) for name in fitted.channels},
        "collapsed": {name: _most(unit[name] for unit in fitted.collapsed.values()) for name in fitted.channels},
        "grey_levels": {
            name: min((unit[name] for unit in fitted.levels.values()), default=0) for name in fitted.channels
        },
    }
    return Manifest(STAGE, map_digest(value), counts, warnings)


def map_digest(value: dict[str, Any]) -> str:
    """Return the digest of what a map does, of its JSON form."""
    return digest_json({key: value[key] for key in ("kind", "scope", "channels", "maps", "pooled", "unit_of")})


def _fit_plate(results: Results, plate: str, fit_on: str) -> FitPlate:
    """Return a plate with the groups of its fields that the map is fitted on."""
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    passed = kept_fields(fields, read_parquet(results.qc(plate), QC_COLUMNS))
    kind = fields["control_type"]
    wanted = (kind == "negcon") if fit_on == "negcon" else (kind != "empty")
    chosen = fields[wanted & passed]
    groups = choose_fields(list(chosen["well"]), list(chosen["group"]))
    store = open_store(results, plate)
    return FitPlate(plate, str(fields["batch"].iloc[0]), store, groups)


def _worst(clipped: Mapping[str, Limits], channel: str) -> list[float]:
    """Return the largest share below and above the limits of any unit."""
    return [_most(unit[channel][end] for unit in clipped.values()) for end in (0, 1)]


def _most(values: Iterable[float]) -> float:
    return round(max(values, default=0.0), 6)
