"""The note that says which run holds a results folder."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from platemae.contracts import write_text
from platemae.errors import PlatemaeError
from platemae.layout import Results

SLURM_JOB = "SLURM_JOB_ID"

JOB_NAMES = "platemae_"
"""How the names of all SLURM jobs of runs begin."""


@dataclass(frozen=True)
class Run:
    """One call of ``platemae run``, or of a command that holds the folder as it does.

    Parameters
    ----------
    run_id
        All its processes carry it in their environment, and all its jobs of SLURM in their name.
    host
        Machine and boot.
    submits
        Whether it submits to SLURM.
    job
        SLURM job that the run itself works in; empty on a login node.
    user
        Whose it is, and its jobs; empty where that is not known.
    """

    run_id: str
    host: str
    submits: bool = False
    job: str = ""
    user: str = ""

    @property
    def prefix(self) -> str:
        """What the names of its SLURM jobs begin with."""
        return f"{JOB_NAMES}{self.run_id}"


@dataclass(frozen=True)
class Note:
    """Who holds the folder.

    Parameters
    ----------
    run
        The holder.
    processes
        ``{"pid", "created"}`` of its processes; none when it has left the folder without a clean end.
    earlier
        Runs before it whose jobs nobody has looked after yet.
    """

    run: Run
    processes: list[dict[str, Any]] = field(default_factory=list)
    earlier: list[Run] = field(default_factory=list)

    def living(self) -> list[int]:
        """Return the processes of the holder that live on this machine."""
        return [one["pid"] for one in self.processes if self.run.host == this_host() and _alive(one)]

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))


def note_file(results: Results) -> Path:
    """Return where the note lies."""
    return results.root / ".snakemake" / "platemae-run.json"


def read_note(results: Results) -> Note | None:
    """Return the note, None where there is none.

    Raises
    ------
    PlatemaeError
        When it cannot be understood.
    """
    path = note_file(results)
    try:
        held = json.loads(path.read_text())
        runs = [Run(**one) for one in (held["run"], *held["earlier"])]
        processes = [{"pid": int(one["pid"]), "created": float(one["created"])} for one in held["processes"]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        what = "the note of the run that holds this folder cannot be read"
        raise PlatemaeError(what, str(path), "when no run works in the folder, delete it and run again") from None
    return Note(runs[0], processes, runs[1:])


def write_note(results: Results, note: Note, *, first: bool = False) -> None:
    """Write the note; the first one only where there is none.

    Raises
    ------
    FileExistsError
        When another run was quicker.
    """
    path = note_file(results)
    if not first:
        write_text(path, note.text())
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)  # one of two hosts gets it, on NFS too
    with os.fdopen(handle, "w") as file:
        file.write(note.text())


def this_host() -> str:
    """Return this boot of this machine: a process of another host or before a reboot cannot be looked up here."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{os.uname().nodename} {boot.read_text().strip() if boot.exists() else ''}"


def this_user() -> str:
    """Return the user that this process belongs to; its number where the system knows no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def identity(pid: int) -> dict[str, Any]:
    """Return what tells a process from a later one of the same number."""
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def _alive(one: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(one["pid"])
        return abs(process.create_time() - one["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
