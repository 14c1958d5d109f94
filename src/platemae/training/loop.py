"""The training loop.

A step depends on the weights, the batch and (seed, step) alone, so a run that was killed ends with the same weights as
one that was not.

Shape legend: B crops of this process, C channels, H W pixels.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, get_total_norm

from platemae.errors import DivergedError, MachineError, TrainingError
from platemae.training import distributed
from platemae.training.checkpoint import CheckpointStore
from platemae.training.losses import Losses
from platemae.training.monitor import Monitor, Row
from platemae.training.network import Network, exported_weights
from platemae.training.preempt import Interrupted, StopRequest, catch_signals
from platemae.training.schedule import one_cycle_lr
from platemae.training.settings import TrainSettings
from platemae.training.sharding import whole

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
    step_flops: float = 0.0,
    keep: Collection[int] = (),
) -> list[Row]:
    """Train a network in place, from its checkpoint when there is one.

    Parameters
    ----------
    module
        A network of ``platemae.models``: ``forward(crops, mask noise, path noise, objective, *rest of the batch)``
        returns the loss and its parts; ``noise_sizes``, ``n_channels``, ``architecture()`` and ``units()`` are as in
        ``MAE``. It ends with the trained weights (their moving average where there is one), on the device it was
        trained on.
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
        Called on the main process with ``{"event": "start" | "row" | "checkpoint", ...}``. When a row has validation
        losses, the module holds the weights that they are of.
    step_flops
        Operations of a step over all processes, for the history; 0 where they are not known.
    keep
        Steps after which a row is closed, and ``on_event`` called with ``{"event": "snapshot", "step": ..., "history":
        ...}`` while the module holds the weights that an export then would have. The weights do not depend on it.

    Returns
    -------
    list of dict
        The history: one row per ``log_every`` steps, see ``monitor``.

    Raises
    ------
    Interrupted
        If SIGTERM, SIGUSR1 or SIGINT came, or the job ends soon: a checkpoint was written.
    DivergedError
        If the loss is not finite; state and batch are kept, and the module holds the weights before that step.
    TrainingError
        If a checkpoint is foreign, or batches end early.
    MachineError
        If device or batch do not fit the machine, or the network's batches cannot be cut as ``accumulate`` asks.
    """
    mine = distributed.ranks()
    device = distributed.choose_device(settings.device, mine)
    _check_micro_batches(module, settings, mine)
    report = on_event if mine.is_main else _silent
    with distributed.process_group(mine, device), catch_signals() as stop:
        run = _Run(module.to(device), validation, settings, state_dir, mine, device, report, step_flops)
        run.keep = frozenset(keep)
        run.start()
        run.steps(batches, stop)
        return run.monitor.history


def _check_micro_batches(module: nn.Module, settings: TrainSettings, mine: distributed.Ranks) -> None:
    mine.micro_batches(settings.global_batch, settings.accumulate)
    if settings.accumulate > 1 and getattr(module, "batch_statistics", False):
        what = f"accumulate {settings.accumulate} would give each micro-batch statistics of its own"
        # No matter of the machine, but like one it is no part of the training's key: a corrected value must be tried.
        remedy = "Take accumulate: 1 for this model; activation_checkpointing and more processes save memory, too."
        raise MachineError(what, "train: accumulate", remedy)


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
        step_flops: float,
    ) -> None:
        self.module, self.validation, self.settings = module, validation, settings
        self.mine, self.device, self.report = mine, device, report
        self.losses = Losses(settings, mine, device, module.noise_sizes)  # type: ignore[arg-type]
        network = {"n_channels": module.n_channels} | module.architecture()  # type: ignore[operator]
        identity = {f"architecture {key}": value for key, value in network.items()} | settings.identity()
        self.store = CheckpointStore(state_dir, identity)
        self.step, self.saved_at, self.step_flops = 0, time.monotonic(), step_flops
        self.monitor = Monitor(settings.global_batch, None, step_flops, device)
        self.keep: Collection[int] = ()

    def start(self) -> None:
        """Take up the newest checkpoint and agree on it with the other processes."""
        found = self.store.load()
        self.state: dict[str, Any] = {}
        if found is not None:
            self.step, self.state = found
            done = self.step == self.settings.steps
            self.module.load_state_dict(exported_weights(self.state) if done else self.state["model"])
            torch.set_rng_state(self.state["rng"])
            self.monitor = Monitor(self.settings.global_batch, self.state["monitor"], self.step_flops, self.device)
        # Every process read for itself: the same folder must have shown the same state.
        total = distributed.summed([float(self.step), float(self.step) ** 2], self.device, self.mine)
        if total != [self.step * self.mine.world_size, float(self.step) ** 2 * self.mine.world_size]:
            what = f"process {self.mine.rank} found step {self.step}, others another"
            raise TrainingError(what, str(self.store.folder), "Put the state on a file system that all machines share.")
        self.saved_at = time.monotonic()

    def steps(self, batches: Callable[[int], Iterator[Batch]], stop: StopRequest) -> None:
        """Train from here to the last step."""
        if self.step == self.settings.steps:
            self._report_start()
            return
        self.module.train()
        stream = self.monitor.timed(iter(batches(self.step)))
        inputs = self._checked(next(stream, None))
        attempt = partial(self._try, inputs)
        with Network(self.module, self.settings, self.mine, self.device, attempt) as self.network:
            if self.state:
                self.network.load(self.state)
                self.state = {}
            self._report_start(compiled=self.network.compiled, sharded=self.network.sharded)
            while True:
                self._step(inputs, stop)
                if self.step == self.settings.steps:
                    break
                inputs = self._checked(next(stream, None))
            self.network.finish()

    def _step(self, inputs: tuple[Tensor, ...], stop: StopRequest) -> None:
        """Take one step, and do what is due after it."""
        lr = one_cycle_lr(self.step, self.settings.steps, self.settings.lr, self.settings.warmup_fraction)
        stopping, late = self._update(inputs, lr, stop)
        self.step += 1
        if self._validating() or self.step in self.keep:
            with self.network.exported():
                self.report({"event": "row", **self.monitor.row(self.step, lr, self.validate)})
                if self.step in self.keep:
                    history = list(self.monitor.history)
                    self.report({"event": "snapshot", "step": self.step, "history": history})
        elif self._due(self.settings.log_every):
            self.report({"event": "row", **self.monitor.row(self.step, lr, None)})
        if stopping or late or self._due(self.settings.checkpoint_steps):
            self.save()
        if stopping and self.step < self.settings.steps:
            self._wait()
            why = stop.reason() or "another process was asked to stop"
            what = f"training stopped after step {self.step} of {self.settings.steps}: {why}"
            raise Interrupted(what, str(self.store.folder), "Run the same command again to go on.")

    def _report_start(self, compiled: bool = False, sharded: bool = False) -> None:
        facts: Event = {"step": self.step, "steps": self.settings.steps, "world_size": self.mine.world_size}
        precision = "bfloat16" if self.losses.bfloat16 else "float32"
        facts |= {"device": str(self.device), "precision": precision, "compiled": compiled, "sharded": sharded}
        self.report({"event": "start", **facts, "history": list(self.monitor.history)})

    def _update(self, inputs: tuple[Tensor, ...], lr: float, stop: StopRequest) -> tuple[bool, bool]:
        """Take one optimiser step; tell whether some process was asked to stop, and whether a checkpoint is late."""
        optimizer = self.network.optimizer
        optimizer.zero_grad(set_to_none=True)
        losses = self._gradients(inputs)
        grad_norm = self._clipped_norm()
        asked = [float(bool(stop.reason())), float(self.mine.is_main and self._late())]
        *sums, stopping, late = distributed.summed([*losses.tolist(), *asked], self.device, self.mine)
        loss, mse, fourier = (value / self.mine.world_size for value in sums)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            self._give_up(inputs[0], loss, grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        if self.network.average is not None:
            self.network.average.update(self.step)
        self.monitor.count(loss, mse, fourier, grad_norm)
        return stopping > 0, late > 0

    def _gradients(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Leave the gradient of the batch in the parameters; return the losses of this process's part."""
        micros, noise = self._micro_batches(), self.losses.training_noise(self.step)
        means = []
        for micro in micros:
            with self.network.gathering(micro is micros[-1]):
                losses = self.losses.of_rows(self.network.model, inputs, noise, micro)
                (losses[0] / len(micros)).backward()
            means.append(torch.stack([part.detach() for part in losses]))
        return torch.stack(means).mean(0)

    def _micro_batches(self) -> list[slice]:
        return self.mine.micro_batches(self.settings.global_batch, self.settings.accumulate)

    def _try(self, inputs: tuple[Tensor, ...], model: nn.Module) -> None:
        """Run a network forward and backward on the first micro-batch."""
        noise = self.losses.training_noise(self.step)
        self.losses.of_rows(model, inputs, noise, self._micro_batches()[0])[0].backward()

    def _clipped_norm(self) -> float:
        parameters = [p for p in self.network.body.parameters() if p.grad is not None]
        if self.settings.clip_norm > 0:
            norm = clip_grad_norm_(parameters, self.settings.clip_norm)
        else:
            norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        return float(whole(norm))

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

    def _late(self) -> bool:
        minutes = self.settings.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self.saved_at > 60 * minutes

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Average the losses over the validation crops, with fixed masks; processes share the batches."""
        self.module.eval()
        sums = [0.0, 0.0, 0.0, 0.0]
        for index in range(self.mine.rank, len(self.validation), self.mine.world_size):
            inputs = self._on_device(self.validation[index])
            losses = self.losses.of_validation(self.module, inputs, index)
            values = [*torch.stack(list(losses)).tolist(), 1.0]
            sums = [total + value * len(inputs[0]) for total, value in zip(sums, values, strict=True)]
        self.module.train()
        *totals, count = distributed.summed(sums, self.device, self.mine)
        if not count:
            return {}
        return {f"val_{name}": t / count for name, t in zip(("loss", "mse", "fourier"), totals, strict=True)}

    def save(self) -> None:
        """Write a checkpoint, on the main process; all take part where each holds a part of the network."""
        self.saved_at = time.monotonic()
        state = self.network.state() if self.mine.is_main or self.network.sharded else {}
        if not self.mine.is_main:
            return
        state |= {"rng": torch.get_rng_state(), "monitor": self.monitor.state()}
        path = self.store.save(self.step, state)
        self.report({"event": "checkpoint", "step": self.step, "path": str(path)})

    def _wait(self) -> None:
        """Wait for all: the launcher kills the others once one process ends with an error, even while it writes."""
        distributed.summed([0.0], self.device, self.mine)

    def _give_up(self, x_BCHW: Tensor, loss: float, grad_norm: float) -> None:
        """Keep the last good state and the batch, then raise; the weights have not seen this batch."""
        self.save()
        path = self.store.keep_batch(self.step, self.mine.rank, x_BCHW)
        self._wait()
        n_bad = int((~torch.isfinite(x_BCHW.float())).sum())
        pixels = f"{n_bad} pixels of this batch are not finite" if n_bad else "all pixels of this batch are finite"
        what = f"loss {loss:.4g} with gradient norm {grad_norm:.4g} at step {self.step}; {pixels}"
        remedy = "Look for bad fields in the saved batch; if there are none, lower lr or set clip_norm."
        self.network.finish()
        error = DivergedError(what, str(path), remedy)
        error.step, error.history = self.step, self.monitor.history
        raise error
