"""The network as it is trained: alone, replicated or in parts, compiled or not, and what of it is exported."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from platemae.training import sharding
from platemae.training.average import MovingAverage
from platemae.training.compiling import compile_units, compiled, compiles
from platemae.training.distributed import Ranks
from platemae.training.optim import make_lion
from platemae.training.recompute import recomputing
from platemae.training.settings import TrainSettings


class Network:
    """A network, its optimiser and the moving average of its weights; a context that leaves the module plain again.

    Parameters
    ----------
    module
        The plain network, on its device, with the weights to go on from. It is trained itself, unless processes hold
        parts: then a copy is, and ``exported`` and ``finish`` bring weights back.
    settings
        How to train.
    mine, device
        This process.
    attempt
        Runs a network forward and backward on the first crops, to try the compiler on.
    """

    def __init__(
        self,
        module: nn.Module,
        settings: TrainSettings,
        mine: Ranks,
        device: torch.device,
        attempt: Callable[[nn.Module], Any],
    ) -> None:
        self.module, self.sharded = module, sharding.shards(settings.sharding, module, mine, device)
        self._settings, self._mine, self._device = settings, mine, device
        self._stack = ExitStack()
        self.compiled = False
        self.model = self._in_parts(attempt) if self.sharded else self._whole(attempt)
        self.optimizer: Optimizer = make_lion(self.body, settings)
        self.average = MovingAverage(self.body, settings.ema_decay) if settings.ema_decay else None

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        # DDP must go before its process group: as the last to hold the group it could wait for the group's threads, for
        # ever, with Python's lock in hand, which they want.
        self.model = self.body
        gc.collect()

    def _units(self) -> list[nn.Module]:
        units: list[nn.Module] = self.body.units()  # type: ignore[operator]
        return units

    def _take(self, body: nn.Module) -> None:
        """Train this network, and compute its blocks twice where that is asked for."""
        self._stack.close()
        self.body = body
        if self._settings.activation_checkpointing:
            self._stack.enter_context(recomputing(body, self._units()))

    def _in_parts(self, attempt: Callable[[nn.Module], Any]) -> nn.Module:
        """Cut a copy of the network, and compile it block by block where that works; return what a step calls."""
        self._cut()
        if self._settings.compile:
            # Tried as it will train: whole, it may not fit beside its gradients.
            self.compiled = compiles(self.body, lambda: self._try_units(attempt), self._mine, self._device)
            if not self.compiled:
                self._cut()  # anew: the blocks of a pass that failed may be half gathered
        return self.body

    def _cut(self) -> None:
        self._take(copy.deepcopy(self.module))
        sharding.shard(self.body, self._units(), self._mine, self._device)

    def _try_units(self, attempt: Callable[[nn.Module], Any]) -> None:
        compile_units(self._units())
        attempt(self.body)

    def _whole(self, attempt: Callable[[nn.Module], Any]) -> nn.Module:
        """Train the network itself, replicated where there are more processes; return what a step calls."""
        self._take(self.module)
        if self._settings.compile:
            trial = partial(_try_compiled, self.body, attempt)
            self.compiled = compiles(self.body, trial, self._mine, self._device)
        called = compiled(self.body) if self.compiled else self.body
        if self._mine.world_size == 1:
            return called
        if self.compiled and self._settings.activation_checkpointing:
            from torch._dynamo import config

            config.optimize_ddp = False  # type: ignore[assignment]  # it cannot cut a graph that computes blocks again
        return DistributedDataParallel(called, broadcast_buffers=False, gradient_as_bucket_view=True)

    def gathering(self, last: bool) -> AbstractContextManager[None]:
        """Return the context of a micro-batch: processes exchange gradients in the last one of a step alone."""
        if self.sharded:
            self.body.set_requires_gradient_sync(last)  # type: ignore[operator]
        elif isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()

    def state(self) -> dict[str, Any]:
        """Return weights, optimiser and average as full tensors.

        Where processes hold parts all must call it, and the main one alone gets them, on the CPU.
        """
        state = {"model": self.body.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.average is not None:
            state["ema"] = self.average.state()
        if not self.sharded:
            return state
        gathered: dict[str, Any] = sharding.gathered(state, keep=self._mine.is_main)
        return gathered

    def load(self, state: dict[str, Any]) -> None:
        """Take up optimiser and average of a checkpoint; the weights were loaded before the network was cut."""
        held = state["optimizer"]
        if self.sharded:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            parts = {
                index: {name: sharding.part_like(value, parameters[index]) for name, value in values.items()}
                for index, values in held["state"].items()
            }
            held = held | {"state": parts}
        self.optimizer.load_state_dict(held)
        if self.average is not None:
            self.average.load(state["ema"])

    @contextmanager
    def exported(self) -> Iterator[nn.Module]:
        """Let the plain module hold the weights that an export now would have; all processes must enter."""
        if self.sharded:
            self._bring_back()
            yield self.module
        else:
            with nullcontext() if self.average is None else self.average.in_place():
                yield self.module

    def finish(self) -> None:
        """Leave the weights to export in the plain module."""
        if self.sharded or self.average is not None:
            self._bring_back()

    def _bring_back(self) -> None:
        weights = self.body.state_dict() | ({} if self.average is None else self.average.state())
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                value.copy_(sharding.whole(weights[name]))  # one after another: all at once would be a second copy


def _try_compiled(body: nn.Module, attempt: Callable[[nn.Module], Any]) -> None:
    attempt(compiled(body))


def exported_weights(state: dict[str, Any]) -> dict[str, Any]:
    """Return the weights that the end of training exports, from a checkpoint's state."""
    weights: dict[str, Any] = state["model"] | state.get("ema", {})
    return weights
