"""Lion with weight decay on weight matrices alone (PAPER.md 2.1)."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from platemae.models.timm_gate import lion_class
from platemae.training.blocked_lion import BlockedLion
from platemae.training.settings import TrainSettings


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Tell whether weight decay acts on a parameter: not on vectors (norms, biases, scales) nor on tokens."""
    return parameter.ndim > 1 and "_token" not in name


def make_lion(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """Make the optimiser, with two groups: decayed and not decayed.

    On a CPU it works in blocks; on a GPU, and on the parts of a network in pieces, it is timm's.

    Parameters
    ----------
    module
        Its parameters that need a gradient are trained.
    settings
        Gives rate, betas and weight decay.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": settings.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    if all(p.device.type == "cpu" and not isinstance(p, DTensor) for _, p in named):
        return BlockedLion(groups, settings.lr, settings.betas)
    kwargs: dict[str, Any] = {"lr": settings.lr, "betas": settings.betas, "foreach": True}
    return lion_class()(groups, **kwargs)
