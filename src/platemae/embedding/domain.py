"""Show a model the domain that its batch statistics come from, before it embeds.

Legend: C channels, H height, W width, B tiles of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from platemae.embedding.infer import tile_batches

WINDOW, BATCH = 256, 64
"""Tiles that are mixed in memory, and tiles of a mini-batch; fixed, so that no setting of speed moves a vector."""
SEED = 0


def adapt_to_domain(
    module: Any,
    read: Callable[[int], np.ndarray],
    n_fields: int,
    *,
    size: int,
    tiling: str,
    exact: bool,
    most: int = 0,
    device: str = "cpu",
    threads: int = 1,
) -> int:
    """Let a model take the statistics of a domain's tiles, and return how many fields were read.

    Fields come in a fixed shuffled order and tiles are mixed within a window: a mini-batch of neighbouring wells would
    be normalised by their treatment.

    Parameters
    ----------
    module
        A model with ``adapt``, see ``models.wsl``.
    read
        Reads a field of the domain by its index: (C, H, W), float32 on the scale 0..255. Called in threads.
    n_fields
        Fields of the domain.
    size, tiling
        Edge of a tile, and how a field is cut, see `tile_field`.
    exact
        Whether to pass over the domain until all statistics are exact.
    most
        Fields that are read at most; 0: all.
    device, threads
        Where the model lies, and threads that read.
    """
    order = np.random.default_rng(SEED).permutation(n_fields)[: most or n_fields]

    def batches() -> Iterable[Tensor]:
        for x_BCHW in _mixed(lambda index: read(int(order[index])), len(order), size, tiling, threads):
            yield torch.from_numpy(x_BCHW).to(device)

    module.eval()
    module.adapt(batches, exact)
    return len(order)


def _mixed(
    read: Callable[[int], np.ndarray], n_fields: int, size: int, tiling: str, threads: int
) -> Iterator[np.ndarray]:
    """Yield mini-batches of two tiles or more, mixed within each window."""
    rng = np.random.default_rng(SEED)
    for window_BCHW, _ in tile_batches(read, n_fields, size, tiling, WINDOW, threads):
        parts = np.array_split(rng.permutation(len(window_BCHW)), -(-len(window_BCHW) // BATCH))
        yield from (window_BCHW[part] for part in parts if len(part) > 1)
