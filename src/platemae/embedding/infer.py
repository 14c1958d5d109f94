"""Crops to vectors: summed a field and averaged a well, or one row each.

Legend: C channels, H height, W width, T crops of a field, B crops of a forward pass, S edge of a crop, F fields, N
rows, D dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from platemae.data.prefetch import prefetch
from platemae.embedding.cells import hide_others
from platemae.embedding.tiling import tile_field
from platemae.logs import track

_log = logging.getLogger("platemae")


class Embedder(Protocol):
    """What a model offers: crops (B, C, S, S) on the scale 0..255 to vectors (B, D)."""

    def embed_each(self, x_BCHW: Tensor, poolings: Sequence[str]) -> dict[str, Tensor]:
        """Return the vectors of each pooling, by one forward pass."""
        ...

    def eval(self) -> object:
        """Switch to inference."""
        ...


@dataclass(frozen=True)
class Cut:
    """A field, and where its crops lie in it.

    Parameters
    ----------
    field_CHW
        Pixels, float32 on the scale 0..255; mirrored beyond the field where crops leave it.
    origins_T2
        Top left pixel (y, x) of each crop.
    nearest_HW, place_T
        Where neighbours are hidden: the place that each pixel is nearest to, and the place of each crop's own cell.
    """

    field_CHW: np.ndarray
    origins_T2: np.ndarray
    nearest_HW: np.ndarray | None = None
    place_T: np.ndarray | None = None

    def write(self, number: int, crop_CSS: np.ndarray) -> None:
        """Copy one crop."""
        (y, x), size = self.origins_T2[number], crop_CSS.shape[-1]
        crop_CSS[:] = self.field_CHW[:, y : y + size, x : x + size]
        if self.nearest_HW is not None and self.place_T is not None:
            hide_others(crop_CSS, self.nearest_HW[y : y + size, x : x + size] != self.place_T[number])


@dataclass(frozen=True)
class FieldSums:
    """Sums of crop vectors: ``total_FD`` float64, and ``tiles_F`` how many each field has."""

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


def sum_fields(
    module: Embedder,
    cut: Callable[[int], Cut],
    n_fields: int,
    *,
    size: int,
    poolings: Sequence[str],
    batch: int,
    device: str = "cpu",
    threads: int = 1,
) -> dict[str, FieldSums]:
    """Embed every crop and add up those of a field; the same input gives the same sums, whatever the threads.

    Parameters
    ----------
    module
        The model.
    cut
        Reads and cuts a field by its index. Called in threads, ahead of the model.
    n_fields
        Fields to embed, at least one.
    size
        Edge of a crop, pixels.
    poolings
        See the model.
    batch
        Crops of a forward pass; crops of different fields share one.
    device
        Where the model lies.
    threads
        Threads that read.
    """
    sums: dict[str, FieldSums] = {}
    tiles_F = np.zeros(n_fields, np.int64)
    for vectors, owner_B in _vectors(module, cut, n_fields, size, poolings, batch, device, threads):
        for name, vectors_BD in vectors.items():
            if name not in sums:
                sums[name] = FieldSums(np.zeros((n_fields, vectors_BD.shape[1])), tiles_F)
            np.add.at(sums[name].total_FD, owner_B, vectors_BD.astype(np.float64))
        tiles_F += np.bincount(owner_B, minlength=n_fields)
    return sums


def stack_crops(
    module: Embedder,
    cut: Callable[[int], Cut],
    n_fields: int,
    n_crops: int,
    *,
    size: int,
    poolings: Sequence[str],
    batch: int,
    device: str = "cpu",
    threads: int = 1,
) -> dict[str, np.ndarray]:
    """Embed every crop and keep each, (N, D) float32 of each pooling, in the order of fields and crops.

    Memory: N x D x 4 bytes a pooling, written in place as the batches come, and the fields that are read ahead.

    Parameters
    ----------
    module, cut, n_fields, size, poolings, batch, device, threads
        As in `sum_fields`.
    n_crops
        N, crops of all fields together.
    """
    rows: dict[str, np.ndarray] = {}
    done = 0
    for vectors, owner_B in _vectors(module, cut, n_fields, size, poolings, batch, device, threads):
        for name, vectors_BD in vectors.items():
            if name not in rows:
                rows[name] = np.empty((n_crops, vectors_BD.shape[1]), np.float32)
            rows[name][done : done + len(owner_B)] = vectors_BD
        done += len(owner_B)
    if done != n_crops:
        raise AssertionError(f"{done} crops where {n_crops} were planned")
    return rows


def _vectors(
    module: Embedder,
    cut: Callable[[int], Cut],
    n_fields: int,
    size: int,
    poolings: Sequence[str],
    batch: int,
    device: str,
    threads: int,
) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    module.eval()
    for x_BCHW, owner_B in crop_batches(cut, n_fields, size, batch, threads):
        with torch.inference_mode():
            yield _forward(module, torch.from_numpy(x_BCHW), poolings, device), owner_B


def _forward(module: Embedder, x_BCHW: Tensor, poolings: Sequence[str], device: str) -> dict[str, np.ndarray]:
    """Run one batch, in halves where the device has no memory for it."""
    try:
        found = module.embed_each(x_BCHW.to(device), poolings)
        return {name: vectors_BD.cpu().numpy() for name, vectors_BD in found.items()}
    except torch.OutOfMemoryError:
        if len(x_BCHW) == 1:
            raise
    _log.warning("no memory for %d crops at once, going on with half as many", len(x_BCHW))
    halves = [_forward(module, half_BCHW, poolings, device) for half_BCHW in x_BCHW.tensor_split(2)]
    return {name: np.concatenate([half[name] for half in halves]) for name in poolings}


def tiles_of(read: Callable[[int], np.ndarray], size: int, tiling: str) -> Callable[[int], Cut]:
    """Return a function that reads a field and lays tiles over it."""

    def cut(field: int) -> Cut:
        field_CHW = read(field)
        tiles = tile_field(field_CHW.shape[1], field_CHW.shape[2], size, tiling)
        return Cut(tiles.padded(field_CHW), np.array(tiles.origins))

    return cut


def tile_batches(
    read: Callable[[int], np.ndarray], n_fields: int, size: int, tiling: str, batch: int, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield full batches of tiles, the last one smaller, and the field that each tile belongs to."""
    return crop_batches(tiles_of(read, size, tiling), n_fields, size, batch, threads)


def crop_batches(
    cut: Callable[[int], Cut], n_fields: int, size: int, batch: int, threads: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield full batches of crops (B, C, S, S), the last one smaller, and the field that each crop belongs to.

    Of the fields ahead only the pixels are held: a field of many cells is cut when its crops are due.
    """
    x_BCSS, owner_B = np.empty(0, np.float32), np.empty(batch, np.int64)
    filled = 0
    ahead = prefetch(cut, range(n_fields), threads, depth=threads + 1)
    for field, found in enumerate(track(ahead, n_fields, "fields")):
        for number in range(len(found.origins_T2)):
            if filled == 0:
                x_BCSS = np.empty((batch, len(found.field_CHW), size, size), np.float32)
            found.write(number, x_BCSS[filled])
            owner_B[filled] = field
            filled += 1
            if filled == batch:
                yield x_BCSS, owner_B.copy()
                filled = 0
    if filled:
        yield x_BCSS[:filled], owner_B[:filled].copy()
