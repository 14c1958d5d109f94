"""Fields to tiles to vectors, summed a field and averaged a well.

Legend: C channels, H height, W width, T tiles, B tiles of a forward pass, S edge of a tile, F fields, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from platemae.data.prefetch import prefetch
from platemae.embedding.tiling import tile_field


class Embedder(Protocol):
    """What a model offers: crops (B, C, S, S) on the scale 0..255 to vectors (B, D)."""

    def embed(self, x_BCHW: Tensor, pooling: str = "mean") -> Tensor:
        """Return the vectors."""
        ...

    def eval(self) -> object:
        """Switch to inference."""
        ...


@dataclass(frozen=True)
class FieldSums:
    """Sums of tile vectors: ``total_FD`` float64, and ``tiles_F`` how many each field has."""

    total_FD: np.ndarray
    tiles_F: np.ndarray

    def field_means(self) -> np.ndarray:
        """Return the mean vector of each field, (F, D)."""
        return self.total_FD / self.tiles_F[:, None]

    def well_means(self, wells_F: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
        """Average all tiles of each well.

        Parameters
        ----------
        wells_F
            Well of each field.

        Returns
        -------
        tuple
            Wells, sorted; their means (wells, D); fields and tiles of each.
        """
        names, index_F = np.unique(np.asarray(wells_F, dtype="U"), return_inverse=True)
        total_WD = np.zeros((len(names), self.total_FD.shape[1]))
        np.add.at(total_WD, index_F, self.total_FD)
        tiles_W = np.bincount(index_F, self.tiles_F, len(names)).astype(np.int64)
        return names.tolist(), total_WD / tiles_W[:, None], np.bincount(index_F), tiles_W


@torch.inference_mode()
def embed_fields(
    module: Embedder,
    read: Callable[[int], np.ndarray],
    n_fields: int,
    *,
    size: int,
    tiling: str = "overlap",
    pooling: str = "mean",
    batch: int = 128,
    device: str = "cpu",
    threads: int = 1,
) -> FieldSums:
    """Embed every tile of every field; the same input gives the same sums, whatever the threads.

    Parameters
    ----------
    module
        The model.
    read
        Reads a field by its index: (C, H, W), float32 on the scale 0..255. Called in threads, ahead of the model.
    n_fields
        Fields to embed, at least one.
    size
        Edge of a tile, pixels.
    tiling, pooling
        See `tile_field` and the model.
    batch
        Tiles of a forward pass; tiles of different fields share one.
    device
        Where the model lies.
    threads
        Threads that read.

    Raises
    ------
    ConfigError
        When a field is smaller than a tile and tiling is not ``reflect``.
    """
    module.eval()
    total_FD, tiles_F = np.zeros((n_fields, 0)), np.zeros(n_fields, np.int64)
    for x_BCHW, owner_B in tile_batches(read, n_fields, size, tiling, batch, threads):
        vectors_BD = module.embed(torch.from_numpy(x_BCHW).to(device), pooling).cpu().numpy().astype(np.float64)
        if not total_FD.shape[1]:
            total_FD = np.zeros((n_fields, vectors_BD.shape[1]))
        np.add.at(total_FD, owner_B, vectors_BD)
        tiles_F += np.bincount(owner_B, minlength=n_fields)
    return FieldSums(total_FD, tiles_F)


def tile_batches(
    read: Callable[[int], np.ndarray], n_fields: int, size: int, tiling: str, batch: int, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield full batches of tiles, the last one smaller, and the field that each tile belongs to."""

    def tiles_of(field: int) -> np.ndarray:
        field_CHW = read(field)
        return tile_field(field_CHW.shape[1], field_CHW.shape[2], size, tiling).cut(field_CHW)

    held: list[np.ndarray] = []
    owners: list[int] = []
    for field, tiles_TCHW in enumerate(prefetch(tiles_of, range(n_fields), threads, depth=threads + 1)):
        held += list(tiles_TCHW)
        owners += [field] * len(tiles_TCHW)
        while len(held) >= batch:
            yield np.stack(held[:batch]), np.array(owners[:batch])
            del held[:batch], owners[:batch]
    if held:
        yield np.stack(held), np.array(owners)
