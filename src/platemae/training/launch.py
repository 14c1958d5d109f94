"""Start training on several processes of one machine, or of the machines of a SLURM job, and tell them to stop.

On several machines srun starts this module once on each, and that becomes torchrun; the first machine, which the batch
script runs on, is node 0 and holds the meeting point.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from platemae.errors import MachineError, TrainingError
from platemae.training.preempt import LAUNCHER, SIGNALS, STOP_FILE, Interrupted

_TORCHRUN = ["-m", "torch.distributed.run"]


def command(argv: list[str], n_procs: int, nodes: int = 1, threads: int = 1) -> list[str]:
    """Return the command line: ``python argv`` for one process, torchrun for more, srun of it for more nodes.

    Parameters
    ----------
    argv
        What follows ``python``: a script or ``-m module``, and its arguments.
    n_procs
        Processes on each machine.
    nodes
        Machines of the SLURM job.
    threads
        Threads of all processes of one machine together.

    Raises
    ------
    MachineError
        If there are to be several nodes outside a SLURM job.
    """
    if nodes > 1:
        return [*_srun(n_procs, nodes, threads), *argv]
    if n_procs == 1:
        return [sys.executable, *argv]
    return [sys.executable, *_TORCHRUN, "--standalone", f"--nproc_per_node={n_procs}", *argv]


def _srun(n_procs: int, nodes: int, threads: int) -> list[str]:
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        what = f"{nodes} nodes are asked for, and this is no job of SLURM"
        raise MachineError(what, "train-model --nodes", "Start it in a SLURM job (docs/cluster.md), or take --nodes 1.")
    # Snakemake removes SLURM's variables but for the job's number, so each number is given again. A step of its own
    # gets a CPU, no GPU and a share of the memory unless it asks.
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={threads}"]
    srun += ["--mem=0", "--kill-on-bad-exit=1", *([f"--gres=gpu:{n_procs}"] if _has_gpu() else [])]
    meet = [f"--nnodes={nodes}", f"--master_addr={socket.gethostname()}", f"--master_port={_free_port()}"]
    return [*srun, sys.executable, "-m", "platemae.training.launch", *meet, f"--nproc_per_node={n_procs}"]


def _has_gpu() -> bool:
    import torch  # seconds, and only several nodes need it

    return torch.cuda.is_available()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


def launch(argv: list[str], n_procs: int, nodes: int = 1, threads: int = 1) -> None:
    """Run ``python argv`` in ``n_procs`` processes on each node and wait for the end.

    A signal becomes a file that the processes look for at each step (``preempt.STOP_FILE``): handed on as a signal,
    torchrun would kill them 30 seconds later, in the middle of a checkpoint, and srun at once. A second one is handed
    on.

    Raises
    ------
    Interrupted
        If a signal came, and the processes stopped before they were done.
    MachineError
        If there are to be several nodes outside a SLURM job.
    TrainingError
        If they failed of themselves.
    """
    received: list[signal.Signals] = []
    with tempfile.TemporaryDirectory(prefix="platemae-launch-") as folder:
        stop = Path(folder) / "stop"
        environment = os.environ | {LAUNCHER: f"{socket.gethostname()}:{os.getpid()}", STOP_FILE: str(stop)}
        # A session of its own: Ctrl-C at the terminal then comes once, through the handler below.
        line = command(argv, n_procs, nodes, threads)
        child = subprocess.Popen(line, env=environment, start_new_session=True)

        def ask(number: int, _frame: FrameType | None) -> None:
            received.append(signal.Signals(number))
            half = stop.with_suffix(".new")
            half.write_text(f"received {received[0].name}")
            half.replace(stop)
            if len(received) > 1:
                child.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, ask) for number in SIGNALS}
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


def main() -> None:
    """Become torchrun on one of several nodes: only srun knows which this is."""
    node = os.environ["SLURM_NODEID"]
    os.execv(sys.executable, [sys.executable, *_TORCHRUN, f"--node_rank={node}", *sys.argv[1:]])


if __name__ == "__main__":
    main()
