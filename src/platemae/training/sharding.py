"""A network held in parts: FSDP2, and full tensors out of and into the parts.

A checkpoint holds full tensors however the network was held, so that it goes on under any number of processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from platemae.training.distributed import Ranks

FROM_PARAMETERS = 300_000_000
"""Parameters from which ``auto`` shards: ViT-L with its decoder has 329 M, CA-MAE B/16 with six channels 242 M."""


def shards(sharding: str, module: nn.Module, mine: Ranks, device: torch.device) -> bool:
    """Tell whether processes hold parts of the network, see ``TrainSettings.sharding``."""
    if mine.world_size == 1 or sharding == "ddp":
        return False
    large = sum(p.numel() for p in module.parameters()) >= FROM_PARAMETERS
    return sharding == "fsdp" or (large and device.type == "cuda")


def shard(module: nn.Module, units: list[nn.Module], mine: Ranks, device: torch.device) -> None:
    """Cut a network in place: each unit is gathered when it computes, and all else when the network is called.

    Numbers stay as under DDP: parameters are gathered in float32, and autocast rounds them where they are used.
    """
    mesh = init_device_mesh(device.type, (mine.world_size,))
    for unit in units:
        fully_shard(unit, mesh=mesh)
    fully_shard(module, mesh=mesh, reshard_after_forward=True)


def whole(state: Any) -> Any:
    """Return a nested state with full tensors in place of parts; all processes must call it."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {key: whole(value) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value) for value in state]
    return state


def part_like(full: Tensor, parameter: Tensor) -> Tensor:
    """Return the part of a full tensor that this process holds of a parameter; all of it where nothing is cut."""
    if not isinstance(parameter, DTensor):
        return full
    full = full.to(parameter.device)
    return distribute_tensor(full, parameter.device_mesh, parameter.placements, src_data_rank=None)


def local(tensor: Tensor) -> Tensor:
    """Return the memory of this process behind a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
