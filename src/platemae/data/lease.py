"""The lease of a training's folder: who works in it, and the heartbeat that says so."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from platemae import slurm
from platemae.contracts import write_text
from platemae.errors import TrainingError
from platemae.locks import alone

LEASE, GUARD = "lease.json", ".lease.guard"
_logger = logging.getLogger(__name__)
BEAT_SECONDS = 20.0
SILENT_SECONDS = 300.0
"""A holder on another host counts as dead when its lease has not been touched for so long."""
BEATS_MISSED = 3
"""A holder whose SLURM job is over counts as dead after so many beats: its node may be cut off, and it may live on."""


@contextmanager
def lease(
    folder: Path,
    wait_seconds: float = 0.0,
    what: str = "this training",
    lost: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Hold a folder, a training's or a shared plate's: one job at a time works in it.

    The lease of a process that is dead is taken over: at once on this host, where pid and start time prove it; of
    another host after a silent minute when SLURM says that its job is over or has begun again here, else after five. A
    live one is waited for, as two models may share one training, then refused.

    Parameters
    ----------
    folder
        The folder, made when missing.
    wait_seconds
        How long to wait for a live holder.
    what
        What is worked on, for the error.
    lost
        Called from another thread, once, when the lease is found to be no longer ours: another host took this process
        for dead. Without it the work goes on; what is written in one step under one key is the same whoever writes it.

    Raises
    ------
    TrainingError
        When a live process holds it still.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LEASE
    deadline = time.monotonic() + wait_seconds
    while not _claim(path):
        if time.monotonic() >= deadline:
            raise TrainingError(
                f"another process works on {what}: {_describe(_holder(path))}",
                str(path),
                "wait until it is done, or stop it, then run again",
            )
        time.sleep(min(5.0, max(wait_seconds, 0.01)))
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop, what, lost), daemon=True, name="lease")
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        if _is_mine(path):
            path.unlink(missing_ok=True)


def join_lease(folder: Path) -> None:
    """Make this process a holder too: one that was launched by the holder and may outlive it."""
    path = folder / LEASE
    held = _holder(path) or {"host": socket.gethostname(), "processes": []}
    write_text(path, json.dumps(held | {"processes": [*held["processes"], _me()]}) + "\n")


def slurm_job() -> dict[str, str]:
    """Return the SLURM job of this process; empty outside one."""
    return {"job": os.environ["SLURM_JOB_ID"]} if "SLURM_JOB_ID" in os.environ else {}


def _claim(path: Path) -> bool:
    """Write the lease, over a dead one too; False when its holder lives."""
    with alone(path.with_name(GUARD)):
        if path.exists() and _alive(path):
            return False
        write_text(path, json.dumps({"host": socket.gethostname(), "processes": [_me()]} | slurm_job()) + "\n")
        return True


def _is_mine(path: Path) -> bool:
    held = _holder(path)
    if held is None or held["host"] != socket.gethostname():
        return False
    return os.getpid() in {process["pid"] for process in held["processes"]}


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        held = json.loads(path.read_text())
        return held if isinstance(held["host"], str) and isinstance(held["processes"], list) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(path: Path) -> bool:
    held = _holder(path)
    if held is None:
        return False
    if held["host"] != socket.gethostname():
        try:
            silent = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        return silent < SILENT_SECONDS and (silent < BEATS_MISSED * BEAT_SECONDS or not _job_is_over(held))
    return any(_lives(process) for process in held["processes"])


def _job_is_over(held: dict[str, Any]) -> bool:
    """Tell whether the SLURM job that held the lease is over, as far as SLURM says, or begins again as this one."""
    job = held.get("job")
    return isinstance(job, str) and (job == slurm_job().get("job") or slurm.is_over(job) is True)


def _lives(process: dict[str, float]) -> bool:
    try:
        found = psutil.Process(int(process["pid"]))
        return abs(found.create_time() - process["created"]) < 1.0 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _me() -> dict[str, float]:
    return {"pid": os.getpid(), "created": psutil.Process().create_time()}


def _describe(held: dict[str, Any] | None) -> str:
    pids = ", ".join(str(int(p["pid"])) for p in held["processes"]) if held else "?"
    job = f", SLURM job {held['job']}" if held and held.get("job") else ""
    return f"process {pids} on {held['host'] if held else '?'}{job}"


def _beat(path: Path, stop: threading.Event, what: str, lost: Callable[[], None]) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):  # a file system that fails once must not silence the heart for good
            if _is_mine(path):
                os.utime(path)
            elif _is_lost(path):
                _logger.warning("%s has been taken over by %s", what, _describe(_holder(path)))
                lost()
                return


def _is_lost(path: Path) -> bool:
    """Tell whether another holds the lease, or it is gone; one that cannot be read for now is neither."""
    try:
        path.stat()
    except FileNotFoundError:
        return True
    return _holder(path) is not None and not _is_mine(path)
