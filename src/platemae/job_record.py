"""The record that a job leaves in ``provenance``: what it is called, how it is written and read; no rule reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from platemae.contracts import write_text
from platemae.layout import Results


def job_name(wildcards: Mapping[str, str]) -> str:
    """Return what the files of a job are called, of no other job of its stage: no name holds a comma."""
    return ",".join(wildcards.values()) or "all"


def read_record(results: Results, stage: str, wildcards: Mapping[str, str]) -> dict[str, Any]:
    """Return the record that a job left, empty where there is none that can be read."""
    return read_json(results.provenance(stage, job_name(wildcards))) or _earlier(results, stage, wildcards)[1]


def write_record(results: Results, stage: str, wildcards: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Write the record of a job; one of its own under an earlier name would count it twice, and goes."""
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    write_text(results.provenance(stage, job_name(wildcards)), text)
    path, found = _earlier(results, stage, wildcards)
    if found:
        path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file holds, empty where it holds none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _earlier(results: Results, stage: str, wildcards: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """Return the record of a job of before names were set apart by commas, as far as it is not that of another job.

    With dots ``mae`` of plate ``v2.P1`` was called as ``mae.v2`` of plate ``P1``.
    """
    path = results.provenance(stage, ".".join(wildcards.values()))
    found = read_json(path) if len(wildcards) > 1 else {}
    return path, found if found.get("wildcards") == dict(wildcards) else {}
