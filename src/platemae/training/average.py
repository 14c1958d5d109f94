"""The moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from platemae.training.sharding import local, part_like


def decay_at(step: int, decay: float) -> float:
    """Return the decay of optimiser step ``step`` (0-based).

    The published form of TensorFlow's ``ExponentialMovingAverage``: short runs do not keep their random start.
    """
    return min(decay, (1 + step) / (10 + step))


class MovingAverage:
    """An average of the parameters; buffers, such as batch statistics, are averages of their own and stay out.

    Parameters
    ----------
    module
        The network, whole or in parts: the average is held in the same way.
    decay
        Highest decay.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = dict(module.named_parameters())
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step ``step`` (0-based)."""
        averages, weights = (list(map(local, held.values())) for held in (self._average, self._parameters))
        torch._foreach_lerp_(averages, weights, 1 - decay_at(step, self._decay))

    def state(self) -> dict[str, Tensor]:
        """Return the average by name of parameter, in parts where the network is."""
        return self._average

    @torch.no_grad()
    def load(self, full: dict[str, Tensor]) -> None:
        """Take up the average of a checkpoint, full tensors."""
        for name, average in self._average.items():
            local(average).copy_(local(part_like(full[name], average)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in place of the weights, which come back afterwards to the bit."""
        weights = {name: local(p.detach()).clone() for name, p in self._parameters.items()}
        self._write({name: local(average) for name, average in self._average.items()})
        try:
            yield
        finally:
            self._write(weights)

    @torch.no_grad()
    def _write(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            local(parameter).copy_(values[name])
