"""One field as one Zarr v3 shard: encode it whole, decode any window of it.

The layout is the ``sharding_indexed`` codec with blosc-compressed chunks and an index at the end, as zarr-python writes
and reads it (a test holds both against each other). Doing it here costs one open and a few positioned reads a crop;
zarr-python's own path takes 2 to 3 ms a crop however small it is, and 1 s to import.
"""

# Shape legend: C channels, Y rows, X columns of pixels; N chunks of a shard

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

import google_crc32c  # a dependency of zarr, which checks the same index with it
import numcodecs.blosc as blosc
import numpy as np

from platemae.errors import InputError, MissingError

# Parallel over fields and crops already; blosc's own thread pool is global and does not survive a fork.
blosc.use_threads = False

CODEC = "zstd"
LEVEL = 1
INDEX_DTYPE = np.dtype("<u8")
CHECKSUM_BYTES = 4
ABSENT = 2**64 - 1
"""Offset and length that mark a chunk of fill values in the index."""


@dataclass(frozen=True)
class ShardLayout:
    """Shape of a field and how it is cut into chunks; every chunk holds all channels.

    Parameters
    ----------
    shape
        (C, Y, X) of the field.
    chunk
        (rows, columns) of a chunk, pixels.
    dtype
        Source dtype.
    """

    shape: tuple[int, int, int]
    chunk: tuple[int, int]
    dtype: np.dtype

    @classmethod
    def of(cls, shape: tuple[int, int, int], dtype: np.dtype, chunk_px: int) -> ShardLayout:
        """Return the layout with the largest chunks of at most ``chunk_px`` that cut the field into equal parts.

        1080 pixels in chunks of at most 256 are five chunks of 216: no chunk is mostly padding.
        """
        rows, columns = (-(-size // -(-size // chunk_px)) for size in shape[1:])
        return cls(shape, (rows, columns), np.dtype(dtype))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of chunks."""
        return -(-self.shape[1] // self.chunk[0]), -(-self.shape[2] // self.chunk[1])

    @property
    def shard(self) -> tuple[int, int, int]:
        """Shape of the shard: the field, rounded up to whole chunks."""
        return self.shape[0], self.grid[0] * self.chunk[0], self.grid[1] * self.chunk[1]

    @property
    def chunk_bytes(self) -> int:
        """Bytes of an uncompressed chunk."""
        return self.shape[0] * prod(self.chunk) * self.dtype.itemsize


def encode(x_CYX: np.ndarray, layout: ShardLayout) -> list[bytes]:
    """Return the parts of the shard file that holds ``x_CYX``, in order; the last is the index with its checksum."""
    parts: list[bytes] = []
    index_N2 = np.empty((prod(layout.grid), 2), dtype=INDEX_DTYPE)
    offset = 0
    rows, columns = layout.chunk
    for number, (i, j) in enumerate(product(*map(range, layout.grid))):
        block = x_CYX[:, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        short = [(0, 0), (0, rows - block.shape[1]), (0, columns - block.shape[2])]
        chunk = np.ascontiguousarray(np.pad(block, short) if any(map(any, short)) else block)
        parts.append(blosc.compress(chunk, CODEC.encode(), LEVEL, blosc.BITSHUFFLE))
        index_N2[number] = offset, len(parts[-1])
        offset += len(parts[-1])
    index = index_N2.tobytes()
    return [*parts, index, struct.pack("<I", google_crc32c.value(index))]


def read_window(
    path: Path, layout: ShardLayout, y: tuple[int, int], x: tuple[int, int], start: int = 0, size: int | None = None
) -> np.ndarray:
    """Read rows ``y[0]:y[1]`` and columns ``x[0]:x[1]`` of all channels.

    Parameters
    ----------
    path
        File that holds the shard.
    layout
        Shape, chunks and dtype.
    y, x
        The window.
    start, size
        Which bytes of the file are the shard; None: all from ``start`` on.

    Returns
    -------
    (C, y[1] - y[0], x[1] - x[0]) in the source dtype. Safe in threads: nothing is shared between calls.

    Raises
    ------
    MissingError
        When the shard is gone.
    InputError
        When it is truncated or damaged.
    """
    out_CYX = np.zeros((layout.shape[0], y[1] - y[0], x[1] - x[0]), dtype=layout.dtype)
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise MissingError(
            "a field is gone from the plate store", str(path), "ingest the plate again: `platemae ingest-plate PLATE`"
        ) from None
    try:
        length = os.fstat(handle).st_size - start if size is None else size
        index_N2 = _read_index(handle, layout, path, start, length)
        for i, j in _touched(layout, y, x):
            offset, length = (int(v) for v in index_N2[i * layout.grid[1] + j])
            if offset != ABSENT:
                chunk_CYX = _decode(os.pread(handle, length, start + offset), layout, path)
                _paste(out_CYX, chunk_CYX, (i * layout.chunk[0], j * layout.chunk[1]), (y[0], x[0]))
    finally:
        os.close(handle)
    return out_CYX


def _read_index(handle: int, layout: ShardLayout, path: Path, start: int, size: int) -> np.ndarray:
    """Return offset and length of each chunk, (N, 2), checked: they decide what is allocated and read."""
    length = prod(layout.grid) * 2 * INDEX_DTYPE.itemsize
    end = size - length - CHECKSUM_BYTES
    raw = os.pread(handle, length + CHECKSUM_BYTES, start + end) if end >= 0 else b""
    if len(raw) != length + CHECKSUM_BYTES:
        raise _damaged("is shorter than its index", path)
    if google_crc32c.value(raw[:length]) != struct.unpack("<I", raw[length:])[0]:
        raise _damaged("is cut short, or its index is damaged", path)
    index_N2 = np.frombuffer(raw[:length], dtype=INDEX_DTYPE).reshape(-1, 2)
    present = index_N2[:, 0] != ABSENT
    if (index_N2[present].max(axis=1, initial=0) > end).any():
        raise _damaged("has an index that leaves the file", path)
    return index_N2


def _touched(layout: ShardLayout, y: tuple[int, int], x: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield row and column of each chunk that overlaps the window."""
    spans = [range(low // size, -(-high // size)) for (low, high), size in zip((y, x), layout.chunk, strict=True)]
    yield from product(*spans)


def _decode(raw: bytes, layout: ShardLayout, path: Path) -> np.ndarray:
    # The header states the decoded size; a damaged file must not make the codec write past the chunk.
    sizes = struct.unpack_from("<III", raw, 4) if len(raw) >= 16 else (0, 0, 0)
    if sizes[0] != layout.chunk_bytes or sizes[2] != len(raw):
        raise _damaged("has a chunk of the wrong size", path)
    try:
        decoded = blosc.decompress(raw)
    except RuntimeError:
        raise _damaged("has a chunk that cannot be decoded", path) from None
    return np.frombuffer(decoded, dtype=layout.dtype).reshape(layout.shape[0], *layout.chunk)


def _paste(out_CYX: np.ndarray, chunk_CYX: np.ndarray, at: tuple[int, int], origin: tuple[int, int]) -> None:
    """Copy the part of a chunk, whose corner lies at ``at``, that falls into the window with corner ``origin``."""
    source, target = [], []
    for corner, start, size, wanted in zip(at, origin, chunk_CYX.shape[1:], out_CYX.shape[1:], strict=True):
        low, high = max(corner, start), min(corner + size, start + wanted)
        source.append(slice(low - corner, high - corner))
        target.append(slice(low - start, high - start))
    out_CYX[:, target[0], target[1]] = chunk_CYX[:, source[0], source[1]]


def _damaged(what: str, path: Path) -> InputError:
    return InputError(f"a field of the plate store {what}", str(path), "ingest the plate again")
