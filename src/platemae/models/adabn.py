"""Batch normalisation with statistics of one domain: AdaBN (PAPER.md 2.4).

In training a mini-batch comes from one domain (a plate or a batch) and is normalised by its own statistics. To embed,
the statistics of the whole domain are computed first, over as many mini-batches as it has.

Shape legend: B batch, D width, ... any further dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from platemae.errors import ContractError

EPSILON = 1e-5
MOMENTUM = 0.05
"""Weight of a mini-batch in the running averages, which serve where no domain is known."""


class _Pooled:
    """Count, mean and biased variance over mini-batches, combined exactly in float64."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.count = 0
        self.mean_D = torch.zeros(width, dtype=torch.float64, device=device)
        self.power_D = torch.zeros_like(self.mean_D)

    def add(self, x_BD: Tensor) -> None:
        variance_D, mean_D = torch.var_mean(x_BD.float(), dim=_others(x_BD), correction=0)
        count, total = x_BD.numel() // x_BD.shape[1], self.count + x_BD.numel() // x_BD.shape[1]
        shift_D = mean_D.double() - self.mean_D
        self.mean_D += shift_D * (count / total)
        self.power_D += variance_D.double() * count + shift_D.square() * (self.count * count / total)
        self.count = total


def _others(x_BD: Tensor) -> list[int]:
    return [0, *range(2, x_BD.ndim)]


class DomainBatchNorm(nn.Module):
    """``nn.BatchNorm`` of any number of dimensions, over all processes in training.

    Parameters
    ----------
    width
        D.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.of_batch = False
        self.counts = True
        self.pooled: _Pooled | None = None

    def forward(self, x_BD: Tensor) -> Tensor:
        """Normalise by the batch in training or where ``of_batch`` says so, else by the kept statistics."""
        if self.pooled is not None:
            self.pooled.add(x_BD)
        if self.training:
            if _world() > 1:
                return self._together(x_BD)
            averages = (self.running_mean, self.running_var)  # the backward pass keeps them: what is not counted, too
            return self._batch(x_BD, *(averages if self.counts else (average.clone() for average in averages)))
        if self.of_batch:
            return self._batch(x_BD, None, None)
        return F.batch_norm(
            x_BD, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=EPSILON
        )

    def _batch(self, x_BD: Tensor, mean_D: Tensor | None, variance_D: Tensor | None) -> Tensor:
        return F.batch_norm(x_BD, mean_D, variance_D, self.weight, self.bias, True, MOMENTUM, EPSILON)

    def _together(self, x_BD: Tensor) -> Tensor:
        """Normalise by the global batch: its parts are of one size, so means over processes are means over all."""
        from torch.distributed.nn.functional import all_reduce  # its backward pass sums over processes, too

        others, world = _others(x_BD), _world()
        shape = [1, -1, *[1] * (x_BD.ndim - 2)]
        mean_D = all_reduce(x_BD.float().mean(others)) / world
        centred_BD = x_BD.float() - mean_D.view(shape)
        variance_D = all_reduce(centred_BD.square().mean(others)) / world
        if self.counts:
            self._count(mean_D, variance_D, world * x_BD.numel() // x_BD.shape[1])
        scale_D = self.weight * (variance_D + EPSILON).rsqrt()
        return (centred_BD * scale_D.view(shape) + self.bias.view(shape)).to(x_BD.dtype)

    @torch.no_grad()
    def _count(self, mean_D: Tensor, variance_D: Tensor, count: int) -> None:
        self.running_mean.lerp_(mean_D, MOMENTUM)
        self.running_var.lerp_(variance_D * (count / max(count - 1, 1)), MOMENTUM)


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@contextmanager
def averages_kept(module: nn.Module) -> Iterator[None]:
    """Leave the running averages of a network as they are."""
    for norm in norms_of(module):
        norm.counts = False
    try:
        yield
    finally:
        for norm in norms_of(module):
            norm.counts = True


def norms_of(module: nn.Module) -> list[DomainBatchNorm]:
    """Return the batch normalisations of a network."""
    return [layer for layer in module.modules() if isinstance(layer, DomainBatchNorm)]


def use_batch(module: nn.Module, own: bool) -> None:
    """Let a network in evaluation mode normalise each batch by itself, or by the kept statistics."""
    for norm in norms_of(module):
        norm.of_batch = own


@torch.no_grad()
def adapt(
    module: nn.Module,
    forward: Callable[[Tensor], object],
    batches: Callable[[], Iterable[Tensor]],
    exact: bool,
) -> int:
    """Replace a network's kept statistics by those of a domain, and return how often it was passed through.

    In one pass each mini-batch is normalised by itself and the statistics are pooled: exact where one mini-batch is the
    whole domain, and for the first normalisation; of deeper ones nearly, the better the more of the domain a mini-batch
    shows. To be exact, every further pass normalises by what the last one found, which makes one more normalisation
    exact: after as many passes as there are, all equal a single batch of the whole domain. Stopping half way is no
    compromise: deep statistics get worse before they get better (docs/decisions.md).

    Parameters
    ----------
    module
        The network, in evaluation mode.
    forward
        What runs it on one mini-batch.
    batches
        Returns the domain's mini-batches, the same ones in every call.
    exact
        Whether to go on until all are exact.

    Raises
    ------
    ContractError
        If the domain is empty.
    """
    norms = norms_of(module)
    passes = len(norms) if exact else 1
    for index in range(passes):
        use_batch(module, index == 0)
        for norm in norms:
            norm.pooled = _Pooled(len(norm.weight), norm.weight.device)
        try:
            for x in batches():
                forward(x)
        finally:
            found = [norm.pooled for norm in norms]
            use_batch(module, False)
            for norm in norms:
                norm.pooled = None
        for norm, pooled in zip(norms, found, strict=True):
            _keep(norm, pooled)
    return passes


def _keep(norm: DomainBatchNorm, pooled: _Pooled | None) -> None:
    if pooled is None or pooled.count == 0:
        problem = "a domain of fewer than two crops has no statistics"
        raise ContractError(problem, "embed: domain", "See the QC of its plates.")
    norm.running_mean.copy_(pooled.mean_D)
    norm.running_var.copy_(pooled.power_D / pooled.count)
