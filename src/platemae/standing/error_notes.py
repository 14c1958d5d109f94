"""What stages of a run found wrong, noted for `platemae run`: a file a job, as many nodes write at once over NFS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from platemae.contracts import write_text
from platemae.errors import PlatemaeError
from platemae.holding.orphans import RUN_ID
from platemae.job_record import job_name
from platemae.layout import Results

SHOWN = 20
"""Errors that are repeated in full."""


def note_error(results: Results, stage: str, wildcards: Mapping[str, str], error: PlatemaeError) -> None:
    """Note what a job ended with, in the place of what an earlier attempt noted."""
    parts = {"what": error.what, "where": error.where, "remedy": error.remedy}
    note = {"run": os.environ.get(RUN_ID), "stage": stage, "wildcards": dict(wildcards), **parts}
    with suppress(OSError):  # the disk may be full; the error itself goes to stderr
        write_text(results.error(stage, job_name(wildcards)), json.dumps(note) + "\n")


def forget_error(results: Results, stage: str, wildcards: Mapping[str, str]) -> None:
    """Take the note of an earlier attempt away: the job is done."""
    with suppress(OSError):
        results.error(stage, job_name(wildcards)).unlink(missing_ok=True)


def repeat_errors(results: Results, run_id: str) -> bool:
    """Print what stages noted in this run once more, below Snakemake's own words; tell whether there is any."""
    found = list(_of_run(results, run_id))
    for note in found[:SHOWN]:
        error = PlatemaeError(note["what"], note["where"], note["remedy"])
        print(f"\n{note['stage']} {' '.join(note['wildcards'].values())}\n{error}", file=sys.stderr)
    if len(found) > SHOWN:
        print(f"\n{len(found) - SHOWN} more jobs ended with an error: {results.errors()}", file=sys.stderr)
    return bool(found)


def _of_run(results: Results, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield the notes of a run; what is no note is passed over."""
    for path in sorted(results.errors().glob("*/*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            note = json.loads(path.read_text())
            words = {name: str(note[name]) for name in ("stage", "what", "where", "remedy")}
            wildcards = {name: str(value) for name, value in note["wildcards"].items()}
            if note["run"] == run_id:
                yield {**words, "wildcards": wildcards}
