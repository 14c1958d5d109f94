"""The processes of a training: one, or several under torchrun, each of which runs this module."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from platemae import errors, logs
from platemae.contracts import write_text
from platemae.data.lease import join_lease
from platemae.data.training_state import FINISHED
from platemae.errors import MachineError, PlatemaeError, TrainingError
from platemae.layout import Results
from platemae.making.make import make
from platemae.training import distributed
from platemae.training.launch import launch
from platemae.training.preempt import Interrupted

STAGE = "train_model"
_logger = logging.getLogger("platemae.making.process")  # this module is __main__ in each process


@dataclass(frozen=True)
class Machines:
    """What a training may use.

    Attributes
    ----------
    threads
        Of all processes of one node together.
    processes
        Data-parallel processes on each node.
    nodes
        Nodes of the SLURM job.
    """

    threads: int = 1
    processes: int = 1
    nodes: int = 1

    @property
    def world_size(self) -> int:
        """All processes on all nodes."""
        return self.nodes * self.processes

    @property
    def threads_each(self) -> int:
        """Threads of one process."""
        return max(1, self.threads // self.processes)


def train_in_processes(results: Results, cfg: dict[str, Any], folder: Path, machines: Machines) -> None:
    """Train in this process or in several; the finished model then lies in the state folder.

    Raises
    ------
    MachineError
        When the processes are fewer than one, or several nodes are asked for outside a SLURM job.
    PlatemaeError
        What any of the processes ended with, or a TrainingError where one died without a word.
    """
    if min(machines.processes, machines.nodes, machines.threads) < 1:
        what = f"{machines.nodes} nodes with {machines.processes} processes and {machines.threads} threads"
        raise MachineError(what, "train-model", "Each must be at least 1.")
    if machines.world_size == 1:
        make(results, cfg, folder, folder / FINISHED, machines.threads)
        return
    for old in folder.glob("error-*.json"):
        old.unlink(missing_ok=True)
    # No name is used twice: a network file system may remember that there was no such file.
    attempt = f"{time.time_ns():x}"
    job = {
        "results": str(results.root),
        "cfg": cfg,
        "folder": str(folder),
        "attempt": attempt,
        "world_size": machines.world_size,
        "threads": machines.threads_each,
    }
    path = folder / "job.json"
    write_text(path, json.dumps(job))
    try:
        launch(["-m", "platemae.making.process", str(path)], machines.processes, machines.nodes, machines.threads)
    except TrainingError as error:
        raise _told(folder, attempt, machines.world_size, error) from None


def _told(folder: Path, attempt: str, world_size: int, error: TrainingError) -> PlatemaeError:
    """Return what the processes say of their end: an error before an interruption, the first process before others."""
    found = []
    for rank in range(world_size):
        path = _error_file(folder, attempt, rank)
        if path.exists():
            line = json.loads(path.read_text())
            kind = Interrupted if line["error"] == Interrupted.__name__ else getattr(errors, line["error"])
            found.append(kind(line["what"], line["where"], line["remedy"]))
    failed = [one for one in found if not isinstance(one, Interrupted)]
    if failed:
        return failed[0]
    # Where some say nothing, they died, and torchrun stopped the others.
    stopped = len(found) == world_size or isinstance(error, Interrupted)
    return found[0] if found and stopped else error


def _error_file(folder: Path, attempt: str, rank: int) -> Path:
    return folder / f"error-{attempt}-{rank}.json"


def main(path: Path) -> int:
    """Run one process of a data-parallel training, as ``train_in_processes`` asked for in the job file."""
    signal.signal(signal.SIGTERM, _stopped_early)
    job, mine = json.loads(path.read_text()), distributed.ranks()
    folder = Path(job["folder"])
    logs.start(STAGE)
    try:
        _assert_size(mine, job["world_size"])
        if mine.is_main:
            join_lease(folder)
        make(Results(Path(job["results"])), job["cfg"], folder, folder / FINISHED, job["threads"])
    except PlatemaeError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others as soon as one has ended
        line = {"error": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}
        write_text(_error_file(folder, job["attempt"], mine.rank), json.dumps(line))
        return error.exit_code
    return 0


def _assert_size(mine: distributed.Ranks, expected: int) -> None:
    """Compare what torchrun made with what was asked for, and write it down.

    Raises
    ------
    TrainingError
        When they differ: a part of the global batch would be missing or doubled.
    """
    if mine.world_size != expected:
        what = f"{mine.world_size} processes train, {expected} were asked for"
        raise TrainingError(what, "torchrun", "See the messages of the launcher above.")
    if mine.is_main:
        _logger.info("world size %d, as asked for; this is process 0 on %s", expected, os.uname().nodename)


def _stopped_early(number: int, _frame: FrameType | None) -> None:
    what = f"training stopped outside its steps: received {signal.Signals(number).name}"
    raise Interrupted(what, "train-model", "Run the same command again to go on.")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
