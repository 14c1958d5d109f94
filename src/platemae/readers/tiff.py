"""One plane of one TIFF, read with distrust: the file may be truncated, huge, or something else altogether."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile

from platemae.errors import InputError, raise_all
from platemae.readers.base import FieldRecord

MAX_PIXELS = 2**28
"""Largest plane, 16384 x 16384: above that of any camera, and a bound for what a false header can make us allocate."""

DTYPES = ("uint8", "uint16", "float32")
_GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.PALETTE)
# What tifffile and imagecodecs raise on damaged files (imagecodecs' own errors are RuntimeErrors).
_DAMAGE = (
    tifffile.TiffFileError,
    RuntimeError,
    ValueError,
    TypeError,
    OSError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)


def read_plane(path: Path) -> np.ndarray:
    """Return the one plane of a TIFF, (Y, X), little-endian, in its source dtype.

    Raises
    ------
    InputError
        When the file is truncated or damaged, holds several pages or colours, another dtype, too many pixels, or
        values that are not finite.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            trouble = _trouble(tiff, page, path.stat().st_size)
            x_YX = page.asarray(maxworkers=1) if trouble is None else np.zeros((0, 0))
    except _DAMAGE as error:
        raise InputError(
            f"a TIFF cannot be read: {error}", str(path), "copy it again from the instrument, or remove the field"
        ) from None
    if trouble is None and x_YX.dtype.kind == "f" and not np.isfinite(x_YX).all():
        trouble = "has pixels that are not finite (NaN or infinity)", "write it again without them"
    if trouble is not None:
        raise InputError(f"a TIFF {trouble[0]}", str(path), trouble[1])
    return np.ascontiguousarray(x_YX, dtype=x_YX.dtype.newbyteorder("<"))


def read_channels(files: Iterable[Path | None]) -> np.ndarray:
    """Return the planes of one field, (C, Y, X); zeros for None.

    Raises
    ------
    InputError
        All that cannot be read at once, or a field whose channels differ in shape or dtype.
    """
    planes: list[np.ndarray | None] = []
    problems: list[InputError] = []
    paths = list(files)
    for path in paths:
        try:
            planes.append(None if path is None else read_plane(path))
        except InputError as error:
            problems.append(error)
    raise_all(problems)
    first = next(plane for plane in planes if plane is not None)
    for path, plane in zip(paths, planes, strict=True):
        if plane is not None and (plane.shape, plane.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"a channel is {plane.shape[0]} x {plane.shape[1]} {plane.dtype}, another one of its field is "
                f"{first.shape[0]} x {first.shape[1]} {first.dtype}",
                str(path),
                "give all channels one size and depth",
            )
    return np.stack([np.zeros_like(first) if plane is None else plane for plane in planes])


def load_record(record: FieldRecord) -> np.ndarray:
    """Return the pixels of a field whose channels are TIFFs of one plane each, (C, Y, X).

    Raises
    ------
    InputError
        As :func:`read_channels`.
    """
    return read_channels(record.files.values())


def _trouble(tiff: tifffile.TiffFile, page: tifffile.TiffPage, size: int) -> tuple[str, str] | None:
    """Return what is wrong with a file and the remedy, from its header alone; None when nothing is."""
    if len(tiff.pages) != 1:
        return f"holds {len(tiff.pages)} pages", "write one page a file: one channel, one plane, one time point"
    if page.ndim != 2 or page.photometric not in _GRAY:
        return f"is no grey image (shape {page.shape})", "write one channel a file"
    if page.dtype is None or page.dtype.name not in DTYPES:
        return f"has pixels of type {page.dtype}", f"convert it to {', '.join(DTYPES)}"
    if page.size > MAX_PIXELS or page.size == 0:
        return f"claims {page.shape[0]} x {page.shape[1]} pixels", "copy it again from the instrument"
    # tifffile fills segments that are missing with zeros, so a cut file could pass as a dark image.
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or not all(page.databytecounts):
        return f"is truncated: {size} of {max(ends, default=0)} bytes", "copy it again from the instrument"
    return None
