"""One plane of a Zarr array, format 2 or 3, whatever wrote it."""

# Shape legend: Y rows, X columns of pixels

from __future__ import annotations

import numpy as np

from platemae.errors import InputError
from platemae.readers.base import Plane
from platemae.readers.tiff import DTYPES, MAX_PIXELS


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
        shape = array.shape[len(plane.index) :]
        if len(shape) != 2 or array.dtype.name not in DTYPES or not 0 < int(np.prod(shape)) <= MAX_PIXELS:
            what = f"an array of shape {array.shape} and type {array.dtype} holds no plane {plane.index}"
            raise InputError(what, str(plane.path), f"the store takes planes of {', '.join(DTYPES)}")
        x_YX = np.asarray(array[plane.index])
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  zarr and its codecs raise whatever they meet in a damaged array
        raise InputError(f"a Zarr array cannot be read: {error}", str(plane.path), "copy the plate again") from None
    return np.ascontiguousarray(x_YX, dtype=x_YX.dtype.newbyteorder("<"))
