"""Signals that ask training to stop at the next step boundary."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from platemae.errors import TrainingError

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(TrainingError):
    """Training was asked to stop and wrote a checkpoint; the same call goes on from there."""


class StopRequest:
    """The last signal that came, if any."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Remember the signal (the handler itself)."""
        self.signal = signal.Signals(number)


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Take SIGTERM, SIGUSR1 and SIGINT as requests; the old handlers come back at the end.

    Outside the main thread Python allows no handler: the request then never comes.
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
