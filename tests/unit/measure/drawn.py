"""Drawn fields: round nuclei inside round cells, on a noisy background."""

import numpy as np
from scipy.ndimage import gaussian_filter

from platemae.measure.segmentation import SegmentationSettings

SETTINGS = SegmentationSettings(
    smooth_um=1.0, min_nucleus_um=5.0, max_nucleus_um=40.0, cell_distance_um=15.0, drop_border=True
)


def disc(shape, y, x, radius):
    """Mask of a disc."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def draw(places, radius=8, body=16, shape=(200, 240), seed=0, dim=1.0):
    """Return DNA and body channels (2, Y, X) of uint16; cells after the first half are ``dim`` times as bright."""
    rng = np.random.default_rng(seed)
    x_CYX = np.zeros((2, *shape))
    for i, (y, x) in enumerate(places):
        light = dim if i >= len(places) / 2 else 1.0
        x_CYX[0][disc(shape, y, x, radius)] = 6000 * light
        x_CYX[1][disc(shape, y, x, body)] = 3000 * light
    x_CYX = gaussian_filter(x_CYX, (0, 1, 1)) + rng.normal(500, 30, x_CYX.shape)
    return x_CYX.clip(0, 65535).astype(np.uint16)
