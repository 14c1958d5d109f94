"""What SLURM says of jobs, asked by its own commands; its accounting is not needed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from platemae.errors import MachineError

ANSWER_SECONDS = 60
"""How long a command of SLURM may take to answer: one that finds no controller asks again and again by itself."""
_REMEDY = "try again on a machine where squeue works, when SLURM's controller is up"


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits, runs, or is being ended.

    Parameters
    ----------
    number
        ``12``; ``12_3`` or ``12_[4-9]`` of an array.
    name, state
        As squeue writes them.
    what
        The comment that Snakemake gave it, in words: rule and wildcards.
    """

    number: str
    name: str
    state: str
    what: str

    def __str__(self) -> str:
        return f"{self.number} ({self.what or 'no comment'}, {self.state.lower()})"


def queue(prefix: str, user: str = "") -> list[QueuedJob]:
    """Return the jobs in the queue whose name begins with ``prefix``.

    Parameters
    ----------
    prefix
        What the names of one run's jobs begin with.
    user
        Whose jobs SLURM is asked for; empty: everybody's, which may be a hundred thousand lines.

    Raises
    ------
    MachineError
        When SLURM does not answer.
    """
    whose = [f"--user={user}"] if user else []
    lines = _answer("squeue", "--noheader", "--format=%i|%j|%T|%k", *whose).splitlines()
    jobs = [_job(line) for line in lines if line.count("|") >= 3]
    return [job for job in jobs if job.name.startswith(prefix)]


def _job(line: str) -> QueuedJob:
    number, name, state, comment = line.split("|", 3)
    return QueuedJob(number, name, state, comment.removeprefix("rule_").replace("_wildcards_", " "))


def is_over(number: str) -> bool | None:
    """Tell whether a job is no longer in the queue; None where SLURM does not answer."""
    try:
        return not _answer("squeue", "--noheader", f"--jobs={number}", "--format=%i").strip()
    except MachineError as error:
        return True if "Invalid job id" in error.what else None


def cancel(numbers: Sequence[str]) -> None:
    """Cancel jobs.

    Raises
    ------
    MachineError
        When SLURM does not answer, or does not let us.
    """
    _answer("scancel", *numbers)


def ask(*command: str) -> tuple[int, str, str]:
    """Return exit code, output, and the last line of what a command complained of."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except FileNotFoundError:
        return 127, "", f"there is no {command[0]}"
    except subprocess.TimeoutExpired:
        return 124, "", f"{command[0]} took more than {ANSWER_SECONDS} s"
    return done.returncode, done.stdout, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _answer(*command: str) -> str:
    code, out, said = ask(*command)
    if code:
        raise MachineError(f"SLURM does not answer: {said}", command[0], _REMEDY)
    return out
