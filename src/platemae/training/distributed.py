"""Data parallel training under torchrun: who am I, which device, which part of the global batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from platemae.errors import MachineError, TrainingError

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other: one machine may copy its plates (``train.cache``) while others are ready. A
process that dies is noticed by torchrun at once."""
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Ranks:
    """One process among all of them.

    Attributes
    ----------
    rank, world_size
        Number of this process, and how many there are.
    local_rank
        Number on this machine: the GPU it uses.
    local_size
        Processes on this machine, which share its memory; 0: all of them.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 0

    @property
    def neighbours(self) -> int:
        """Processes of this machine, this one included."""
        return self.local_size or self.world_size

    @property
    def is_main(self) -> bool:
        """True for the one process that writes files."""
        return self.rank == 0

    def part(self, global_batch: int) -> slice:
        """Return the rows of the global batch that are this process's.

        Raises
        ------
        MachineError
            If the processes cannot have equal parts.
        """
        if global_batch % self.world_size:
            what = f"global_batch {global_batch} cannot be shared equally by {self.world_size} processes"
            raise MachineError(what, "train: global_batch", f"Take a multiple of {self.world_size}.")
        size = global_batch // self.world_size
        return slice(self.rank * size, (self.rank + 1) * size)

    def micro_batches(self, global_batch: int, accumulate: int) -> list[slice]:
        """Return the rows of each micro-batch within this process's part.

        Raises
        ------
        MachineError
            If the part cannot be cut into equal micro-batches: a mean of their means would not be the mean.
        """
        part = self.part(global_batch)
        size, left = divmod(part.stop - part.start, accumulate)
        if left or not size:
            what = f"accumulate {accumulate} does not divide the {part.stop - part.start} crops of a process"
            raise MachineError(what, "train: accumulate", "Take a divisor.")
        return [slice(start, start + size) for start in range(0, accumulate * size, size)]


def ranks() -> Ranks:
    """Read torchrun's environment variables; without them there is one process.

    Raises
    ------
    TrainingError
        If only some are set, or they are no numbers that fit together.
    """
    found = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    if not found:
        return Ranks()
    remedy = "Start with torchrun, which sets all of them, or unset them."
    if len(found) < len(_VARIABLES) or not all(value.isdigit() for value in found.values()):
        raise TrainingError(f"{found} is no complete set of {', '.join(_VARIABLES)}", "environment", remedy)
    mine = Ranks(*(int(found[name]) for name in _VARIABLES))
    if not (mine.local_rank <= mine.rank < mine.world_size and mine.local_rank < mine.local_size <= mine.world_size):
        raise TrainingError(f"{found} do not fit together", "environment", remedy)
    return mine


def choose_device(asked: str, mine: Ranks) -> torch.device:
    """Return the device of this process.

    Raises
    ------
    MachineError
        If CUDA is asked for and absent, or there are more processes than GPUs on this machine.
    """
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MachineError("device cuda is asked for, but torch sees no GPU", "train: device", "Use auto or cpu.")
    if mine.local_rank >= torch.cuda.device_count():
        what = f"process {mine.local_rank} of this machine has no GPU of its own, there are {torch.cuda.device_count()}"
        raise MachineError(what, "torchrun --nproc_per_node", "Start one process a GPU.")
    return torch.device("cuda", mine.local_rank)


def choose_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether to autocast to bfloat16: as asked, or where the hardware multiplies it faster than float32."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_amx_tile_supported()


@contextmanager
def process_group(mine: Ranks, device: torch.device) -> Iterator[None]:
    """Join the other processes, gloo on CPU and nccl on GPU; one process needs no group.

    A group that the caller has made already is used, and left to him.

    Raises
    ------
    TrainingError
        If the group has another size than the environment says.
    """
    if mine.world_size == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    joins = not dist.is_initialized()
    if joins:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        if dist.get_world_size() != mine.world_size:
            what = f"the process group has {dist.get_world_size()} members, WORLD_SIZE says {mine.world_size}"
            raise TrainingError(what, "environment", "Start all processes with one torchrun command.")
        yield
    finally:
        if joins:
            dist.destroy_process_group()


def summed(values: list[float], device: torch.device, mine: Ranks) -> list[float]:
    """Add numbers over all processes, in float64; all of them wait for the last."""
    if mine.world_size == 1:
        return values
    total: Tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    summed_values: list[float] = total.tolist()
    return summed_values
