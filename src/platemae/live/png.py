"""Pictures for a page, without an image library.

Shape legend: C channels, H W pixels of a crop, R rows of tiles.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

HIDDEN = (44, 82, 150)
"""Colour of what the network did not see; no grey of a crop is like it."""
TILE_PX, SMALL_PX, GAP_PX = 128, 64, 3
"""Largest tile, what a smaller crop is enlarged to, and what lies between."""


def png(image_HW3: np.ndarray) -> bytes:
    """Return an image of 8-bit red, green and blue as a PNG file (ISO/IEC 15948, filter 0 on every line)."""
    height, width = image_HW3.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)
    lines[:, 1:] = image_HW3.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def data_uri(image_HW3: np.ndarray) -> str:
    """Return an image as text that stands in a page."""
    return "data:image/png;base64," + base64.b64encode(png(image_HW3)).decode()


def tiles(images_RCHW: np.ndarray) -> np.ndarray:
    """Lay out one crop: a column a channel, a row each for the crop, what was seen of it, and what was made of it.

    Parameters
    ----------
    images_RCHW
        Row 0 sets the grey levels of a channel, from its 0.5 to its 99.5 percentile; NaN is what was hidden.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8, on white.
    """
    side = images_RCHW.shape[-1]
    step, times = max(1, -(-side // TILE_PX)), max(1, SMALL_PX // side)
    images_RCHW = images_RCHW[..., ::step, ::step].repeat(times, axis=-1).repeat(times, axis=-2)
    rows, channels, height, width = images_RCHW.shape
    crop_CHW = images_RCHW[0]
    crop_CHW = np.where(np.isnan(crop_CHW).all(axis=(1, 2), keepdims=True), 0.0, crop_CHW)  # spoilt pixels have no grey
    low_C, high_C = np.nanpercentile(crop_CHW, (0.5, 99.5), axis=(1, 2))
    span_C11 = np.maximum(high_C - low_C, 1e-6)[:, None, None]
    grey_RCHW = np.clip((images_RCHW - low_C[:, None, None]) / span_C11, 0, 1) * 255
    page = np.full((rows * (height + GAP_PX) - GAP_PX, channels * (width + GAP_PX) - GAP_PX, 3), 255, np.uint8)
    for row in range(rows):
        for channel in range(channels):
            tile_HW = grey_RCHW[row, channel]
            colour_HW3 = np.where(np.isnan(tile_HW)[..., None], HIDDEN, np.nan_to_num(tile_HW)[..., None])
            top, left = row * (height + GAP_PX), channel * (width + GAP_PX)
            page[top : top + height, left : left + width] = colour_HW3.round().astype(np.uint8)
    return page
