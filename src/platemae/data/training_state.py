"""The folder of one training: who works on it, whose code made it, and what it finished.

It lies outside every declared output, keyed by architecture, optimisation and data, so that neither a failed job nor a
change of code costs the GPU hours in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from platemae.contracts import write_text
from platemae.errors import TrainingError

LEASE, GUARD, STATE, FINISHED = "lease.json", ".lease.guard", "state.json", "finished"
BEAT_SECONDS = 20.0
SILENT_SECONDS = 300.0
"""A holder on another host counts as dead when its lease has not been touched for so long."""


class TrainingState:
    """What is known about one training.

    Parameters
    ----------
    folder
        The state folder.
    code
        Code digest of the job that asks.
    """

    def __init__(self, folder: Path, code: str) -> None:
        self.folder, self.code = folder, code

    @property
    def finished(self) -> Path:
        """Folder with the finished model's files; it is there whole or not at all."""
        return self.folder / FINISHED

    def record(self) -> dict[str, Any]:
        """Return the content of ``state.json``, empty when there is none.

        Raises
        ------
        TrainingError
            When it cannot be read.
        """
        path = self.folder / STATE
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TrainingError("the record of a training cannot be read", str(path), "train again with --retrain")
        return found

    def enter(self, key: dict[str, Any], *, started: bool, retrain: bool, accept_code: bool) -> None:
        """Settle whose code goes on here, and record it; the caller holds the lease.

        Parameters
        ----------
        key
            What the folder's name is the digest of, for people who look inside.
        started
            Whether there is anything to go on from: a checkpoint or a finished model.
        retrain
            Throw what there is away.
        accept_code
            Go on with what other code began, and record that.

        Raises
        ------
        TrainingError
            When other code began it and neither way was chosen.
        """
        record = self.record()
        if retrain:
            self._clear()
            record = {}
        elif started and record.get("code") != self.code:
            if not accept_code:
                raise self._foreign_code(record)
            change = {"from": record.get("code"), "to": self.code}
            record["accepted"] = [*record.get("accepted", []), change]
        elif not started:
            record = {}
        record |= {"code": self.code, "key": key}
        write_text(self.folder / STATE, json.dumps(record, indent=1, sort_keys=True) + "\n")

    def _foreign_code(self, record: dict[str, Any]) -> TrainingError:
        done = self.finished.is_dir()
        what = "a training of the same settings and data was " + ("finished" if done else "begun") + " by other code"
        keep = "export its weights" if done else "go on with it"
        return TrainingError(
            f"{what} ({str(record.get('code'))[:12]}, now {self.code[:12]})",
            str(self.folder),
            f"--accept-code to {keep}, which is recorded; or --retrain to throw it away and train again",
        )

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in (LEASE, GUARD):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def accepted(self) -> list[dict[str, str]]:
        """Return the changes of code that were accepted on the way."""
        changes: list[dict[str, str]] = self.record().get("accepted", [])
        return changes


# -- lease ------------------------------------------------------------------------------------------------------------


@contextmanager
def lease(folder: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold a training's folder: one job at a time works in it.

    The lease of a process that is dead is taken over: at once on this host, where pid and start time prove it; after
    five silent minutes on another. A live one is waited for, as two models may share one training, then refused.

    Parameters
    ----------
    folder
        The state folder, made when missing.
    wait_seconds
        How long to wait for a live holder.

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
                f"another process works on this training: {_describe(_holder(path))}",
                str(path),
                "wait until it is done, or stop it, then run again",
            )
        time.sleep(min(1.0, max(wait_seconds, 0.01)))
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, stop), daemon=True, name="lease")
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


def _claim(path: Path) -> bool:
    """Write the lease, over a dead one too; False when its holder lives."""
    with path.with_name(GUARD).open("w") as guard:
        # The kernel frees the guard of a killed process; looking and writing must not be parted by another's writing.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if path.exists() and _alive(path):
            return False
        write_text(path, json.dumps({"host": socket.gethostname(), "processes": [_me()]}) + "\n")
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
            return time.time() - path.stat().st_mtime < SILENT_SECONDS
        except FileNotFoundError:
            return False
    return any(_lives(process) for process in held["processes"])


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
    return f"process {pids} on {held['host'] if held else '?'}"


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        if _is_mine(path):
            os.utime(path)
