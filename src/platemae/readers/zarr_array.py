"""One plane of a Zarr array, format 2 or 3, whatever wrote it."""

# Shape legend: Y rows, X columns of pixels

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from platemae.errors import InputError
from platemae.readers.base import Plane
from platemae.readers.tiff import DTYPES, MAX_PIXELS

MAX_CHUNK = 4 * MAX_PIXELS
"""Largest chunk, pixels; it may hold several planes, and is decoded whole."""

CODECS = frozenset(
    "blosc zstd gzip zlib lz4 lzma bz2 delta shuffle bytes transpose sharding_indexed crc32c crc32 adler32".split()
)
"""Codecs that are read, by either format's names; among the rest is one that runs code (numcodecs' pickle)."""


def read_zarr(plane: Plane) -> np.ndarray:
    """Return the plane at the leading indices ``plane.index`` of the array, (Y, X), little-endian.

    Raises
    ------
    InputError
        When there is no such array or plane, it is damaged, or of a type that the store does not take.
    """
    import zarr

    try:
        array = zarr.open_array(plane.path, mode="r")
        strange = sorted(_codecs(array) - CODECS)
        if strange:
            what = f"an array is compressed with {', '.join(strange)}, which is not read"
            raise InputError(what, str(plane.path), "write it again with blosc, zstd or gzip")
        shape = array.shape[len(plane.index) :]
        outside = any(i >= n for i, n in zip(plane.index, array.shape, strict=False))
        if outside or len(shape) != 2 or array.dtype.name not in DTYPES or not 0 < prod(shape) <= MAX_PIXELS:
            what = f"an array of shape {array.shape} and type {array.dtype} holds no plane {plane.index}"
            raise InputError(what, str(plane.path), f"the store takes planes of {', '.join(DTYPES)}")
        if prod(array.chunks) > MAX_CHUNK:
            what = f"an array has chunks of {' x '.join(map(str, array.chunks))} pixels"
            raise InputError(what, str(plane.path), "write it again with smaller chunks")
        x_YX = np.asarray(array[plane.index])
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  zarr and its codecs raise whatever they meet in a damaged array
        raise InputError(f"a Zarr array cannot be read: {error}", str(plane.path), "copy the plate again") from None
    if x_YX.dtype.kind == "f" and not np.isfinite(x_YX).all():
        what = "a Zarr array has pixels that are not finite (NaN or infinity)"
        raise InputError(what, str(plane.path), "write it again without them")
    return np.ascontiguousarray(x_YX, dtype=x_YX.dtype.newbyteorder("<"))


def _codecs(array: Any) -> set[str]:
    """Return the names of an array's codecs, those inside of shards too."""
    metadata = array.metadata.to_dict()
    found = [metadata.get("compressor"), *(metadata.get("filters") or ()), *(metadata.get("codecs") or ())]
    names: set[str] = set()
    while found:
        codec = found.pop()
        if codec is None:
            continue
        names.add(str(codec.get("id") or codec.get("name")).removeprefix("numcodecs."))
        inner = codec.get("configuration") or {}
        found += [*inner.get("codecs", ()), *inner.get("index_codecs", ())]
    return names
