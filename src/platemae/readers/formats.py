"""One plane out of any file that a reader may name: TIFF, PNG, JPEG, JPEG 2000, images in parquet, Zarr arrays."""

# Shape legend: Y rows, X columns of pixels

from __future__ import annotations

from pathlib import Path

import numpy as np

from platemae.errors import InputError
from platemae.readers.base import Plane
from platemae.readers.image_header import read_header
from platemae.readers.parquet_image import read_parquet_image
from platemae.readers.tiff import DTYPES, MAX_PIXELS, read_tiff
from platemae.readers.zarr_array import read_zarr

TIFF_SUFFIXES = (".tif", ".tiff", ".flex")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jp2", ".j2k", ".jpx")
SUFFIXES = (*TIFF_SUFFIXES, *IMAGE_SUFFIXES)
"""Endings of image files, lower case."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "jpeg2k",
    b"\xff\x4f\xff\x51": "jpeg2k",
}
"""First bytes of an encoded image -> its decoder; names of files are not trusted."""


def read_plane(plane: Plane, out_YX: np.ndarray | None = None) -> np.ndarray:
    """Return one plane, (Y, X), little-endian, in its source dtype.

    ``out_YX`` may, but need not, become the plane, which saves a copy where many are read; see
    :func:`platemae.readers.tiff.read_tiff`.

    Raises
    ------
    InputError
        When it cannot be read, is no grey image, or claims more pixels than any camera has.
    """
    suffix = plane.path.suffix.lower()
    if suffix in TIFF_SUFFIXES:
        return read_tiff(plane.path, plane.index[0] if plane.index else None, out_YX)
    if suffix == ".parquet":
        return decode(read_parquet_image(plane), f"{plane.path}, row {plane.index[0]}")
    if plane.path.is_dir():
        return read_zarr(plane)
    return decode(_bytes(plane.path), str(plane.path))


def decode(data: bytes, where: str) -> np.ndarray:
    """Return the grey image that encoded bytes hold, (Y, X).

    Raises
    ------
    InputError
        When they are no PNG, JPEG or JPEG 2000, damaged, coloured, or of a type that the store does not take.
    """
    import imagecodecs

    kind = next((name for magic, name in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None:
        raise InputError(
            "a file is no TIFF, PNG, JPEG or JPEG 2000 image", where, "copy it again, or narrow what the reader takes"
        )
    decoder = {"png": imagecodecs.png_decode, "jpeg": imagecodecs.jpeg_decode, "jpeg2k": imagecodecs.jpeg2k_decode}
    trouble = _header_trouble(kind, data)
    if trouble is None:
        try:
            x_YX = np.asarray(decoder[kind](data))
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise InputError(f"an image cannot be decoded: {error}", where, "copy it again") from None
        trouble = _trouble(x_YX)
    if trouble is not None:
        raise InputError(f"an image {trouble[0]}", where, trouble[1])
    return np.ascontiguousarray(x_YX, dtype=x_YX.dtype.newbyteorder("<"))


def _trouble(x_YX: np.ndarray) -> tuple[str, str] | None:
    if x_YX.ndim != 2:
        return f"is no grey image (shape {x_YX.shape})", "write grey images, one channel a file"
    if x_YX.dtype.name not in DTYPES:
        return f"has pixels of type {x_YX.dtype}", f"convert it to {', '.join(DTYPES)}"
    return None


def _header_trouble(kind: str, data: bytes) -> tuple[str, str] | None:
    """Return what is wrong with an image by its header, before anything is allocated, and the remedy."""
    try:
        header = read_header(kind, data)
    except ValueError as error:
        return f"cannot be decoded: {error}", "copy it again"
    if header.components != 1:
        return f"is no grey image ({header.components} components)", "write grey images, one channel a file"
    if not 0 < header.width * header.height <= MAX_PIXELS or min(header.width, header.height) < 1:
        return f"claims {header.width} x {header.height} pixels", "copy it again"
    return None if header.is_complete else ("is truncated", "copy it again")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "mend its permissions" if isinstance(error, PermissionError) else "copy it again"
        raise InputError(f"a file cannot be read: {error.strerror}", str(path), remedy) from None
