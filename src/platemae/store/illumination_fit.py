"""Estimate how a plate's fields are lit, from the fields themselves.

The mean of many fields of a channel shows the light, as cells lie anywhere; a median filter removes what is left of
them (Singh, Bray, Jones and Carpenter 2014, J. Microsc. 256:231, and CellProfiler's CorrectIlluminationCalculate).
Here a quadratic surface is taken off before the filter and put back after it, as filters alone flatten the corners,
where the correction matters most. As there, the function divides all of a pixel, the camera's offset included.
"""

# Shape legend: C channels, G cells of the grid along an edge of the field, Y rows, X columns of pixels

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter

from platemae.store.illumination import LOWEST, Illumination
from platemae.store.plate_reader import PlateStore

MAX_FIELDS = 256
"""Fields of a plate that are averaged: bounds the time on large screens."""

FEW_FIELDS = 32
"""Fields below which the function shows where the cells of these fields lay, too."""

CELLS = 32
"""Cells along an edge of the field."""

SMOOTHING = 0.25
"""Window of the median filter as a share of the field's edge."""


def update_illumination(
    store: PlateStore, groups: Sequence[str], path: Path, wanted: bool, threads: int
) -> tuple[str | None, list[str]]:
    """Estimate a plate's illumination and write it, or remove what there is where no correction is wanted.

    Parameters
    ----------
    store
        The plate, source pixels.
    groups
        Fields that may be used: those that passed QC.
    path
        Where the function goes.
    wanted
        Whether the plate is corrected.
    threads
        Fields read at once.

    Returns
    -------
    The digest of the function, or None without one; and warnings for the manifest.
    """
    if not wanted:
        path.unlink(missing_ok=True)
        return None, []
    light = fit_illumination(store, groups, threads)
    light.write(path)
    few = f"illumination was estimated from {light.fields} fields; below {FEW_FIELDS} it follows their cells too"
    return light.digest, [few] if light.fields < FEW_FIELDS else []


def fit_illumination(store: PlateStore, groups: Sequence[str], threads: int) -> Illumination:
    """Return the illumination of a plate, from at most ``MAX_FIELDS`` of the named fields, always the same ones.

    Without a field it is 1 everywhere.
    """
    chosen = sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())[:MAX_FIELDS]
    cells = tuple(max(2, min(CELLS, size // 4)) for size in store.shape[1:])
    total_CGG = np.zeros((store.shape[0], *cells))
    with ThreadPoolExecutor(threads) as pool:
        for mean_CGG in pool.map(lambda group: block_means(store.read_field(group), cells), chosen):
            total_CGG += mean_CGG
    grid_CGG = np.stack([smooth(total_GG) for total_GG in total_CGG])
    return Illumination(tuple(store.channel_names), grid_CGG.astype(np.float32), len(chosen))


def block_means(x_CYX: np.ndarray, cells: tuple[int, ...]) -> np.ndarray:
    """Return the mean of each cell of a grid over a field, (C, G, G) float64."""
    rows, columns = (np.linspace(0, size, n + 1).astype(int) for size, n in zip(x_CYX.shape[1:], cells, strict=True))
    sums_CGX = np.add.reduceat(x_CYX, rows[:-1], axis=1, dtype=np.float64)
    sums_CGG = np.add.reduceat(sums_CGX, columns[:-1], axis=2)
    return sums_CGG / (np.diff(rows)[:, None] * np.diff(columns))


def smooth(total_GG: np.ndarray) -> np.ndarray:
    """Return a grid without what is smaller than the window, mean 1; 1 everywhere where no light was seen."""
    window = max(3, round(SMOOTHING * max(total_GG.shape)) // 2 * 2 + 1)
    surface_GG = _quadratic(total_GG)
    rest_GG = median_filter(total_GG - surface_GG, window, mode="nearest")
    smoothed_GG = surface_GG + gaussian_filter(rest_GG, window / 2.5, mode="nearest")
    mean = smoothed_GG.mean()
    return np.maximum(smoothed_GG / mean, LOWEST) if mean > 0 else np.ones_like(smoothed_GG)


def _quadratic(total_GG: np.ndarray) -> np.ndarray:
    """Return the quadratic surface that fits a grid best in least squares."""
    y, x = (axis.ravel() for axis in np.meshgrid(*(np.linspace(-1, 1, n) for n in total_GG.shape), indexing="ij"))
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)
    return (terms @ np.linalg.lstsq(terms, total_GG.ravel(), rcond=None)[0]).reshape(total_GG.shape)
