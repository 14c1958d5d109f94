"""The records that finished jobs left in ``provenance/{stage}/``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from platemae.layout import MANIFESTS, Results


def job_records(results: Results, since: float = 0.0) -> Iterator[dict[str, Any]]:
    """Yield the records of all jobs, stage by stage; what cannot be read is left out, as nothing depends on it.

    Parameters
    ----------
    results
        The results folder.
    since
        Seconds since 1970: records that were written before are not opened.
    """
    for stage in MANIFESTS:
        for path in record_files(results, stage):
            try:
                if path.stat().st_mtime < since:
                    continue
                record = json.loads(path.read_text())
                datetime.fromisoformat(record["started"])
                float(record["seconds"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if record.get("stage") == stage:
                yield record


def record_files(results: Results, stage: str) -> list[Path]:
    """Return the files of a stage's job records; inventories of raw folders lie beside them."""
    found = sorted(results.provenance(stage, "x").parent.glob("*.json"))
    return [path for path in found if not path.name.endswith(".inventory.json")]


def by_stage(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return records by stage, in the order of the pipeline."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record["stage"], []).append(record)
    return {stage: found[stage] for stage in MANIFESTS if stage in found}


def span(records: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Return when the first of some jobs started and the last ended (ISO 8601)."""
    times = [(datetime.fromisoformat(r["started"]), timedelta(seconds=float(r["seconds"]))) for r in records]
    first, last = min(start for start, _ in times), max(start + length for start, length in times)
    return first.isoformat(timespec="seconds"), last.isoformat(timespec="seconds")


def versions(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return library -> the version that jobs ran with; all of them, where they are several."""
    found: dict[str, list[str]] = {}
    for record in records:
        python = {"python": record["python"]} if "python" in record else {}
        for name, version in (python | record.get("libraries", {})).items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return {name: " and ".join(sorted(numbers)) for name, numbers in found.items()}
