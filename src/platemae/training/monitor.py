"""Rows of the training history.

Columns of ``WALL_CLOCK`` are of the machine and differ between runs; all others repeat exactly.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

WALL_CLOCK = ("seconds", "crops_per_s", "data_wait_fraction", "tflops", "memory_gb")
Row = dict[str, float | int | None]
Batch = TypeVar("Batch")


class Monitor:
    """Averages losses between two rows, and keeps the time.

    Parameters
    ----------
    global_batch
        Crops a step.
    state
        What ``state`` returned when a checkpoint was written; None at the start.
    flops
        Operations of a step over all processes, by the network's closed form: what is computed again to save memory
        does not count. 0 where they are not known.
    device
        Whose memory is told.
    """

    def __init__(
        self,
        global_batch: int,
        state: dict[str, Any] | None = None,
        flops: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        state = state or {"history": [], "pending": [], "seconds": 0.0}
        self.history: list[Row] = state["history"]
        self._pending: list[list[float]] = state["pending"]
        self._global_batch, self._seconds_before = global_batch, float(state["seconds"])
        self._flops, self._device = flops, device or torch.device("cpu")
        self._started = self._row_started = time.perf_counter()
        self._row_steps, self._waited = 0, 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, earlier calls included."""
        return self._seconds_before + time.perf_counter() - self._started

    def state(self) -> dict[str, Any]:
        """Return what continues this history exactly."""
        return {"history": self.history, "pending": self._pending, "seconds": self.seconds}

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches on, counting the time that training waits for them."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def count(self, loss: float, mse: float, fourier: float, grad_norm: float) -> None:
        """Note one step."""
        self._pending.append([loss, mse, fourier, grad_norm])
        self._row_steps += 1

    def row(self, step: int, lr: float, validate: Callable[[], dict[str, float]] | None) -> Row:
        """Close a row.

        Parameters
        ----------
        step
            Finished steps.
        lr
            Rate of the last one.
        validate
            Returns ``val_loss`` and its parts; None when this row has no validation. Its time is not counted.
        """
        elapsed = max(time.perf_counter() - self._row_started, 1e-9)
        columns = list(zip(*self._pending, strict=True))
        means = [sum(column) / len(column) for column in columns]
        row: Row = {"step": step, "crops": step * self._global_batch, "lr": lr}
        row |= dict(zip(("loss", "mse", "fourier", "grad_norm"), means, strict=True))
        row |= {"loss_max": max(columns[0]), "grad_norm_max": max(columns[3])}
        row |= dict.fromkeys(("val_loss", "val_mse", "val_fourier"))
        row |= {
            "seconds": self.seconds,
            "crops_per_s": self._row_steps * self._global_batch / elapsed,
            "data_wait_fraction": min(self._waited / elapsed, 1.0),
            "tflops": self._row_steps * self._flops / elapsed / 1e12 if self._flops else None,
            "memory_gb": peak_memory(self._device) / 1e9,
        }
        if validate is not None:
            row |= validate()
        self.history.append(row)
        self._pending, self._row_steps, self._waited = [], 0, 0.0
        self._row_started = time.perf_counter()
        return row


def peak_memory(device: torch.device) -> int:
    """Return the most memory this process has held so far, bytes: of the GPU's, or on a CPU the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
