"""A private SLURM cluster on this machine: started and stopped, asked for what ran, its sbatch calls counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import PROJECT

SCRIPT = Path(os.environ.get("PLATEMAE_SHARED", PROJECT.parent / "shared")) / "slurm" / "start-slurm.sh"
FIELDS = ("JobID", "JobName", "State", "AllocTRES", "NodeList", "Start", "End", "ExitCode", "WorkDir", "SubmitLine")
ENDED = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"}


@dataclass(frozen=True)
class Record:
    """A job of SLURM, or one step of it, as sacct recorded it.

    Parameters
    ----------
    job
        ``12``, ``12_3`` of an array; ``12.0``, ``12.batch`` for a step.
    name, state, nodes
        Of the job; a cancelled one is ``CANCELLED``, whoever did it.
    allocated
        What it got: ``{"cpu": "2", "mem": "2000M", "node": "1", "gres/gpu": "1"}``.
    start, end
        Of the clock, ISO 8601; ``Unknown`` before.
    exit_code
        Exit status and signal, ``0:0``.
    folder
        Where it was submitted.
    comment
        What the executor called it: ``rule_train_model_wildcards_mae``. sacct keeps no comments by default; this is
        the one of the line that sbatch was called with.
    """

    job: str
    name: str
    state: str
    allocated: dict[str, str]
    nodes: str
    start: str
    end: str
    exit_code: str
    folder: str
    comment: str

    @property
    def rule(self) -> str:
        """Rule, or group, of the job; empty where Snakemake did not submit it."""
        return rule_of(self.comment)


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and what its clients need.

    Parameters
    ----------
    variables
        Environment that names it (``SLURM_CONF``, and ``SLURM_SIM_*`` for the script).
    accounting
        Whether sacct works.
    """

    variables: Mapping[str, str]
    accounting: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a client, with the rules' platemae on its path."""
        return {**os.environ, **self.variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def ask(self, *command: str) -> str:
        """Return what a command of SLURM prints, which must succeed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def records(self, since: float, under: Path | None = None, steps: bool = False) -> list[Record]:
        """Return the jobs that were submitted after a time (seconds of the epoch), and their steps.

        Repeated runs of a job that was requeued are rows of their own, as sacct's ``--duplicates`` lists them.
        ``under`` leaves those that work elsewhere, as of another test.
        """
        options = ["--noheader", "--parsable2", "--duplicates", "--allusers", f"--starttime={_moment(since)}"]
        text = self.ask("sacct", *options, f"--format={','.join(FIELDS)}")
        found, inside = [], False
        # A line of sbatch may hold line ends: a row starts with a number and a bar.
        rows = re.split(r"\n(?=\d[\w.+]*\|)", text.strip()) if text.strip() else []
        for record in map(_record, rows):
            if "." not in record.job:
                inside = under is None or Path(record.folder).is_relative_to(under)
            if inside and (steps or "." not in record.job):
                found.append(record)
        return found

    def settled(self, since: float, under: Path | None = None, timeout: float = 60.0) -> list[Record]:
        """Return the jobs since a time when all have ended; accounting lags by some seconds behind the queue."""
        end = time.monotonic() + timeout
        while True:
            found = self.records(since, under)
            missing = self._known(since, under) - {record.job for record in found if record.state in ENDED}
            if not missing:
                return found
            assert time.monotonic() < end, f"not ended, or not in the accounts: {sorted(missing)}"
            time.sleep(0.5)

    def _known(self, since: float, under: Path | None) -> set[str]:
        """Return the jobs that the controller knows, also those that ended some minutes ago."""
        lines = self.ask("squeue", "--noheader", "--array", "--states=all", "--format=%i|%V|%Z").splitlines()
        rows = [line.split("|", 2) for line in lines]
        inside = [row for row in rows if under is None or Path(row[2]).is_relative_to(under)]
        return {job for job, submitted, _ in inside if submitted >= _moment(since)}

    def queue(self) -> list[str]:
        """Return the jobs that wait or run, by their number."""
        return self.ask("squeue", "--noheader", "--format=%i").split()


def _moment(since: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since))


def _record(line: str) -> Record:
    job, name, state, tres, nodes, start, end, code, folder, submitted = line.split("|", len(FIELDS) - 1)
    allocated = dict(item.split("=", 1) for item in tres.split(",") if "=" in item)
    return Record(job, name, state.split(" ")[0], allocated, nodes, start, end, code, folder, _comment(submitted))


def rule_of(comment: str) -> str:
    """Return the rule, or group, that the executor's comment on a job names."""
    return comment.removeprefix("rule_").partition("_wildcards_")[0]


def _comment(line: str) -> str:
    """Return what follows ``--comment`` in a line of sbatch, whose quotes SLURM dropped."""
    words = line.split()
    return words[words.index("--comment") + 1] if "--comment" in words else ""


@contextmanager
def running_cluster(variables: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Start the cluster, or take the one that runs and leave it so.

    Parameters
    ----------
    variables
        ``SLURM_SIM_*`` settings of the script; another folder and port for a cluster of one's own.
    """
    settings = dict(variables or {})
    environment = {**os.environ, **settings}
    named = _script("env", environment)[1].strip().removeprefix("export SLURM_CONF=").strip("'")
    cluster = Cluster({**settings, "SLURM_CONF": named}, environment.get("SLURM_SIM_DBD", "1") != "0")
    ours = _script("status", cluster.environment)[0] != 0
    if ours:
        code, text = _script("start", environment)
        assert code == 0, text[-3000:]
    try:
        yield cluster
    finally:
        if ours:
            _script("stop", environment)


def _script(verb: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Return exit status and words of the script; by a file, as the daemons inherit it and a pipe would never end."""
    with tempfile.TemporaryFile("w+") as output:
        command = ["bash", str(SCRIPT), verb]
        done = subprocess.run(command, env=dict(environment), stdout=output, stderr=output, check=False)
        output.seek(0)
        return done.returncode, output.read()


class CountedSbatch:
    """An sbatch that notes each call and hands it on, in a folder to put first on PATH.

    Parameters
    ----------
    folder
        Where the stand-in and its notes lie; made here.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        real = shutil.which("sbatch")
        assert real is not None
        self.folder, self._notes = folder, folder / "calls"
        wrapper = folder / "sbatch"
        note = f"""printf '%s\\n' "$(printf '%s ' "$@" | tr '\\n' ' ')" >> '{self._notes}'"""
        wrapper.write_text(f'#!/bin/sh\n{note}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)

    def path(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment with this sbatch in place of the real one."""
        return {**environment, "PATH": f"{self.folder}:{environment['PATH']}"}

    def calls(self) -> list[str]:
        """Return the rule or group of each call so far."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return [rule_of(_comment(line)) for line in lines]


def why_not() -> str:
    """Return why no cluster can be started here, empty where one can."""
    if not SCRIPT.is_file():
        return f"there is no script that starts SLURM: {SCRIPT} (set PLATEMAE_SHARED)"
    if os.geteuid() != 0:
        return "SLURM's daemons start as root only"
    if shutil.which("slurmctld") is None and shutil.which("apt-get") is None:
        return "SLURM is not installed, and there is no apt-get"
    return ""
