"""An estimate of how many cells a field holds: its nuclei, counted in the DNA channel."""

# Shape legend: Y rows, X columns of pixels; N nuclei

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from platemae.qc.measures import NOISE_FACTOR, noise

COARSE_PX = 6
"""A nucleus is counted on pixels binned until it is at least this wide: finer ones cost time and add no nucleus."""

BACKGROUND_DIAMETERS = 5
"""Light that varies over more diameters than this is background; a clump of cells is smaller."""

LEAST_RADIUS = 0.15
"""Largest distance to the edge, in diameters, of what is still a nucleus and not debris."""

LEAST_APART = 0.35
"""Distance of two nuclei that touch, from centre to centre in diameters, at which they are told apart."""


def find_nuclei(x_YX: np.ndarray, diameter_px: float) -> np.ndarray:
    """Return centres of nuclei in an image of them, (N, 2) row and column in pixels.

    Light above the background (a morphological opening) is cut at Otsu's threshold, but never within the noise, so
    that an empty field has no nucleus; what touches is parted at the peaks of the distance to the edge. An estimate
    for quality control: it is within about a tenth on sparse cultures, and counts a dense clump too low.

    Parameters
    ----------
    x_YX
        Source pixels of the DNA channel.
    diameter_px
        Usual diameter of a nucleus. Nuclei from about two thirds to three times as wide are counted.
    """
    step = max(1, int(diameter_px / COARSE_PX))
    if min(x_YX.shape) < 3 * step:
        return np.empty((0, 2))
    binned_YX = _binned(x_YX, step)
    diameter = diameter_px / step
    above_YX = _above_background(ndimage.gaussian_filter(binned_YX, diameter / 10), diameter)
    mask_YX = above_YX > max(threshold_otsu(above_YX), NOISE_FACTOR * noise(binned_YX))
    # A nucleus that the border cuts goes on beyond it, so the border is no edge.
    distance_YX = ndimage.distance_transform_edt(np.pad(mask_YX, 1, mode="edge"))[1:-1, 1:-1]
    return (_peaks(ndimage.gaussian_filter(distance_YX, diameter / 10), diameter) + 0.5) * step - 0.5


def _peaks(distance_YX: np.ndarray, diameter: float) -> np.ndarray:
    """Return places of the maxima that are high and far enough apart, (N, 2); a flat top is one."""
    size = 2 * max(1, round(LEAST_APART * diameter)) + 1
    tops_YX = (distance_YX == ndimage.maximum_filter(distance_YX, size)) & (distance_YX > LEAST_RADIUS * diameter)
    labels_YX, count = ndimage.label(tops_YX, structure=np.ones((3, 3)))
    return np.array(ndimage.center_of_mass(tops_YX, labels_YX, range(1, count + 1))).reshape(-1, 2)


def _binned(x_YX: np.ndarray, step: int) -> np.ndarray:
    """Return means over squares of ``step`` pixels; what is left at the end is dropped."""
    rows, columns = (size // step for size in x_YX.shape)
    squares = x_YX[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return squares.mean(axis=(1, 3), dtype=np.float32)


def _above_background(x_YX: np.ndarray, diameter: float) -> np.ndarray:
    """Return the light above a smooth background, found on every third of a diameter, at least 0."""
    step = max(1, int(diameter / 3))
    size = max(3, round(BACKGROUND_DIAMETERS * diameter / step))
    opened = ndimage.uniform_filter(ndimage.grey_opening(x_YX[::step, ::step], size=(size, size)), size)
    zoomed = np.repeat(np.repeat(opened, step, axis=0), step, axis=1)[: x_YX.shape[0], : x_YX.shape[1]]
    return np.clip(x_YX - zoomed, 0, None)
