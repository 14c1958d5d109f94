"""qc_plate: measures of every field and channel on source pixels, and a verdict on every field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.errors import InputError
from platemae.fingerprint import digest_json, digest_table
from platemae.layout import Results
from platemae.qc.cells import find_nuclei
from platemae.qc.gate import FAIL, WARN, kept_fields
from platemae.qc.measures import measure
from platemae.qc.plate_effects import Drift, Edge, drifts, edge_effects, effect_warnings
from platemae.qc.verdict import blank_images, judge
from platemae.stains import stain_of
from platemae.store.illumination_fit import update_illumination
from platemae.store.parquet import read_parquet, write_parquet
from platemae.store.plate_reader import PlateStore, StoreChannel

STAGE = "qc_plate"

NAMED = 8
"""Blank images that a warning names; the QC table has all."""


def run(results: Results, cfg: dict[str, Any], *, plate: str, threads: int) -> Manifest:
    """Measure a plate and write its QC table.

    Verdicts do not depend on the gate: it decides later what becomes of failed fields, so that a change of it measures
    nothing again.

    Parameters
    ----------
    results
        Where the store lies and the table goes, and the illumination where it is wanted.
    cfg
        ``qc``: limits, ``illumination``, and ``stop``, whether the gate ends the run.
    plate
        Plate id.
    threads
        Fields measured at once.

    Raises
    ------
    InputError
        When ``stop`` is set and more than ``max_failed`` of the fields failed.
    """
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    if (fields["group"] == "").all():
        return _without_images(results.qc(plate))
    settings = cfg["qc"]
    store = PlateStore(results.store(plate))
    measured = _measure_all(store, fields, settings["nucleus_um"], threads)
    lacking = zip(fields["well"], fields["field"], fields["missing_channels"], strict=True)
    missing = {(well, field): names.split(",") for well, field, names in lacking if names}
    table = judge(measured, settings, missing)
    empty = table["well"].isin(fields.loc[fields["control_type"] == "empty", "well"])
    warnings = [*_gate(table[~empty], settings, plate), *_blank(table)]
    sound = table[table["verdict"] != FAIL]
    edges, drifted = edge_effects(sound), drifts(sound)
    warnings += effect_warnings(edges, drifted, settings["max_edge"], settings["max_drift"])
    wanted = settings.get("illumination", "none") == "retrospective"
    usable = list(fields.loc[kept_fields(fields, table), "group"])
    light, warned = update_illumination(store, usable, results.illumination(plate), wanted, threads)
    write_parquet(table, results.qc(plate))
    counts = {
        "fields": len(fields),
        "failed": len(_fields(table, FAIL)),
        "warned": len(_fields(table, WARN)),
        "fields_in_empty_wells": len(table[empty].drop_duplicates(["well", "field"])),
        "failed_in_empty_wells": len(_fields(table[empty], FAIL)),
        "failed_by": _kinds(_fields(table, FAIL)["reason"]),
        "warned_by": _kinds(_fields(table, WARN)["reason"]),
        "edge": [_rounded(edge, edge.beyond(settings["max_edge"])) for edge in edges],
        "drift": [_rounded(drift, drift.beyond(settings["max_drift"])) for drift in drifted],
    }
    if light is not None:
        counts["illumination"] = light
    return Manifest(STAGE, qc_digest(table, light), counts, [*warnings, *warned])


def qc_digest(table: pd.DataFrame, light: str | None) -> str:
    """Return the digest of verdicts and illumination: what reads the plate next must read it again after either."""
    digest = digest_table(table)
    return digest if light is None else digest_json([digest, light])


def _without_images(path: Path) -> Manifest:
    """Write a table without rows: of a plate that has no images nothing is measured, and nothing judged."""
    table = pd.DataFrame(columns=list(QC_COLUMNS))
    write_parquet(table, path)
    return Manifest(STAGE, digest_table(table), {"fields": 0, "failed": 0, "warned": 0})


def _fields(table: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """Return a row a field with this verdict."""
    return table[table["verdict"] == verdict].drop_duplicates(["well", "field"])


def _measure_all(store: PlateStore, fields: pd.DataFrame, nucleus_um: float, threads: int) -> pd.DataFrame:
    dna = _dna_channel(store.channels)
    diameter_px = nucleus_um / store.pixel_size_um

    def measure_field(row: Mapping[str, Any]) -> list[dict[str, Any]]:
        pixels = store.read_field(row["group"])
        cells = float("nan") if dna is None else float(len(find_nuclei(pixels[dna], diameter_px)))
        place = {"plate": row["plate"], "well": row["well"], "field": row["field"], "cells": cells}
        return [place | {"channel": c.name} | asdict(measure(x)) for c, x in zip(store.channels, pixels, strict=True)]

    with ThreadPoolExecutor(threads) as pool:
        rows = pool.map(measure_field, fields.to_dict("records"))
        return pd.DataFrame([row for field in rows for row in field])


def _dna_channel(channels: Sequence[StoreChannel]) -> int | None:
    """Return the first channel that shows DNA by its stain or name; without one, cells are not counted."""
    shows = ("DNA" in (stain_of(channel.stain), stain_of(channel.name)) for channel in channels)
    return next((place for place, found in enumerate(shows) if found), None)


def _gate(table: pd.DataFrame, settings: Mapping[str, Any], plate: str) -> list[str]:
    """Return warnings about a plate's fields; those of wells that the layout calls empty are not in ``table``."""
    failed, total = _fields(table, FAIL), len(table.drop_duplicates(["well", "field"]))
    share = len(failed) / max(total, 1)
    warnings = [f"{len(failed)} of {total} fields failed QC"] if len(failed) else []
    if share <= settings["max_failed"]:
        return warnings
    what = f"{len(failed)} of {total} fields of plate {plate} failed QC, more than qc.max_failed allows"
    if settings["stop"]:
        where = "; ".join(_examples(failed))
        raise InputError(what, where, "look at the images; set qc.gate: exclude or other limits to go on without them")
    return [*warnings, f"{what} ({settings['max_failed']:g})"]


def _blank(table: pd.DataFrame) -> list[str]:
    """Return a warning that names images of zeros, such as an instrument writes when an exposure fails."""
    blank = blank_images(table).groupby(["well", "field"], sort=False)["channel"].agg(", ".join).reset_index()
    if not len(blank):
        return []
    first = blank.head(NAMED)
    named = [
        f"well {w}, field {f} ({c})" for w, f, c in zip(first["well"], first["field"], first["channel"], strict=True)
    ]
    more = f" and {len(blank) - NAMED} more fields" if len(blank) > NAMED else ""
    return [f"images whose every pixel is zero: {'; '.join(named)}{more}"]


def _rounded(effect: Edge | Drift, beyond: bool) -> dict[str, Any]:
    """Return an effect for the manifest; six digits, so that libraries of other rounding give the same one."""
    values = asdict(effect).items()
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in values} | {"beyond": beyond}


def _examples(failed: pd.DataFrame) -> Sequence[str]:
    first = failed.head(3)
    return [f"well {w}, field {f}: {r}" for w, f, r in zip(first["well"], first["field"], first["reason"], strict=True)]


def _kinds(reasons: Iterable[str]) -> dict[str, int]:
    """Return how many fields have a finding of each measure, ``{"focus": 3}``; a field may have several."""
    kinds: Counter[str] = Counter()
    for reason in reasons:
        kinds.update(sentence.split(" ")[0] for sentence in reason.split("; "))
    return dict(sorted(kinds.items()))
