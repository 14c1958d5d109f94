"""Start training on several processes of one machine, and hand signals on to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

from platemae.errors import TrainingError
from platemae.training.preempt import LAUNCHER, SIGNALS, Interrupted

# The launcher of torch stops its processes on SIGTERM and dies of SIGUSR1: hand on what it understands.
_HAND_ON = {signal.SIGUSR1: signal.SIGTERM}


def command(argv: list[str], n_procs: int) -> list[str]:
    """Return the command line: ``python argv`` for one process, torchrun for more.

    Parameters
    ----------
    argv
        What follows ``python``: a script or ``-m module``, and its arguments.
    n_procs
        Processes on this machine.
    """
    if n_procs == 1:
        return [sys.executable, *argv]
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n_procs}"]
    return [sys.executable, *torchrun, *argv]


def launch(argv: list[str], n_procs: int) -> None:
    """Run ``python argv`` in ``n_procs`` processes and wait for the end.

    Raises
    ------
    Interrupted
        If a signal came, was handed on, and the processes stopped before they were done.
    TrainingError
        If they failed of themselves.
    """
    received: list[signal.Signals] = []
    environment = os.environ | {LAUNCHER: str(os.getpid())}
    # A session of its own: Ctrl-C at the terminal then comes once, through the handler below.
    child = subprocess.Popen(command(argv, n_procs), env=environment, start_new_session=True)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        child.send_signal(number if n_procs == 1 else _HAND_ON.get(signal.Signals(number), number))

    before = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code == 0:
        return
    if received:
        raise Interrupted(f"training stopped on {received[0].name}", " ".join(argv), "Run the same command again.")
    raise TrainingError(f"training ended with code {code}", " ".join(argv), "See the messages above.")
