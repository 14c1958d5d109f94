"""How many crops go through a network at once.

Legend: B crops of a forward pass, C channels, S edge of a crop.
"""

from __future__ import annotations

import torch

from platemae.embedding.infer import Embedder

CPU_BYTES = 64 * 2**20
CPU_MOST = 128
"""On a CPU: as many crops as 64 MiB of pixels hold, at most 128. Larger batches are not faster there, and the rule
depends on nothing but the crop, so that a plate embedded again is equal to the last bit."""
GPU_SHARE = 0.6
GPU_MOST = 1024
TRIAL = (2, 6)
"""On a GPU: two trial passes tell the memory of a crop; a power of two of crops fills at most this share of what is
free."""


def batch_size(
    asked: int | None, module: Embedder, n_channels: int, size: int, poolings: tuple[str, ...], device: torch.device
) -> int:
    """Return the crops of a forward pass: as asked, or else by memory.

    Parameters
    ----------
    asked
        ``embed.batch``.
    module
        The model, on its device.
    n_channels, size
        Of a crop.
    poolings
        What is computed of it.
    device
        Where.
    """
    if asked is not None:
        return asked
    crop_bytes = n_channels * size * size * 4
    if device.type != "cuda":
        return max(1, min(CPU_MOST, CPU_BYTES // crop_bytes))
    few, more = (_peak(module, count, (n_channels, size, size), poolings, device) for count in TRIAL)
    per_crop = max((more - few) // (TRIAL[1] - TRIAL[0]), crop_bytes)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return largest_power(int(GPU_SHARE * (torch.cuda.mem_get_info(device)[0] + held)) // per_crop, GPU_MOST)


def largest_power(fitting: int, most: int) -> int:
    """Return the largest power of two that is at most ``fitting`` and ``most``, at least 1.

    Powers of two, so that a little more or less free memory gives the same batch and the same rounding.
    """
    return 1 << max(0, min(fitting, most).bit_length() - 1) if fitting > 0 else 1


def _peak(
    module: Embedder, count: int, shape: tuple[int, int, int], poolings: tuple[str, ...], device: torch.device
) -> int:
    """Return the peak of allocated bytes of a forward pass of ``count`` crops."""
    torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        module.embed_each(torch.zeros(count, *shape, device=device), poolings)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)
