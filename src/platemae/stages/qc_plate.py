"""qc_plate: measures of every field and channel on source pixels, and a verdict on every field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, Manifest
from platemae.errors import InputError
from platemae.fingerprint import digest_table
from platemae.layout import Results
from platemae.qc.measures import measure
from platemae.qc.verdict import FAIL, judge
from platemae.store.parquet import read_parquet, write_parquet
from platemae.store.plate_reader import PlateStore

STAGE = "qc_plate"


def run(results: Results, cfg: dict[str, Any], *, plate: str, threads: int) -> Manifest:
    """Measure a plate and write its QC table.

    Parameters
    ----------
    results
        Where the store lies and the table goes.
    cfg
        ``qc``: limits and gate.
    plate
        Plate id.
    threads
        Fields measured at once.

    Raises
    ------
    InputError
        When the gate is ``stop`` and more than ``max_failed`` of the fields failed.
    """
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    measured = _measure_all(PlateStore(results.store(plate)), fields, threads)
    lacking = zip(fields["well"], fields["field"], fields["missing_channels"], strict=True)
    missing = {(well, field): names.split(",") for well, field, names in lacking if names}
    table = judge(measured, cfg["qc"], missing)
    empty = table["well"].isin(fields.loc[fields["control_type"] == "empty", "well"])
    warnings = _gate(table[~empty], cfg["qc"], plate)
    write_parquet(table, results.qc(plate))
    counts = {
        "fields": len(fields),
        "failed": len(_failed(table)),
        "failed_in_empty_wells": len(_failed(table[empty])),
        "failed_by": _kinds(table),
    }
    return Manifest(STAGE, digest_table(table), counts, warnings)


def _failed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a field that failed."""
    return table[table["verdict"] == FAIL].drop_duplicates(["well", "field"])


def _measure_all(store: PlateStore, fields: pd.DataFrame, threads: int) -> pd.DataFrame:
    def measure_field(row: Mapping[str, Any]) -> list[dict[str, Any]]:
        place = {"plate": row["plate"], "well": row["well"], "field": row["field"]}
        pixels = store.read_field(row["group"])
        return [place | {"channel": c.name} | asdict(measure(x)) for c, x in zip(store.channels, pixels, strict=True)]

    with ThreadPoolExecutor(threads) as pool:
        rows = pool.map(measure_field, fields.to_dict("records"))
        return pd.DataFrame([row for field in rows for row in field])


def _gate(table: pd.DataFrame, limits: Mapping[str, Any], plate: str) -> list[str]:
    """Return warnings about a plate's fields; those of wells that the layout calls empty are not in ``table``."""
    failed, total = _failed(table), len(table.drop_duplicates(["well", "field"]))
    share = len(failed) / max(total, 1)
    warnings = [f"{len(failed)} of {total} fields failed QC and are left out"] if len(failed) else []
    if share <= limits["max_failed"]:
        return warnings
    what = f"{len(failed)} of {total} fields of plate {plate} failed QC, more than qc.max_failed allows"
    if limits["gate"] == "stop":
        where = "; ".join(_examples(failed))
        raise InputError(what, where, "look at the images; set qc.gate: warn or other limits to go on without them")
    return [*warnings, f"{what} ({limits['max_failed']:g})"]


def _examples(failed: pd.DataFrame) -> Sequence[str]:
    first = failed.head(3)
    return [f"well {w}, field {f}: {r}" for w, f, r in zip(first["well"], first["field"], first["reason"], strict=True)]


def _kinds(table: pd.DataFrame) -> dict[str, int]:
    """Return how many fields failed by each measure, ``{"focus": 3}``; a field may fail by several."""
    kinds: Counter[str] = Counter()
    for reason in table.drop_duplicates(["well", "field"])["reason"]:
        kinds.update(sentence.split(" ")[0] for sentence in reason.split("; ") if sentence)
    return dict(sorted(kinds.items()))
