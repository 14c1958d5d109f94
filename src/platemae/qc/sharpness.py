"""Two measures of sharpness that facilities know: the power log-log slope, and the variance of the Laplacian."""

# Shape legend: Y rows, X columns of pixels; K rows, G columns of low frequencies; R rings

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

EDGE_SHARE = 8
"""Frequencies count up to this fraction of the shorter side, as CellProfiler cuts them."""

STRIP_ROWS = 64
"""Rows of which the Laplacian is taken at once: a strip stays in the processor's cache."""


def power_slope(x_YX: np.ndarray) -> float:
    """Return the slope of log power over log radius, CellProfiler's PowerLogLogSlope.

    Power is summed over rings one frequency wide, from ring 2 to an eighth of the shorter side (the mean stands
    alone in no ring), and a line is fitted by least squares. The steeper it falls, the less detail: blurred fields
    lie below their plate, fields that show nothing but noise above. CellProfiler divides by the median absolute
    deviation first, which shifts log power and leaves its slope; 0 where fewer than two rings have power.
    """
    power_R, radius_R = _ring_power(x_YX)
    seen_R = power_R > 0
    if seen_R.sum() < 2:
        return 0.0
    log_radius = np.log(radius_R[seen_R])
    centred = log_radius - log_radius.mean()
    return float(centred @ np.log(power_R[seen_R]) / (centred @ centred))


def laplacian(x_YX: np.ndarray) -> float:
    """Return the variance of the Laplacian over the variance of the pixels: free of gain and offset.

    The Laplacian is the sum of the four neighbours less four times the pixel, inside the border. White noise has 20,
    a field of smooth shapes nearly 0, an image of one value is given 0. Noise counts as detail here, so compare
    fields of one channel and exposure.
    """
    if min(x_YX.shape) < 3:
        return 0.0
    rows = x_YX.shape[0] - 2
    parts = [_second_differences(x_YX[start : start + STRIP_ROWS + 2]) for start in range(0, rows, STRIP_ROWS)]
    total, squares = np.sum(parts, axis=0) / (rows * (x_YX.shape[1] - 2))
    spread = float(x_YX.var(dtype=np.float64))
    return float(squares - total**2) / spread if spread > 0 else 0.0


def _second_differences(strip: np.ndarray) -> tuple[float, float]:
    """Return the sum of the Laplacian and of its square."""
    x = strip.astype(np.float32)
    second = x[:-2, 1:-1] + x[2:, 1:-1]
    second += x[1:-1, :-2]
    second += x[1:-1, 2:]
    second -= 4 * x[1:-1, 1:-1]
    return float(second.sum(dtype=np.float64)), float(np.square(second).sum(dtype=np.float64))


def _ring_power(x_YX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return power and number of each ring, (R,) each; none where the field is too small for a ring.

    Only the low frequencies are computed. Real pixels have equal power at opposite frequencies, so half of the
    columns hold both.
    """
    reach = _reach(x_YX.shape)
    if reach < 1:
        return np.zeros(0), np.zeros(0)
    x = x_YX.astype(np.float32)
    x -= x.mean(dtype=np.float64)
    half = fft.rfft(x, axis=1)[:, : reach + 2]
    spectrum_KG = fft.fft(half, axis=0)[np.arange(-reach - 1, reach + 2)]
    power_KG = np.square(spectrum_KG.real, dtype=np.float64) + np.square(spectrum_KG.imag, dtype=np.float64)
    here_KG, opposite_KG = _rings(reach)
    count = reach + 2
    power_R = np.bincount(here_KG.ravel(), power_KG.ravel(), minlength=count)
    power_R += np.bincount(opposite_KG.ravel(), power_KG[:, 1:].ravel(), minlength=count)
    return power_R[2:count], np.arange(2, count)


def _reach(shape: tuple[int, ...]) -> int:
    """Return the largest frequency of the outermost ring; rings are numbered from 1, so its number is one more."""
    return min(shape) // EDGE_SHARE - 2


@lru_cache(maxsize=4)
def _rings(reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ring of each low frequency, and of the opposite one for all columns but the first; 0 is no ring.

    CellProfiler mirrors the index of the spectrum, so that frequency -1 has radius 0 as the mean has: kept, for the
    same numbers.
    """
    frequency_K, frequency_G = np.arange(-reach - 1, reach + 2), np.arange(reach + 2)

    def ring(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        down, across = (np.where(f < 0, -f - 1, f) for f in (rows, columns))
        number = np.floor(np.hypot(down[:, None], across)).astype(int) + 1
        return np.where(number <= reach + 1, number, 0)

    return ring(frequency_K, frequency_G), ring(-frequency_K, -frequency_G[1:])
