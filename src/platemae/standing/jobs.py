"""The jobs that Snakemake would run, with its reasons: a dry run in a process of its own, read as records, not as text.

As a script this is that process: Snakemake's own command line, with a filter on its log that writes each job down.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platemae.errors import PlatemaeError, few
from platemae.layout import MANIFESTS
from platemae.snakemake_call import last_words, snakemake_command

LOGGER = "snakemake.logging"
JOB_INFO = "job_info"
SHOWN = 3
"""Targets that are named where they cannot be planned."""


@dataclass(frozen=True)
class Job:
    """A job that would run.

    Parameters
    ----------
    stage
        Its rule.
    wildcards
        What it is of.
    inputs, outputs
        Paths from the results folder.
    reason
        Snakemake's words.
    """

    stage: str
    wildcards: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reason: str

    @property
    def label(self) -> str:
        """What it is of, in words."""
        return " ".join(self.wildcards.values()) or "all"


def pending_jobs(
    project: Path, configfile: Path, profile: str, targets: Sequence[str], extra: Sequence[str] = ()
) -> list[Job]:
    """Return the jobs of a dry run, without those that only name a target.

    Parameters
    ----------
    project, configfile, profile
        As of ``platemae run``.
    targets
        Targets or manifests, at most `CALL`.
    extra
        More arguments for Snakemake.

    Raises
    ------
    PlatemaeError
        When Snakemake cannot plan, with the end of what it says.
    """
    command = snakemake_command(project, configfile, profile, None, ["--dry-run", "--nolock", *extra, "--", *targets])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "jobs.jsonl")
        call = [sys.executable, "-m", "platemae.standing.jobs", str(file), *command[3:]]
        done = subprocess.run(call, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            what = f"Snakemake cannot plan:\n{last_words(done)}"
            raise PlatemaeError(what, few(targets, SHOWN), "platemae doctor, or another target")
        lines = file.read_text().splitlines() if file.is_file() else []
    found = {line: Job(**json.loads(line)) for line in lines}
    return [_with_tuples(job) for job in found.values() if job.stage in MANIFESTS]


def _with_tuples(job: Job) -> Job:
    return Job(job.stage, job.wildcards, tuple(job.inputs), tuple(job.outputs), job.reason)


class _Writer(logging.Filter):
    """Lets every record pass, and writes down those of jobs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def filter(self, record: logging.LogRecord) -> bool:
        """Write a job down."""
        if getattr(record, "event", None) == JOB_INFO:
            with self._path.open("a") as file:
                file.write(json.dumps(_job(vars(record))) + "\n")
        return True


def _job(told: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage": str(told["rule_name"]),
        "wildcards": {str(key): str(value) for key, value in (told["wildcards"] or {}).items()},
        "inputs": [str(path) for path in told["input"] or []],
        "outputs": [str(path) for path in told["output"] or []],
        "reason": str(told["reason"]),
    }


def _main() -> None:
    from snakemake import cli

    logging.getLogger(LOGGER).addFilter(_Writer(Path(sys.argv[1])))
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    _main()
