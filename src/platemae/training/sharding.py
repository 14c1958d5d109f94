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


def whole(tensor: Tensor) -> Tensor:
    """Return the full tensor of a part, on the device; all processes must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(state: Any, *, keep: bool) -> Any:
    """Return a nested state with full tensors on the CPU in place of parts; all processes must call it.

    They are gathered one after another, so that no device holds more than one of them.

    Parameters
    ----------
    state
        Dictionaries and lists of tensors and plain values.
    keep
        Whether this process wants it; others get None in the place of each tensor.
    """
    if isinstance(state, Tensor):
        full = whole(state.detach())
        return full.cpu() if keep else None
    if isinstance(state, dict):
        return {key: gathered(value, keep=keep) for key, value in state.items()}
    if isinstance(state, list):
        return [gathered(value, keep=keep) for value in state]
    return state


def part_like(full: Tensor, parameter: Tensor) -> Tensor:
    """Return the part of a full tensor that this process holds of a parameter; all of it where nothing is cut."""
    if not isinstance(parameter, DTensor):
        return full
    mesh, places = parameter.device_mesh, parameter.placements
    part = distribute_tensor(full.to(parameter.device), mesh, places, src_data_rank=None)
    # Of its own memory: the part is a view, which would keep the full tensor on the device.
    own = part.to_local().clone()
    return DTensor.from_local(own, mesh, places, shape=part.shape, stride=part.stride())


def local(tensor: Tensor) -> Tensor:
    """Return the memory of this process behind a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
