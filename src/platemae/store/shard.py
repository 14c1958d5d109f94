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
_ENTRY = struct.Struct("<2Q")  # offset and length of a chunk
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
    chunk_CYX = np.empty((layout.shape[0], rows, columns), dtype=layout.dtype)
    for number, (i, j) in enumerate(product(*map(range, layout.grid))):
        block_CYX = x_CYX[:, i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        if block_CYX.shape != chunk_CYX.shape:
            chunk_CYX[...] = 0
        chunk_CYX[:, : block_CYX.shape[1], : block_CYX.shape[2]] = block_CYX
        parts.append(blosc.compress(chunk_CYX, CODEC.encode(), LEVEL, blosc.BITSHUFFLE))
        index_N2[number] = offset, len(parts[-1])
        offset += len(parts[-1])
    index = index_N2.tobytes()
    return [*parts, index, struct.pack("<I", google_crc32c.value(index))]


def read_window(
    path: Path | str,
    layout: ShardLayout,
    y: tuple[int, int],
    x: tuple[int, int],
    start: int = 0,
    size: int | None = None,
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
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise MissingError(
            "a field is gone from the plate store", str(path), "ingest the plate again: `platemae ingest-plate PLATE`"
        ) from None
    try:
        length = os.fstat(handle).st_size - start if size is None else size
        index, end = _read_index(handle, layout, path, start, length)
        out_CYX = np.empty((layout.shape[0], y[1] - y[0], x[1] - x[0]), dtype=layout.dtype)
        chunk_CYX = np.empty((layout.shape[0], *layout.chunk), dtype=layout.dtype)
        for i, j in _touched(layout, y, x):
            offset, length = _ENTRY.unpack_from(index, (i * layout.grid[1] + j) * _ENTRY.size)
            source, target = _overlap((i, j), layout.chunk, (y, x))
            if offset == ABSENT:
                out_CYX[:, *target] = 0
            elif max(offset, length) > end:
                raise _damaged("has an index that leaves the file", path)
            else:
                _decode(os.pread(handle, length, start + offset), chunk_CYX, path)
                out_CYX[:, *target] = chunk_CYX[:, *source]
    finally:
        os.close(handle)
    return out_CYX


def _read_index(handle: int, layout: ShardLayout, path: Path | str, start: int, size: int) -> tuple[bytes, int]:
    """Return the index, its checksum tested, and where it begins: behind the last chunk."""
    length = prod(layout.grid) * _ENTRY.size
    end = size - length - CHECKSUM_BYTES
    raw = os.pread(handle, length + CHECKSUM_BYTES, start + end) if end >= 0 else b""
    if len(raw) != length + CHECKSUM_BYTES:
        raise _damaged("is shorter than its index", path)
    if google_crc32c.value(raw[:length]) != struct.unpack_from("<I", raw, length)[0]:
        raise _damaged("is cut short, or its index is damaged", path)
    return raw, end


def _touched(layout: ShardLayout, y: tuple[int, int], x: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield row and column of each chunk that overlaps the window."""
    spans = [range(low // size, -(-high // size)) for (low, high), size in zip((y, x), layout.chunk, strict=True)]
    yield from product(*spans)


def _overlap(
    place: tuple[int, int], chunk: tuple[int, int], window: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the rows and columns that a chunk and a window share, counted in the chunk and in the window."""
    (y, high), (x, right) = window
    top, left = place[0] * chunk[0], place[1] * chunk[1]
    rows, columns = (max(top, y), min(top + chunk[0], high)), (max(left, x), min(left + chunk[1], right))
    source = slice(rows[0] - top, rows[1] - top), slice(columns[0] - left, columns[1] - left)
    return source, (slice(rows[0] - y, rows[1] - y), slice(columns[0] - x, columns[1] - x))


def _decode(raw: bytes, chunk_CYX: np.ndarray, path: Path | str) -> None:
    # The header states the decoded size; a damaged file must not make the codec write past the chunk.
    sizes = struct.unpack_from("<III", raw, 4) if len(raw) >= 16 else (0, 0, 0)
    if sizes[0] != chunk_CYX.nbytes or sizes[2] != len(raw):
        raise _damaged("has a chunk of the wrong size", path)
    try:
        blosc.decompress(raw, chunk_CYX)
    except RuntimeError:
        raise _damaged("has a chunk that cannot be decoded", path) from None


def _damaged(what: str, path: Path | str) -> InputError:
    return InputError(f"a field of the plate store {what}", str(path), "ingest the plate again")
