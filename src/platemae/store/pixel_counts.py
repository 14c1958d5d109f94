"""How often each source value occurs, a channel: exact for integers, a seeded sample for floats; bounded memory."""

# Shape legend: C channels, Y rows, X columns of pixels, V source values, S sampled pixels, L grey levels

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np

FLOAT_BUDGET = 2**22
"""Pixels a channel that are kept of float images, over all fields: 16 MB."""

TOP = 255
"""Largest grey level; the levels are the map's output, rounded."""

LEAST_SHARE = 1e-5
"""Share of the pixels that a grey level holds at least to count as filled: hot pixels spread over many levels."""


class PixelCounts(Protocol):
    """Distribution of source values a channel, over the fields added to it."""

    def add(self, x_CYX: np.ndarray, name: str) -> None:
        """Add a field; ``name`` seeds the sample where one is drawn."""
        ...

    def merge(self, other: PixelCounts) -> None:
        """Add all that another one of the same kind holds."""
        ...

    def quantiles(self, q: tuple[float, float]) -> np.ndarray:
        """Return two quantiles, (C, 2) float64, by linear interpolation as numpy has them."""
        ...

    def outside(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return the share of pixels below the lower and above the upper limit, (C, 2)."""
        ...

    def filled_levels(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return how many of the levels 0..255 the pixels fill when the limits become 0 and 255, (C,)."""
        ...


def make_counts(channels: int, dtype: np.dtype, fields: int) -> PixelCounts:
    """Return empty counts for images of ``dtype``, of which there will be ``fields`` in all."""
    return (
        IntegerCounts(channels, dtype) if dtype.kind == "u" else FloatSample(channels, FLOAT_BUDGET // max(fields, 1))
    )


class IntegerCounts:
    """Exact counts of uint8 or uint16 values: (C, V) of int64, 3 MB for six channels."""

    def __init__(self, channels: int, dtype: np.dtype) -> None:
        self.counts_CV = np.zeros((channels, int(np.iinfo(dtype).max) + 1), dtype=np.int64)

    def add(self, x_CYX: np.ndarray, name: str) -> None:
        """Add a field; every pixel counts."""
        for counts_V, x_YX in zip(self.counts_CV, x_CYX, strict=True):
            counts_V += np.bincount(x_YX.ravel(), minlength=len(counts_V))

    def merge(self, other: PixelCounts) -> None:
        """Add all that ``other`` holds."""
        assert isinstance(other, IntegerCounts)
        self.counts_CV += other.counts_CV

    def quantiles(self, q: tuple[float, float]) -> np.ndarray:
        """Return exact quantiles of all pixels, (C, 2)."""
        return np.array([[_quantile(counts_V, share) for share in q] for counts_V in self.counts_CV])

    def outside(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return the share of pixels below and above the limits, (C, 2)."""
        values_V = np.arange(self.counts_CV.shape[1])
        below_C = np.array([c[values_V < low].sum() for c, (low, _) in zip(self.counts_CV, limits_C2, strict=True)])
        above_C = np.array([c[values_V > high].sum() for c, (_, high) in zip(self.counts_CV, limits_C2, strict=True)])
        return np.stack([below_C, above_C], axis=1) / self.counts_CV.sum(axis=1, keepdims=True)

    def filled_levels(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return the number of filled levels, (C,)."""
        values_V = np.arange(self.counts_CV.shape[1])
        pairs = zip(self.counts_CV, limits_C2, strict=True)
        return np.array([_filled(_levels(values_V, low_high), counts_V) for counts_V, low_high in pairs])


class FloatSample:
    """A sample of float values, (C, S).

    Each field gives the same number of pixels, fixed beforehand, or all of them where it has fewer: so the sample is
    bounded, and does not depend on the order in which threads add fields.
    """

    def __init__(self, channels: int, per_field: int) -> None:
        self.parts: list[np.ndarray] = []
        self.channels, self.per_field = channels, per_field

    def add(self, x_CYX: np.ndarray, name: str) -> None:
        """Add a field, or a sample of its pixels, the same positions in every channel."""
        flat_CS = x_CYX.reshape(self.channels, -1)
        if flat_CS.shape[1] > self.per_field:
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            flat_CS = flat_CS[:, rng.integers(0, flat_CS.shape[1], self.per_field)]
        self.parts.append(flat_CS.astype(np.float32))

    def merge(self, other: PixelCounts) -> None:
        """Add all that ``other`` holds."""
        assert isinstance(other, FloatSample)
        self.parts += other.parts

    def quantiles(self, q: tuple[float, float]) -> np.ndarray:
        """Return quantiles of the sample, (C, 2)."""
        return np.quantile(np.concatenate(self.parts, axis=1), q, axis=1).T.astype(np.float64)

    def outside(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return the share of sampled pixels below and above the limits, (C, 2)."""
        x_CS = np.concatenate(self.parts, axis=1)
        below_C = (x_CS < limits_C2[:, :1]).mean(axis=1)
        above_C = (x_CS > limits_C2[:, 1:]).mean(axis=1)
        return np.stack([below_C, above_C], axis=1)

    def filled_levels(self, limits_C2: np.ndarray) -> np.ndarray:
        """Return the number of filled levels, (C,)."""
        x_CS = np.concatenate(self.parts, axis=1)
        return np.array([_filled(_levels(x_S, pair), None) for x_S, pair in zip(x_CS, limits_C2, strict=True)])


def _levels(values: np.ndarray, low_high: np.ndarray) -> np.ndarray:
    """Return the grey level of each value."""
    low, high = low_high
    return np.rint(np.clip((values - low) * (TOP / (high - low)), 0, TOP)).astype(np.intp)


def _filled(levels: np.ndarray, counts: np.ndarray | None) -> int:
    """Return how many levels hold enough pixels; ``counts`` says how many pixels each of ``levels`` stands for."""
    pixels_L = np.bincount(levels, counts, minlength=TOP + 1)
    return int((pixels_L >= max(1, LEAST_SHARE * pixels_L.sum())).sum())


def _quantile(counts_V: np.ndarray, q: float) -> float:
    """Return the quantile of the values ``v`` that occur ``counts_V[v]`` times."""
    cumulative_V = np.cumsum(counts_V)
    rank = q * (int(cumulative_V[-1]) - 1)
    low = int(rank)
    # The value at 0-based rank r is the first whose cumulative count exceeds r.
    first, second = np.searchsorted(cumulative_V, [low, min(low + 1, int(cumulative_V[-1]) - 1)], side="right")
    return float(first + (rank - low) * (second - first))
