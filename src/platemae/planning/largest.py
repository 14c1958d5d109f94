"""What the largest job of a rule that follows the data asks for, by the functions that the rules call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from platemae.config import Config, stage_config
from platemae.config.chosen_plates import embedded_plates, map_plates, measured_plates
from platemae.config.plate_table import PlateTable
from platemae.contracts import TABLE_KINDS
from platemae.layout import Results
from platemae.planning.asked import (
    CONTROL_SHARE,
    HOLDS_MAP,
    HOLDS_PLATE,
    READS_PIXELS,
    map_memory_mb,
    minutes_of,
    plate_memory_mb,
)
from platemae.planning.resources import Profile
from platemae.planning.sizes import PlateSize
from platemae.planning.workload import missing_plates

Read = tuple[Sequence[str], float]
"""Plates that a job reads, and the share of their pixels."""


def with_largest(
    profile: Profile, config: Config, plates: PlateTable, results: Results, sizes: Mapping[str, PlateSize]
) -> Profile:
    """Return the profile with what the largest job asks for at its first attempt, of those to do if there are any.

    Parameters
    ----------
    profile
        With the least of what the rules ask for (`read_profile`).
    config, plates, results
        The run.
    sizes
        Of the plates. When a job runs that needs its plate ingested, the rule knows the size; an ingest does not.
    """
    foreseen = {name: size.pixel_bytes for name, size in sizes.items()}
    asked = dict(profile.asked)
    for stage in READS_PIXELS:
        if "runtime" in asked[stage].follows_data:
            known = {} if stage == "ingest_plate" else foreseen
            each = _reads(stage, config, plates, results)
            minutes = [minutes_of(results, stage, names, asked[stage].threads, share, known) for names, share in each]
            asked[stage] = replace(asked[stage], runtime_minutes=max(minutes, default=asked[stage].runtime_minutes))
    for stage in (*HOLDS_MAP, *HOLDS_PLATE):
        if "mem_mb" in asked[stage].follows_data:
            memory = [_memory_mb(stage, config, plates, results, row.name) for row in config.rows]
            asked[stage] = replace(asked[stage], memory_mb=max(memory, default=asked[stage].memory_mb))
    return replace(profile, asked=asked)


def _reads(stage: str, config: Config, plates: PlateTable, results: Results) -> Iterator[Read]:
    """Yield what each job of a stage reads."""
    if stage == "fit_intensity":
        for name in config.used_intensity:
            entry = stage_config(config, plates, stage, intensity=name)["intensity"]
            yield entry["fit_plates"], CONTROL_SHARE if entry["fit_on"] == "negcon" else 1.0
        return
    chosen = {"measure_plate": measured_plates, "embed_plate": embedded_plates}
    names = chosen[stage](config, plates) if stage in chosen else plates.names
    networks = [{"model": row.name} for row in config.rows if row.kind not in TABLE_KINDS]
    left: set[str] = set()
    for wildcards in networks if stage == "embed_plate" else [{}]:
        left |= set(missing_plates(results, stage, list(names), **wildcards))
    for name in left or names:
        yield [name], 1.0


def _memory_mb(stage: str, config: Config, plates: PlateTable, results: Results, model: str) -> int:
    """Return what the largest job of a stage asks for of those of one model."""
    if stage in HOLDS_MAP:
        return map_memory_mb(results, stage, model, map_plates(config, plates), config.map.aggregate)
    names = embedded_plates(config, plates) if stage == "summarize_controls" else map_plates(config, plates)
    return max((plate_memory_mb(results, stage, model, name) for name in names), default=0)
