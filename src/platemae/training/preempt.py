"""Reasons to stop training at the next step boundary: a signal, a launcher's word, its death, the job's end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import ClassVar

from platemae.errors import ConfigError, TrainingError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
LAUNCHER = "PLATEMAE_LAUNCHER"  # host:pid of launch.launch, in the environment of what it starts
STOP_FILE = "PLATEMAE_STOP_FILE"  # a file that launch.launch writes when the processes shall stop; it says why
END_TIME = "PLATEMAE_END_TIME"  # when the job ends, seconds since 1970
END_MARGIN = 180.0
"""Seconds before the job's end at which training stops: a step, a checkpoint of a large network, and some air."""
EXIT_AGAIN = 75
"""Exit code of a training that was stopped and can go on: EX_TEMPFAIL, for SLURM's RequeueExit and for scripts."""
_logger = logging.getLogger(__name__)


class Interrupted(TrainingError):  # noqa: N818  (asked for, nothing went wrong)
    """Training was asked to stop and wrote a checkpoint; the same call goes on from there."""

    exit_code: ClassVar[int] = EXIT_AGAIN


class StopRequest:
    """What asks training to stop, if anything does."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._parent, self._launcher = os.getppid(), _local_pid(os.environ.get(LAUNCHER, ""))
        self._stop_file = os.environ.get(STOP_FILE)
        self._end = job_end()
        # A job that is shorter than twice the margin shall do something all the same.
        self._margin = 0.0 if self._end is None else max(0.0, min(END_MARGIN, (self._end - time.time()) / 2))

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal (the handler itself)."""
        self.signal = signal.Signals(number)

    def reason(self) -> str:
        """Say why to stop; empty while there is no reason.

        A process of ``launch.launch`` whose parent or launcher was killed would train on unseen, and write into the
        state of the run that replaces it.
        """
        if self.signal is not None:
            return f"received {self.signal.name}"
        if self._stop_file and os.path.exists(self._stop_file):
            return Path(self._stop_file).read_text() or "the launcher was asked to stop"
        if self._end is not None and time.time() > self._end - self._margin:
            return f"the job ends at {datetime.fromtimestamp(self._end).astimezone():%Y-%m-%d %H:%M:%S %Z}"
        if self._launcher and (os.getppid() != self._parent or not _alive(self._launcher)):
            return "the process that started this one is gone"
        return ""


def ask_this_process() -> None:
    """Ask the training of this process to stop, from any thread, as a signal from outside would."""
    os.kill(os.getpid(), signal.SIGTERM)


def job_end() -> float | None:
    """Return when the job of this process ends, in seconds since 1970; None where nothing limits it.

    ``PLATEMAE_END_TIME`` says so, or SLURM: by its variable, or by squeue where Snakemake has removed that.
    """
    for name in (END_TIME, "SLURM_JOB_END_TIME"):
        if os.environ.get(name):
            return parse_end(os.environ[name], name)
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    line = ["squeue", "--noheader", "--jobs", job, "--format", "%e"]
    try:
        said = subprocess.run(line, capture_output=True, text=True, timeout=30, check=True).stdout.split()
        return parse_end(said[0], "squeue") if said else None
    except (OSError, subprocess.SubprocessError, ConfigError) as error:  # "N/A": no limit
        _logger.warning("the end of SLURM job %s is not known, training will not stop ahead of it: %s", job, error)
        return None


def parse_end(text: str, where: str) -> float:
    """Read a time: seconds since 1970, or ISO 8601, of this machine's zone where it names none.

    Raises
    ------
    ConfigError
        When it is neither.
    """
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        example = "Write it as 2026-11-21T18:00:00 or as seconds since 1970."
        raise ConfigError(f"{text!r} is no time", where, example) from None


@contextmanager
def ends_at(end: str | None) -> Iterator[None]:
    """Tell this process and those it starts when the job ends; None: what ``job_end`` finds, asked once for all."""
    found = job_end() if end is None else parse_end(end, "--end-time")
    if found is None:
        yield
        return
    before = os.environ.get(END_TIME)
    os.environ[END_TIME] = str(found)
    try:
        yield
    finally:
        del os.environ[END_TIME]
        if before is not None:
            os.environ[END_TIME] = before


def _local_pid(launcher: str) -> int | None:
    """Return the launcher's process id where it runs on this host."""
    host, _, pid = launcher.rpartition(":")
    return int(pid) if pid and host == socket.gethostname() else None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Take SIGTERM, SIGUSR1 and SIGINT as requests; the old handlers come back at the end.

    Outside the main thread Python allows no handler: signals then act as they did before.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
