"""Extra memory of one piece of work: run in a process of its own, peak resident size above what was there before."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 1024


def resident(field: str) -> float:
    """Return ``VmRSS`` or ``VmHWM`` (the peak) of this process in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / MIB


def in_child(prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], *inputs: Any) -> dict[str, float]:
    """Prepare and work in a new process; Linux only.

    Returns
    -------
    ``seconds``, ``cpu_seconds`` and ``mib`` of the work alone, the preparation's result being there already, and
    ``peak_mib`` of the whole process.
    """
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    child = context.Process(target=_measure, args=(theirs, prepare, work, inputs))
    child.start()
    theirs.close()
    try:
        found: dict[str, float] = mine.recv()
    finally:
        child.join()
    return found


def _measure(pipe: Any, prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], inputs: Any) -> None:
    prepared = prepare(*inputs)
    REFS.write_text("5")  # the peak starts anew
    before, start, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
    kept = work(*prepared)
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    found |= {"mib": resident("VmHWM") - before, "peak_mib": resident("VmHWM")}
    pipe.send(found)
    pipe.close()
    del kept
