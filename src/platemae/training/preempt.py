"""Reasons to stop training at the next step boundary: a signal, or the death of whoever started this process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from platemae.errors import TrainingError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
LAUNCHER = "PLATEMAE_LAUNCHER"  # process id of launch.launch, in the environment of what it starts


class Interrupted(TrainingError):  # noqa: N818  (asked for, nothing went wrong)
    """Training was asked to stop and wrote a checkpoint; the same call goes on from there."""


class StopRequest:
    """What asks training to stop, if anything does."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._parent, self._launcher = os.getppid(), os.environ.get(LAUNCHER)

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
        if self._launcher and (os.getppid() != self._parent or not _alive(int(self._launcher))):
            return "the process that started this one is gone"
        return ""


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
