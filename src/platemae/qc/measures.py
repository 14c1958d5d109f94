"""Measures of one channel of one field, on source pixels: focus, sharpness, saturation, background, foreground."""

# Shape legend: Y rows, X columns of pixels; F columns of the half spectrum

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from platemae.qc.sharpness import laplacian, power_slope

STRUCTURE_BAND = (0.02, 0.3)
"""Cycles a pixel of all structure that counts: below it lies uneven illumination, above it mostly noise."""

FINE_BAND = (0.1, 0.3)
"""Cycles a pixel of fine detail, structures of 3 to 10 pixels: the first to go when focus is lost."""

NOISE_BAND = (0.4, 0.71)
"""Cycles a pixel where optics pass nearly nothing: the floor of white camera noise."""

LEAST_STRUCTURE = 0.1
"""Power of structure, relative to the noise in its band, below which a field shows nothing to be sharp."""

TILE = 256
"""Edge of the tiles whose spectra are averaged, pixels."""

BACKGROUND_QUANTILE = 0.05
"""Share of a field that is taken to be free of cells."""

NOISE_FACTOR = 5.0
"""Standard deviations of the noise above background at which a pixel counts as foreground."""


@dataclass(frozen=True)
class Measures:
    """Measures of one channel of a field.

    Parameters
    ----------
    focus
        Share of the structure's spectral power that lies in fine detail, 0 to 1.
    top
        Largest value.
    top_share
        Share of pixels at the largest value.
    background
        Low quantile of the values.
    foreground
        Share of pixels clearly above background.
    mean
        Mean of all pixels.
    slope
        Power log-log slope (:func:`platemae.qc.sharpness.power_slope`).
    laplacian
        Variance of the Laplacian over that of the pixels (:func:`platemae.qc.sharpness.laplacian`).
    zeros
        Share of pixels at 0; 1 for an image that holds nothing.
    """

    focus: float
    top: float
    top_share: float
    background: float
    foreground: float
    mean: float
    slope: float
    laplacian: float
    zeros: float


def measure(x_YX: np.ndarray) -> Measures:
    """Return the measures of one channel, (Y, X) of source pixels.

    An image of one value has focus, foreground, slope and Laplacian 0.
    """
    top = x_YX.max()
    rank = int(BACKGROUND_QUANTILE * (x_YX.size - 1))
    background = float(np.partition(x_YX, rank, axis=None)[rank])
    threshold = background + NOISE_FACTOR * noise(x_YX)
    return Measures(
        focus=focus(x_YX),
        top=float(top),
        top_share=np.count_nonzero(x_YX == top) / x_YX.size,
        background=background,
        foreground=np.count_nonzero(x_YX > threshold) / x_YX.size,
        mean=float(x_YX.mean(dtype=np.float64)),
        slope=power_slope(x_YX),
        laplacian=laplacian(x_YX),
        zeros=1 - np.count_nonzero(x_YX) / x_YX.size,
    )


def focus(x_YX: np.ndarray) -> float:
    """Return the share of the structure's spectral power that lies in fine detail, the noise floor taken off.

    The power spectrum is the mean over tiles under a Hann window (Welch's method), so that neither the edges of the
    field nor uneven illumination draw detail of their own. The measure is free of units, gain and offset; it depends
    on stain and cell density, so compare it with other fields of the same channel. White noise is estimated where the
    optics pass nothing and subtracted, or noise would pass for detail.
    """
    tile = tuple(min(size, TILE) for size in x_YX.shape)
    window_YX, structure_YF, fine_YF, noise_YF = _bands(tile)
    power_YF = _power(x_YX, tile, window_YX)
    # Not np.vdot: BLAS adds in as many parts as it has threads, and a job's threads must not move its digest.
    floor = float((power_YF * noise_YF).sum()) / max(float(noise_YF.sum()), 1.0)
    bands = (fine_YF, structure_YF)
    fine, structure = (float((power_YF * band).sum()) - floor * float(band.sum()) for band in bands)
    # Where noise is all there is, what is left of either band is chance.
    if structure <= LEAST_STRUCTURE * floor * float(structure_YF.sum()):
        return 0.0
    return min(max(fine / structure, 0.0), 1.0)


def noise(x_YX: np.ndarray) -> float:
    """Return the standard deviation of white noise: from the median absolute mixed second difference.

    Cells bend the median little while they cover less than half of the field. For Gaussian noise of deviation s the
    difference has deviation 6 s (the root of 1+1+1+1+4+4+4+4+16), and a median absolute value of 0.6745 of that. Of a
    large field only some rows are used.
    """
    if min(x_YX.shape) < 3:
        return 0.0
    step = max(1, x_YX.shape[0] // TILE)
    above, here, below = (x_YX[i : x_YX.shape[0] - 2 + i : step].astype(np.float32) for i in range(3))
    rows = above - 2 * here + below
    mixed = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(mixed))) / (6 * 0.6745)


def _power(x_YX: np.ndarray, tile: tuple[int, ...], window_YX: np.ndarray) -> np.ndarray:
    """Return the mean power spectrum of the tiles that fit into the field, a row of tiles at a time."""
    counts = [size // edge for size, edge in zip(x_YX.shape, tile, strict=True)]
    top, left = ((size - n * edge) // 2 for size, n, edge in zip(x_YX.shape, counts, tile, strict=True))
    power_YF = np.zeros((tile[0], tile[1] // 2 + 1), dtype=np.float64)
    for i in range(counts[0]):
        strip = x_YX[top + i * tile[0] : top + (i + 1) * tile[0], left : left + counts[1] * tile[1]]
        tiles = strip.reshape(tile[0], counts[1], tile[1]).swapaxes(0, 1).astype(np.float32)
        tiles -= tiles.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
        spectrum = fft.rfft2(tiles * window_YX)
        power_YF += (np.square(spectrum.real) + np.square(spectrum.imag)).sum(axis=0)
    return power_YF / (counts[0] * counts[1])


@lru_cache(maxsize=4)
def _bands(tile: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the Hann window of a tile, and weights of the three bands over its half spectrum."""
    radius_YF = np.hypot(np.fft.fftfreq(tile[0])[:, None], np.fft.rfftfreq(tile[1]))
    # The half spectrum leaves out the mirror image of all columns but the first (and the last, where even).
    weight_F = np.full(radius_YF.shape[1], 2.0)
    weight_F[0] = 1.0
    if tile[1] % 2 == 0:
        weight_F[-1] = 1.0
    bands = (STRUCTURE_BAND, FINE_BAND, NOISE_BAND)
    weights = [((radius_YF >= low) & (radius_YF < high)) * weight_F for low, high in bands]
    hann_Y, hann_X = (np.hanning(size + 2)[1:-1].astype(np.float32) for size in tile)
    return hann_Y[:, None] * hann_X, *weights
