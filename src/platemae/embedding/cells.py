"""Crops around the cells of a field, and what is another cell's in them.

Legend: C channels, H height, W width, K cells of a field, S edge of a crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

BACKGROUND = 0.05
"""Quantile of a crop's channel that neighbours are set to."""


def crop_origins(places_K2: np.ndarray, size: int) -> np.ndarray:
    """Return the top left pixel (y, x) of the crop centred at each cell, (K, 2); it may lie outside the field.

    Positions count pixels from the centre of the field's first one. Where no crop of an even size is centred there,
    the one whose centre is half a pixel below and right is taken.
    """
    return np.floor(places_K2 - (size - 1) / 2 + 0.5).astype(np.int64)


def leaves_field(origins_K2: np.ndarray, height: int, width: int, size: int) -> np.ndarray:
    """Return for each crop whether a part of it lies outside the field."""
    outside_K2 = (origins_K2 < 0) | (origins_K2 + size > (height, width))
    return np.asarray(outside_K2.any(1))


def mirrored(field_CHW: np.ndarray, origins_K2: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a field at its edges as far as crops leave it, and return it with the origins in it."""
    if not len(origins_K2):
        return field_CHW, origins_K2
    before = np.maximum(-origins_K2.min(0), 0)
    after = np.maximum((origins_K2 + size).max(0) - field_CHW.shape[-2:], 0)
    if before.any() or after.any():
        pad = [(0, 0)] * (field_CHW.ndim - 2) + [(int(b), int(a)) for b, a in zip(before, after, strict=True)]
        field_CHW = np.pad(field_CHW, pad, mode="reflect")
    return field_CHW, origins_K2 + before


@dataclass(frozen=True)
class Territories:
    """Which cell each pixel of a field is nearest to.

    Parameters
    ----------
    nearest_HW
        Number of a place.
    place_K
        Place of each cell; cells at one position share theirs.
    """

    nearest_HW: np.ndarray
    place_K: np.ndarray


def territories(places_K2: np.ndarray, height: int, width: int) -> Territories:
    """Find the nearest listed cell of every pixel; a pixel midway between two belongs to one of them."""
    places_P2, place_K = np.unique(places_K2, axis=0, return_inverse=True)
    pixels = np.indices((height, width)).reshape(2, -1).T
    nearest = cKDTree(places_P2).query(pixels)[1]
    return Territories(nearest.reshape(height, width).astype(np.int32), place_K.reshape(-1))


def hide_others(crop_CSS: np.ndarray, others_SS: np.ndarray) -> None:
    """Set the pixels of other cells to the background of the crop's own channel, in place.

    The background is a low quantile of the whole crop. Black would be darker than any background, and an outline that
    no cell has; the mean would leave a bright disc where the neighbours were.
    """
    if others_SS.any():
        values_CN = crop_CSS.reshape(len(crop_CSS), -1)
        place = int(BACKGROUND * (values_CN.shape[1] - 1))  # np.quantile with method lower, in a third of the time
        level_C = np.partition(values_CN, place, axis=1)[:, place]
        np.copyto(crop_CSS, level_C[:, None, None], where=others_SS)
