"""One plane of one TIFF, read with distrust: the file may be truncated, huge, or something else altogether."""

# Shape legend: Y rows, X columns of pixels

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile

from platemae.errors import InputError
from platemae.readers.tiff_strips import read_strips

MAX_PIXELS = 2**28
"""Largest plane, 16384 x 16384: above that of any camera, and a bound for what a false header can make us allocate."""

DTYPES = ("uint8", "uint16", "float32")
_GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.PALETTE)
DAMAGE = (
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
"""What tifffile and imagecodecs raise on damaged files (imagecodecs' own errors are RuntimeErrors)."""


def read_tiff(path: Path, page: int | None = None, out_YX: np.ndarray | None = None) -> np.ndarray:
    """Return one plane of a TIFF, (Y, X), little-endian, in its source dtype.

    Parameters
    ----------
    path
        The file.
    page
        Which page of it; None where the file must hold just one.
    out_YX
        Where the plane may be decoded to, and is when it is what :mod:`platemae.readers.tiff_strips` reads, of this
        size and dtype. Its content is lost in any case.

    Raises
    ------
    InputError
        When the file is truncated or damaged, holds several pages (and none is named) or colours, another dtype, too
        many pixels, or values that are not finite.
    """
    try:
        x_YX = None if page else read_strips(path, MAX_PIXELS, out_YX)
        if x_YX is None:
            x_YX = _read_any(path, page)
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"a TIFF cannot be read: {error.strerror}", str(path), "mend its permissions") from None
    except DAMAGE as error:
        raise InputError(
            f"a TIFF cannot be read: {error}", str(path), "copy it again from the instrument, or remove the field"
        ) from None
    if x_YX.dtype.kind == "f" and not np.isfinite(x_YX).all():
        what = "a TIFF has pixels that are not finite (NaN or infinity)"
        raise InputError(what, str(path), "write it again without them")
    return x_YX


def _read_any(path: Path, page: int | None) -> np.ndarray:
    """Return a plane of whatever tifffile reads."""
    with tifffile.TiffFile(path) as tiff:
        trouble = _pages_trouble(len(tiff.pages), page)
        if trouble is None:
            plane = tiff.pages.first if not page else tiff.pages[page].aspage()
            trouble = _trouble(plane, path.stat().st_size)
        if trouble is not None:
            raise InputError(f"a TIFF {trouble[0]}", str(path), trouble[1])
        x_YX = plane.asarray(maxworkers=1)
    return np.ascontiguousarray(x_YX, dtype=x_YX.dtype.newbyteorder("<"))


def _pages_trouble(n_pages: int, page: int | None) -> tuple[str, str] | None:
    if page is None and n_pages != 1:
        return f"holds {n_pages} pages", "write one page a file: one channel, one plane, one time point"
    if page is not None and page >= n_pages:
        return f"holds {n_pages} pages, page {page} is asked for", "copy it again from the instrument"
    return None


def _trouble(page: tifffile.TiffPage, size: int) -> tuple[str, str] | None:
    """Return what is wrong with a page and the remedy, from its header alone; None when nothing is."""
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
