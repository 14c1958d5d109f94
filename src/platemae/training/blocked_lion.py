"""Lion on a CPU, in blocks that stay in a core's cache.

A foreach step passes some 13 times over weights, gradients and momenta that no cache holds; here each passes once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

BLOCK = 2**15
"""Values: four such arrays are 512 KiB, and torch gives so few to one thread, so that blocks go to ours."""


class BlockedLion(Optimizer):
    """timm's Lion, bit for bit, with the same state (Chen et al. 2023, algorithm 2); its checkpoints fit both.

    Parameters
    ----------
    groups
        Of plain parameters on a CPU, each with its ``weight_decay``.
    lr, betas
        Rate, and decay of momentum in the update and in what is kept.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step with the gradients that the parameters hold."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [(group, blocks) for group in self.param_groups for p in group["params"] for blocks in self._blocks(p)]
        n_threads = torch.get_num_threads()
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(_update_all, (work[first::n_threads] for first in range(n_threads))))
        return loss

    def _blocks(self, parameter: Tensor) -> list[tuple[Tensor, ...]]:
        """Cut weight, gradient and momentum alike; in one piece where their memory has gaps or another order."""
        if parameter.grad is None:
            return []
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        whole = (parameter.detach(), parameter.grad, state["exp_avg"])
        if not all(tensor.is_contiguous() for tensor in whole):
            return [whole]
        return list(zip(*(tensor.view(-1).split(BLOCK) for tensor in whole), strict=True))


@torch.no_grad()
def _update_all(work: list[tuple[dict[str, Any], tuple[Tensor, ...]]]) -> None:
    """Step blocks, in this thread; whether gradients are recorded is a thread's own setting."""
    for group, (weight, gradient, momentum) in work:
        beta1, beta2 = group["betas"]
        update = momentum.lerp(gradient, 1 - beta1).sign_()
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])
        momentum.lerp_(gradient, 1 - beta2)
