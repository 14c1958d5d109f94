"""What a run that was killed left at work: its processes here are ended, its jobs in SLURM waited for."""

from __future__ import annotations

import sys
import time
from typing import Literal

import psutil

from platemae import slurm
from platemae.errors import PlatemaeError, few
from platemae.holding.note import SLURM_JOB, Run, this_host

RUN_ID = "PLATEMAE_RUN_ID"
"""Environment variable that every process of one run inherits; it tells the orphans of a killed run."""
Orphans = Literal["wait", "cancel", "refuse"]
"""What to do about jobs in SLURM that a killed run left."""
LOOK_SECONDS = 5.0
LOOK_SECONDS_LATER = 30.0
"""SLURM is asked after 5 s, 10, 20, then every 30: many who ask often make it slow for all."""
SHOWN = 5
"""Jobs that are named before they are only counted."""


def look_after(run: Run, how: Orphans) -> None:
    """End what a killed run left on this machine, then wait for its jobs in SLURM, or cancel them.

    Jobs are worth waiting for: what they finish is kept, and a second job beside them would do the work twice.

    Raises
    ------
    PlatemaeError
        When there are jobs and ``how`` is ``refuse``, or SLURM does not answer.
    """
    if run.host == this_host():
        _end_processes(run)
    if not run.submits or not (jobs := slurm.queue(run.prefix, run.user)):
        return
    told = f"{len(jobs)} SLURM jobs of a run that was killed are in the queue: {few([str(job) for job in jobs], SHOWN)}"
    if how == "refuse":
        raise PlatemaeError(
            told, "squeue", "platemae run waits for them and keeps their results; with --orphans cancel it ends them"
        )
    if how == "cancel":
        print(f"{told}; they are cancelled", file=sys.stderr)
        slurm.cancel([job.number for job in jobs])
    else:
        remedy = "waiting, as their results are kept (to end them instead: Ctrl-C, then --orphans cancel)"
        print(f"{told}; {remedy}", file=sys.stderr)
    pause = LOOK_SECONDS
    while jobs:
        time.sleep(pause)
        pause = min(2 * pause, LOOK_SECONDS_LATER)
        jobs = slurm.queue(run.prefix, run.user)


def _end_processes(run: Run) -> None:
    """End the processes that carry the run's id, but for those of SLURM's jobs, which may run on this machine too."""
    orphans = [process for process in psutil.process_iter() if _is_of(run, process)]
    for process in orphans:
        print(f"ending process {process.pid}, left by a run that was killed", file=sys.stderr)
        process.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=10)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=10)


def _is_of(run: Run, process: psutil.Process) -> bool:
    try:
        environment = process.environ()
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False
    return environment.get(RUN_ID) == run.run_id and environment.get(SLURM_JOB, "") == run.job
