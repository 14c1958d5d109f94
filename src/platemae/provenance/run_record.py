"""The record of one `platemae run`: what was asked, with which configuration and code, and what its jobs did."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platemae.config import Config
from platemae.config.plates import Plate
from platemae.contracts import write_text
from platemae.errors import ContractError
from platemae.holding.orphans import RUN_ID
from platemae.layout import MANIFESTS, Results
from platemae.ledger import in_force
from platemae.provenance.jobs import by_stage, job_records, record_files
from platemae.standing.record import libraries

WORKFLOW = ("Snakefile", "rules")
CLOCKS_SECONDS = 600.0
"""How far the clock of a job's host may be behind."""


@dataclass
class Outcome:
    """How a run ended; None while it is not over, or was killed."""

    exit_code: int | None = None


@contextmanager
def recorded_run(results: Results, project: Path, config: Config, plates: Sequence[Plate]) -> Iterator[Outcome]:
    """Write ``provenance/runs/{start}-{id}.json`` when a run begins, and again, with its jobs, when it ends.

    Parameters
    ----------
    results
        The results folder, which is held.
    project
        Folder of the Snakefile; this and the rules are kept in ``provenance/workflow/``.
    config, plates
        What the run was asked to do.
    """
    started, run_id = time.time(), os.environ.get(RUN_ID, "")
    name = f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{run_id[:8]}"
    record = _beginning(run_id, started, config, plates)
    outcome = Outcome()
    with suppress(OSError):  # a full disk ends a run by what its jobs say, not by its record
        keep_workflow(project, results)
        _write(results, name, record)
    try:
        yield outcome
    finally:
        ended = {"ended": _iso(time.time()), "seconds": round(time.time() - started, 3), "exit_code": outcome.exit_code}
        with suppress(OSError):
            _write(results, name, record | ended | _of_jobs(results, run_id, started))


def keep_workflow(project: Path, results: Results) -> None:
    """Copy the Snakefile and the rules beside what they made, for who looks at the results elsewhere."""
    folder = results.workflow()
    for name in WORKFLOW:
        for source in sorted((project / name).glob("*.smk")) if (project / name).is_dir() else [project / name]:
            target = folder / source.relative_to(project)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def run_records(results: Results) -> list[dict[str, Any]]:
    """Return the records of all runs, oldest first; one that cannot be read is left out."""
    found = []
    for path in sorted(results.runs().glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and "started" in record:
            found.append(record | {"file": path.relative_to(results.root).as_posix()})
    return found


def _beginning(run_id: str, started: float, config: Config, plates: Sequence[Plate]) -> dict[str, Any]:
    return {
        "run": run_id,
        "command": ["platemae", *sys.argv[1:]],
        "config": config.model_dump(mode="json"),
        "plates": [asdict(plate) for plate in plates],
        "user": _user(),
        "host": platform.node(),
        "python": sys.version.split()[0],
        "libraries": libraries(),
        "started": _iso(started),
        "ended": None,
        "exit_code": None,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may know no name
        return f"uid {os.getuid()}"


def _of_jobs(results: Results, run_id: str, started: float) -> dict[str, Any]:
    """Return what this run's jobs did, how many outputs earlier ones had left, and what was kept after a change."""
    since = started - CLOCKS_SECONDS
    mine = by_stage(r for r in job_records(results, since) if run_id and r.get("run") == run_id)
    left = {stage: len(record_files(results, stage)) - len(mine.get(stage, [])) for stage in MANIFESTS}
    try:
        kept = [asdict(entry) for entry in in_force(results)]
    except ContractError as error:
        kept = [{"unreadable": error.what}]
    return {
        "stages": {stage: _sum(records) for stage, records in mine.items()},
        "made_before": {stage: count for stage, count in left.items() if count},
        "accepted": kept,
    }


def _sum(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    slurm = sorted({str(record["slurm"]["job"]) for record in records if record.get("slurm")})
    found: dict[str, Any] = {
        "jobs": len(records),
        "seconds": round(sum(record["seconds"] for record in records), 3),
        "code_digests": sorted({record["code_digest"] for record in records}),
        "hosts": sorted({record["host"] for record in records}),
    }
    return found | ({"slurm_jobs": slurm} if slurm else {})


def _write(results: Results, name: str, record: Mapping[str, Any]) -> None:
    write_text(results.runs() / f"{name}.json", json.dumps(record, indent=1, sort_keys=True) + "\n")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
