"""The training loop.

A step depends on the weights, the batch and (seed, step) alone, so a run that was killed ends with the same weights as
one that was not.

Shape legend: B crops of this process, C channels, H W pixels.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from platemae.errors import DivergedError, TrainingError
from platemae.training import distributed
from platemae.training.checkpoint import CheckpointStore
from platemae.training.monitor import Monitor, Row
from platemae.training.optim import make_lion
from platemae.training.preempt import Interrupted, StopRequest, catch_signals
from platemae.training.randomness import TRAIN, VALIDATE, draw
from platemae.training.schedule import one_cycle_lr
from platemae.training.settings import TrainSettings

Batch = np.ndarray | Tensor | tuple[np.ndarray | Tensor, ...]
"""Crops, or crops and what else the network's loss takes of them, such as labels."""
Event = dict[str, Any]
_logger = logging.getLogger(__name__)


def log_event(event: Event) -> None:
    """Write an event of ``train`` to the log, the default for ``on_event``; the history is left out."""
    short = {key: value for key, value in event.items() if not isinstance(value, list)}
    _logger.info(" ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in short.items()))


def train(
    module: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    validation: Sequence[Batch],
    settings: TrainSettings,
    state_dir: Path,
    on_event: Callable[[Event], None] = log_event,
) -> list[Row]:
    """Train a network in place, from its checkpoint when there is one.

    Parameters
    ----------
    module
        A network of ``platemae.models``: ``forward(crops, mask noise, path noise, objective, *rest of the batch)``
        returns the loss and its parts; ``noise_sizes``, ``n_channels`` and ``architecture()`` are as in ``MAE``. It
        ends with the trained weights, on the device it was trained on.
    batches
        ``batches(start)`` yields the crops of this process, (B, C, H, W) uint8 or float 0..255, of step start,
        start + 1 and so on; B = global_batch / processes. The rows of all processes, in order of rank, are the global
        batch.
    validation
        Fixed batches, the same on every process.
    settings
        Everything else.
    state_dir
        Folder of the checkpoints of this run alone.
    on_event
        Called on the main process with ``{"event": "start" | "row" | "checkpoint", ...}``.

    Returns
    -------
    list of dict
        The history: one row per ``log_every`` steps, see ``monitor``.

    Raises
    ------
    Interrupted
        If SIGTERM, SIGUSR1 or SIGINT came, or the job ends soon: a checkpoint was written.
    DivergedError
        If the loss is not finite; state and batch are kept.
    TrainingError
        If a checkpoint is foreign, or batches end early.
    MachineError
        If device or batch do not fit the machine.
    """
    mine = distributed.ranks()
    device = distributed.choose_device(settings.device, mine)
    mine.part(settings.global_batch)
    report = on_event if mine.is_main else _silent
    with distributed.process_group(mine, device), catch_signals() as stop:
        run = _Run(module.to(device), validation, settings, state_dir, mine, device, report)
        run.start()
        run.steps(batches, stop)
        return run.monitor.history


def _silent(_event: Event) -> None:
    pass


class _Run:
    """One call of ``train``: the network, its optimiser and where they stand."""

    def __init__(
        self,
        module: nn.Module,
        validation: Sequence[Batch],
        settings: TrainSettings,
        state_dir: Path,
        mine: distributed.Ranks,
        device: torch.device,
        report: Callable[[Event], None],
    ) -> None:
        self.module, self.validation, self.settings = module, validation, settings
        self.mine, self.device, self.report = mine, device, report
        self.bfloat16 = distributed.choose_bfloat16(settings.precision, device)
        network = {"n_channels": module.n_channels} | module.architecture()  # type: ignore[operator]
        identity = {f"architecture {key}": value for key, value in network.items()} | settings.identity()
        self.store = CheckpointStore(state_dir, identity)
        self.optimizer: Optimizer = make_lion(module, settings)
        self.step, self.saved_at = 0, time.monotonic()
        self.monitor = Monitor(settings.global_batch)

    def start(self) -> None:
        """Take up the newest checkpoint and join the other processes."""
        found = self.store.load()
        if found is not None:
            self.step, state = found
            self.module.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["rng"])
            self.monitor = Monitor(self.settings.global_batch, state["monitor"])
        # Every process read for itself: the same folder must have shown the same state.
        total = distributed.summed([float(self.step), float(self.step) ** 2], self.device, self.mine)
        if total != [self.step * self.mine.world_size, float(self.step) ** 2 * self.mine.world_size]:
            what = f"process {self.mine.rank} found step {self.step}, others another"
            raise TrainingError(what, str(self.store.folder), "Put the state on a file system that all machines share.")
        self.model = distributed.data_parallel(self.module, self.mine)
        self.saved_at = time.monotonic()
        precision = "bfloat16" if self.bfloat16 else "float32"
        facts: Event = {"step": self.step, "steps": self.settings.steps, "world_size": self.mine.world_size}
        facts |= {"device": str(self.device), "precision": precision, "history": list(self.monitor.history)}
        self.report({"event": "start", **facts})

    def steps(self, batches: Callable[[int], Iterator[Batch]], stop: StopRequest) -> None:
        """Train from here to the last step."""
        if self.step == self.settings.steps:
            return
        self.module.train()
        stream = self.monitor.timed(iter(batches(self.step)))
        while self.step < self.settings.steps:
            inputs = self._checked(next(stream, None))
            lr = one_cycle_lr(self.step, self.settings.steps, self.settings.lr, self.settings.warmup_fraction)
            stopping = self._update(inputs, lr, stop)
            self.step += 1
            if self._due(self.settings.log_every) or self._validating():
                row = self.monitor.row(self.step, lr, self.validate if self._validating() else None)
                self.report({"event": "row", **row})
            if stopping or self._checkpoint_due():
                self.save()
            if stopping and self.step < self.settings.steps:
                self._wait()
                why = stop.reason() or "another process was asked to stop"
                what = f"training stopped after step {self.step} of {self.settings.steps}: {why}"
                raise Interrupted(what, str(self.store.folder), "Run the same command again to go on.")

    def _update(self, inputs: tuple[Tensor, ...], lr: float, stop: StopRequest) -> bool:
        """Take one optimiser step; tell whether some process was asked to stop."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._losses(self.model, inputs, TRAIN, self.step)
        losses[0].backward()
        grad_norm = self._clipped_norm()
        values = [*torch.stack([part.detach() for part in losses]).tolist(), float(bool(stop.reason()))]
        *sums, stopping = distributed.summed(values, self.device, self.mine)
        loss, mse, fourier = (value / self.mine.world_size for value in sums)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            self._give_up(inputs[0], loss, grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.monitor.count(loss, mse, fourier, grad_norm)
        return stopping > 0

    def _losses(self, model: nn.Module, inputs: tuple[Tensor, ...], purpose: int, index: int) -> tuple[Tensor, ...]:
        (x_BCHW, *more), objective = inputs, self.settings.objective
        if purpose == TRAIN:
            n_samples, part = self.settings.global_batch, self.mine.part(self.settings.global_batch)
        else:
            n_samples, part = len(x_BCHW), slice(None)
        sizes: tuple[int, int] = self.module.noise_sizes  # type: ignore[assignment]
        noise, path_noise = draw(self.settings.seed, purpose, index, n_samples, sizes, part)
        path_noise = None if path_noise is None or purpose == VALIDATE else path_noise.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses: tuple[Tensor, ...] = model(x_BCHW, noise.to(self.device), path_noise, objective, *more)
        return losses

    def _clipped_norm(self) -> float:
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        if self.settings.clip_norm > 0:
            return float(clip_grad_norm_(parameters, self.settings.clip_norm))
        return float(get_total_norm([p.grad for p in parameters if p.grad is not None]))

    def _checked(self, batch: Batch | None) -> tuple[Tensor, ...]:
        expected = self.settings.global_batch // self.mine.world_size
        count = 0 if batch is None else len(batch[0] if isinstance(batch, tuple) else batch)
        if batch is None or count != expected:
            found = "no more batches" if batch is None else f"a batch of {count} crops, not {expected}"
            raise TrainingError(f"step {self.step} got {found}", "batches", "The sampler must yield whole batches.")
        return self._on_device(batch)

    def _on_device(self, batch: Batch) -> tuple[Tensor, ...]:
        parts = batch if isinstance(batch, tuple) else (batch,)
        return tuple(torch.as_tensor(part).to(self.device, non_blocking=True) for part in parts)

    def _due(self, every: int) -> bool:
        return self.step == self.settings.steps or (every > 0 and self.step % every == 0)

    def _validating(self) -> bool:
        return len(self.validation) > 0 and self._due(self.settings.validate_every)

    def _checkpoint_due(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        late = minutes > 0 and time.monotonic() - self.saved_at > 60 * minutes
        return late or self._due(self.settings.checkpoint_steps)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Average the losses over the validation crops, with fixed masks; processes share the batches."""
        self.module.eval()
        sums = [0.0, 0.0, 0.0, 0.0]
        for index in range(self.mine.rank, len(self.validation), self.mine.world_size):
            inputs = self._on_device(self.validation[index])
            losses = self._losses(self.module, inputs, VALIDATE, index)
            values = [*torch.stack(list(losses)).tolist(), 1.0]
            sums = [total + value * len(inputs[0]) for total, value in zip(sums, values, strict=True)]
        self.module.train()
        *totals, count = distributed.summed(sums, self.device, self.mine)
        return {f"val_{name}": t / count for name, t in zip(("loss", "mse", "fourier"), totals, strict=True)}

    def save(self) -> None:
        """Write a checkpoint, on the main process."""
        self.saved_at = time.monotonic()
        if not self.mine.is_main:
            return
        state = {
            "model": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": torch.get_rng_state(),
            "monitor": self.monitor.state(),
        }
        path = self.store.save(self.step, state)
        self.report({"event": "checkpoint", "step": self.step, "path": str(path)})

    def _wait(self) -> None:
        """Wait for all: the launcher kills the others once one process ends with an error, even while it writes."""
        distributed.summed([0.0], self.device, self.mine)

    def _give_up(self, x_BCHW: Tensor, loss: float, grad_norm: float) -> None:
        """Keep the last good state and the batch, then raise; the weights have not seen this batch."""
        self.save()
        self.store.folder.mkdir(parents=True, exist_ok=True)
        path = self.store.folder / f"bad-batch-step-{self.step:09d}-rank-{self.mine.rank}.npy"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with temporary.open("wb") as stream:
            np.save(stream, x_BCHW.cpu().numpy(), allow_pickle=False)
        temporary.replace(path)
        self._wait()
        n_bad = int((~torch.isfinite(x_BCHW.float())).sum())
        pixels = f"{n_bad} pixels of this batch are not finite" if n_bad else "all pixels of this batch are finite"
        what = f"loss {loss:.4g} with gradient norm {grad_norm:.4g} at step {self.step}; {pixels}"
        remedy = "Look for bad fields in the saved batch; if there are none, lower lr or set clip_norm."
        raise DivergedError(what, str(path), remedy)
