"""The usual TIFF of a microscope, decoded straight into its place: one little-endian grey page of strips.

The general way, through tifffile, looks at every tag, which takes longer than to decode a small image, and copies each
strip. Here just the tags that say how pixels lie are read. Whatever is not understood to the last byte is left to the
general way, which also says what is wrong with a file.
"""

# Shape legend: Y rows, X columns of pixels

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

# Tags of TIFF 6.0 (Adobe, 1992), and of the private ones those with which a page is not what these tags say.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _COUNTS, _PREDICTOR, _SAMPLE_FORMAT = 273, 277, 278, 279, 317, 339
_STRANGE = {322, 324, 32997, 33629, 33445, 34412}
"""Tiles, depth, and the stacks of MetaMorph, Molecular Dynamics and Zeiss."""
_SINGLE = {_FILL_ORDER: 1, _SAMPLES: 1, _PREDICTOR: 1, _SAMPLE_FORMAT: 1, _COMPRESSION: 1}
"""Tags that may be absent, and what they are then."""
_NEEDED = (_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _OFFSETS, _COUNTS)
_FORMATS = {3: "H", 4: "I"}
"""Type of a tag -> format of its values: 16 and 32 bits, the only ones of the tags above."""

_DTYPES = {(8, 1): "<u1", (16, 1): "<u2", (32, 3): "<f4"}
"""Bits and sample format -> dtype."""

_DEFLATE = imagecodecs.deflate_decode
_DECODERS: dict[int, Callable[..., Any] | None] = {1: None, 5: imagecodecs.lzw_decode, 8: _DEFLATE, 32946: _DEFLATE}
"""Compression -> decoder: none, LZW, deflate."""

_HEAD = 4096
_MAX_TAGS = 200
_MAX_STRIPS = 2**16


@dataclass(frozen=True)
class _Page:
    """How the pixels of the one page lie in the file."""

    shape: tuple[int, int]
    dtype: np.dtype
    compression: int
    has_differences: bool
    rows_per_strip: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]


class _UnusualError(Exception):
    """The file is not one that is read here."""


def read_strips(path: Path, max_pixels: int, out_YX: np.ndarray | None = None) -> np.ndarray | None:
    """Return the only page of a usual TIFF, (Y, X), little-endian; None for any other file, damaged ones among them.

    Parameters
    ----------
    path
        The file.
    max_pixels
        Largest page that is allocated.
    out_YX
        Where to decode to when size and dtype are those of the page. Its content is lost even where None is returned.

    Raises
    ------
    OSError
        When the file cannot be opened or read.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        page = _page(handle, size, max_pixels)
        if out_YX is None or (out_YX.shape, out_YX.dtype) != (page.shape, page.dtype):
            out_YX = np.empty(page.shape, page.dtype)
        _fill(handle, page, out_YX)
    except (_UnusualError, struct.error):
        return None
    finally:
        os.close(handle)
    return out_YX


def _page(handle: int, size: int, max_pixels: int) -> _Page:
    tags = _tags(handle)
    if _STRANGE & tags.keys() or not all(tag in tags for tag in _NEEDED):
        raise _UnusualError
    (height,), (width,) = tags[_HEIGHT], tags[_WIDTH]
    single = {tag: tags.get(tag, (value,)) for tag, value in _SINGLE.items()}
    dtype = _DTYPES.get((*tags[_BITS], *single[_SAMPLE_FORMAT]))  # type: ignore[arg-type]
    (compression,), (predictor,) = single[_COMPRESSION], single[_PREDICTOR]
    (rows,) = tags.get(_ROWS_PER_STRIP, (height,))
    page_is_usual = (
        dtype is not None
        and single[_FILL_ORDER] == single[_SAMPLES] == tags[_PHOTOMETRIC] == (1,)
        and compression in _DECODERS
        and (predictor == 1 or (predictor == 2 and compression != 1 and "u" in dtype))
        and 0 < height * width <= max_pixels
        and rows > 0
    )
    offsets, counts = tags[_OFFSETS], tags[_COUNTS]
    if not page_is_usual or not len(offsets) == len(counts) == -(-height // rows):
        raise _UnusualError
    if not all(counts) or max(offset + count for offset, count in zip(offsets, counts, strict=True)) > size:
        raise _UnusualError
    return _Page((height, width), np.dtype(dtype), compression, predictor == 2, min(rows, height), offsets, counts)


def _tags(handle: int) -> dict[int, tuple[int, ...]]:
    """Return the values of the tags of integers of a file's only page."""
    head = os.pread(handle, _HEAD, 0)
    order, start = struct.unpack_from("<4sI", head)
    if order != b"II*\0":
        raise _UnusualError

    def read(at: int, length: int) -> bytes:
        found = head[at : at + length] if at + length <= len(head) else os.pread(handle, length, at)
        if len(found) < length:
            raise _UnusualError
        return found

    (number,) = struct.unpack("<H", read(start, 2))
    if number > _MAX_TAGS:
        raise _UnusualError
    entries = read(start + 2, number * 12 + 4)
    if struct.unpack_from("<I", entries, number * 12)[0]:
        raise _UnusualError  # there are more pages
    tags: dict[int, tuple[int, ...]] = {}
    for tag, kind, count, value in struct.iter_unpack("<HHI4s", entries[:-4]):
        if tag in _STRANGE:
            tags[tag] = ()
        elif tag in _SINGLE or tag in _NEEDED or tag == _ROWS_PER_STRIP:
            if kind not in _FORMATS or not 0 < count <= _MAX_STRIPS or tag in tags:
                raise _UnusualError
            values = struct.Struct(f"<{count}{_FORMATS[kind]}")
            tags[tag] = values.unpack(value[: values.size] if values.size <= 4 else _far(value, values.size, read))
    if any(len(values) > 1 for tag, values in tags.items() if tag not in (_OFFSETS, _COUNTS)):
        raise _UnusualError
    return tags


def _far(value: bytes, size: int, read: Callable[[int, int], bytes]) -> bytes:
    return read(struct.unpack("<I", value)[0], size)


def _fill(handle: int, page: _Page, out_YX: np.ndarray) -> None:
    """Decode all strips into an array, which is contiguous."""
    decoder = _DECODERS[page.compression]
    step = page.rows_per_strip
    strips = [out_YX[at : at + step] for at in range(0, page.shape[0], step)]
    if decoder is None:
        for strip_YX, offset, count in zip(strips, page.offsets, page.counts, strict=True):
            if strip_YX.nbytes != count or os.preadv(handle, [_bytes(strip_YX)], offset) != count:
                raise _UnusualError
        return
    for strip_YX, packed in zip(strips, _packed(handle, page), strict=True):
        try:
            done = decoder(packed, out=_bytes(strip_YX))
        except (RuntimeError, ValueError):
            raise _UnusualError from None
        if len(done) != strip_YX.nbytes:
            raise _UnusualError
    if page.has_differences:
        imagecodecs.delta_decode(out_YX, axis=-1, out=out_YX)


def _packed(handle: int, page: _Page) -> Iterator[memoryview]:
    """Yield the bytes of each strip; those that lie one behind another are read at once."""
    ends = [offset + count for offset, count in zip(page.offsets, page.counts, strict=True)]
    start = page.offsets[0]
    if all(end == offset for end, (_, offset) in zip(ends, pairwise(page.offsets), strict=False)):
        whole = memoryview(os.pread(handle, ends[-1] - start, start))
        yield from (whole[offset - start : end - start] for offset, end in zip(page.offsets, ends, strict=True))
    else:
        for offset, count in zip(page.offsets, page.counts, strict=True):
            yield memoryview(os.pread(handle, count, offset))


def _bytes(x_YX: np.ndarray) -> memoryview:
    return x_YX.reshape(-1).view(np.uint8).data
