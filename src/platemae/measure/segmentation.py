"""Nuclei out of the DNA channel, and the cells around them; sizes in micrometres."""

# Shape legend: C channels, Y rows, X columns of pixels; N objects

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_li
from skimage.measure import label
from skimage.segmentation import expand_labels, watershed

CONTRAST = 4.0
"""Standard deviations of the background that lie between it and the nuclei at the least. The two halves into which a
threshold cuts plain noise are 2.7 apart; nuclei of real plates were at 10 and more."""

SCALE_QUANTILES = (0.05, 0.99)
"""Quantiles of a channel that become 0 and 1 before channels are summed, or a bright one would hide the rest."""

FLOOR = 0.02
"""Added to the sum, whose channels reach from 0 to 1, before its logarithm: about what noise alone reaches."""


@dataclass(frozen=True)
class SegmentationSettings:
    """How objects are found.

    Parameters
    ----------
    smooth_um
        Standard deviation of the Gaussian that both images are smoothed with.
    min_nucleus_um, max_nucleus_um
        Diameters of the circles of equal area that nuclei lie between.
    cell_distance_um
        How far a cell reaches from its nucleus.
    drop_border
        Whether cells that touch the edge of the field are left out.
    """

    smooth_um: float
    min_nucleus_um: float
    max_nucleus_um: float
    cell_distance_um: float
    drop_border: bool


@dataclass(frozen=True)
class Objects:
    """Label images (Y, X) of integers, 0 where there is none; the nucleus ``i`` lies in the cell ``i``, 1 to ``count``.

    Parameters
    ----------
    nuclei, cells
        The labels.
    count
        Number of cells.
    at_border
        How many more were left out, because they touch the edge of the field.
    """

    nuclei: np.ndarray
    cells: np.ndarray
    count: int
    at_border: int


def segment(
    dna_YX: np.ndarray, body_CYX: Sequence[np.ndarray], pixel_size_um: float, settings: SegmentationSettings
) -> Objects:
    """Return the cells of a field.

    Parameters
    ----------
    dna_YX
        The channel that nuclei are found in.
    body_CYX
        Channels whose sum shows the cells, any number; without one a cell is all that lies within
        ``cell_distance_um`` of its nucleus.
    pixel_size_um
        Edge of a pixel in micrometres.
    settings
        Sizes.
    """
    nuclei = find_nuclei(dna_YX, pixel_size_um, settings)
    cells = find_cells(nuclei, body_CYX, pixel_size_um, settings)
    border = _at_border(nuclei, cells) if settings.drop_border else np.zeros(0, dtype=int)
    kept = np.setdiff1d(np.arange(1, nuclei.max() + 1), border)
    new = np.zeros(nuclei.max() + 1, dtype=np.int32)
    new[kept] = np.arange(1, len(kept) + 1)
    return Objects(new[nuclei], new[cells], len(kept), len(border))


def find_nuclei(dna_YX: np.ndarray, pixel_size_um: float, settings: SegmentationSettings) -> np.ndarray:
    """Return the nuclei of a field as labels 1..N (Y, X): minimum cross-entropy threshold, cut where they touch.

    Touching nuclei are cut by a watershed of the distance to the background, if their centres are at least the smallest
    diameter apart. Objects outside the limits of size are left out. A field without contrast has none.
    """
    smooth = _smooth(dna_YX, pixel_size_um, settings)
    bright = _above_threshold(smooth)
    if not bright.any() or _contrast(smooth, bright) < CONTRAST:
        return np.zeros(dna_YX.shape, dtype=np.int32)
    bright = ndimage.binary_fill_holes(bright)
    radius_px = settings.min_nucleus_um / 2 / pixel_size_um
    # The distance is smoothed, or every roughness of an outline would be a nucleus of its own.
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(bright), radius_px / 2)
    apart_px = max(1, round(2 * radius_px))
    peaks = peak_local_max(distance, min_distance=apart_px, labels=label(bright), exclude_border=False)
    seeds = np.zeros(dna_YX.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return _of_size(watershed(-distance, seeds, mask=bright), pixel_size_um, settings)


def find_cells(
    nuclei: np.ndarray, body_CYX: Sequence[np.ndarray], pixel_size_um: float, settings: SegmentationSettings
) -> np.ndarray:
    """Return the cell of each nucleus (Y, X), grown from it over the bright part of the channels' sum."""
    reach_px = settings.cell_distance_um / pixel_size_um
    if not len(body_CYX) or not nuclei.any():
        return expand_labels(nuclei, reach_px)
    body = _smooth(np.sum([_scaled(x_YX) for x_YX in body_CYX], axis=0), pixel_size_um, settings)
    # Cells differ in brightness by factors; on the plain scale the threshold would lose the dim ones.
    body = np.log(body - body.min() + FLOOR)
    near = ndimage.distance_transform_edt(nuclei == 0) <= reach_px
    return watershed(-body, nuclei, mask=(_above_threshold(body) & near) | (nuclei > 0))


def _smooth(x_YX: np.ndarray, pixel_size_um: float, settings: SegmentationSettings) -> np.ndarray:
    return ndimage.gaussian_filter(x_YX.astype(np.float32), settings.smooth_um / pixel_size_um)


def _above_threshold(smooth: np.ndarray) -> np.ndarray:
    if smooth.min() == smooth.max():
        return np.zeros(smooth.shape, dtype=bool)
    return smooth > threshold_li(smooth)


def _contrast(smooth: np.ndarray, bright: np.ndarray) -> float:
    dark = smooth[~bright]
    return float((smooth[bright].mean() - dark.mean()) / max(float(dark.std()), np.finfo(np.float32).tiny))


def _scaled(x_YX: np.ndarray) -> np.ndarray:
    low, high = np.quantile(x_YX, SCALE_QUANTILES)
    return (x_YX.astype(np.float32) - low) / max(float(high - low), np.finfo(np.float32).tiny)


def _of_size(labels: np.ndarray, pixel_size_um: float, settings: SegmentationSettings) -> np.ndarray:
    diameter_um = np.sqrt(np.bincount(labels.ravel()) * 4 / np.pi) * pixel_size_um
    kept = (diameter_um >= settings.min_nucleus_um) & (diameter_um <= settings.max_nucleus_um)
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels]


def _at_border(nuclei: np.ndarray, cells: np.ndarray) -> np.ndarray:
    edges = [side for x in (nuclei, cells) for side in (x[0], x[-1], x[:, 0], x[:, -1])]
    found = np.unique(np.concatenate(edges))
    return found[found > 0]
