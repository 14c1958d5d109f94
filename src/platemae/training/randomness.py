"""Random numbers that depend on seed, purpose and step alone, never on the number of processes.

Shape legend: B batch, N patches, L encoder blocks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TRAIN, VALIDATE = 0, 1


def generator(seed: int, purpose: int, index: int) -> torch.Generator:
    """Return a CPU generator for one step (or one validation batch)."""
    state = np.random.SeedSequence([seed, purpose, index]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))  # torch takes signed 64-bit seeds


def draw(
    seed: int, purpose: int, index: int, n_samples: int, sizes: tuple[int, int], part: slice
) -> tuple[Tensor, Tensor | None]:
    """Draw for the whole batch, return the rows of one process.

    Parameters
    ----------
    seed, purpose, index
        As in ``generator``.
    n_samples
        Size of the global batch.
    sizes
        Numbers a sample needs for its mask (N) and for stochastic depth (L, 0 for none).
    part
        The rows of this process.

    Returns
    -------
    tuple
        (B, N) and (B, L) uniform in [0, 1); None for L = 0.
    """
    source = generator(seed, purpose, index)
    noise_BN = torch.rand(n_samples, sizes[0], generator=source)[part]
    return noise_BN, torch.rand(n_samples, sizes[1], generator=source)[part] if sizes[1] else None
