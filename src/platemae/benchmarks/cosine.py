"""All-pairs cosines, in blocks, so that memory grows with the genes and not with their pairs.

Shapes: G genes, D dimensions, B bootstrap replicates, C cuts, P pairs, R rows of a block, M columns of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

GRID = 2.0**40
"""Cosines are rounded to 1 / GRID (1e-12) and kept in these units: equal vectors tie, whatever order BLAS adds in."""

_ROWS = 512
_BINS = 1 << 14


def unit_rows(x_ND: npt.NDArray[Any]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Scale rows to length 1.

    Returns
    -------
    u_ND, usable_N
        Rows that are zero or not finite have no direction: they are returned as zeros and marked False.
    """
    rows_ND = np.asarray(x_ND, dtype=np.float64)
    usable_N = np.asarray(np.isfinite(rows_ND).all(axis=1))
    rows_ND = np.where(usable_N[:, None], rows_ND, 0.0)
    # Dividing by the largest value first keeps the squares of huge and tiny rows in range.
    peak_N = np.abs(rows_ND).max(axis=1, initial=0.0)
    usable_N &= peak_N > 0
    rows_ND = rows_ND / np.where(usable_N, peak_N, 1.0)[:, None]
    norm_N = np.linalg.norm(rows_ND, axis=1)
    return rows_ND / np.where(usable_N, norm_N, 1.0)[:, None], usable_N


def cosine_blocks(u_GD: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield the strict upper triangle of all cosines, some rows at a time.

    Parameters
    ----------
    u_GD
        Unit rows.

    Yields
    ------
    start, c_RM
        Row (and column) at which the block starts; cosines of rows start.. with columns start.. in units of
        1 / GRID, with infinity on and below the diagonal.
    """
    for start in range(0, len(u_GD), _ROWS):
        c_RM = u_GD[start : start + _ROWS] @ u_GD[start:].T
        np.multiply(c_RM, GRID, out=c_RM)
        np.rint(c_RM, out=c_RM)
        rows, columns = np.tril_indices(len(c_RM))
        c_RM[rows, columns] = np.inf
        yield start, c_RM


def pair_totals(weights_BG: IntArray) -> IntArray:
    """Weight of all pairs i < j of each replicate, sum of w_i w_j."""
    return (weights_BG.sum(axis=1) ** 2 - (weights_BG**2).sum(axis=1)) // 2


def histogram_and_values(u_GD: FloatArray, left_P: IntArray, right_P: IntArray) -> tuple[IntArray, FloatArray]:
    """Count all pairs in equal bins of [-1, 1] and look up the cosines of some.

    Parameters
    ----------
    u_GD
        Unit rows.
    left_P, right_P
        Genes of each pair looked up, left < right.

    Returns
    -------
    counts (bins,), values_P in units of 1 / GRID
    """
    counts, values_P = np.zeros(_BINS, dtype=np.int64), np.empty(len(left_P))
    order_P = np.argsort(left_P, kind="stable")
    sorted_P = left_P[order_P]
    for start, c_RM in cosine_blocks(u_GD):
        own = order_P[np.searchsorted(sorted_P, start) : np.searchsorted(sorted_P, start + len(c_RM))]
        values_P[own] = c_RM[left_P[own] - start, right_P[own] - start]
        counts += np.bincount(_bins(c_RM[np.isfinite(c_RM)]), minlength=_BINS)
    return counts, values_P


def _bins(values_P: FloatArray) -> IntArray:
    """Return the bin of each cosine."""
    return np.clip(((values_P + GRID) * (_BINS / (2 * GRID))).astype(np.int64), 0, _BINS - 1)


def order_statistics(u_GD: FloatArray, ranks_C: IntArray, counts: IntArray) -> FloatArray:
    """Exact order statistics of all pairs i < j: the values at the given ranks, from 0, in ascending order.

    The histogram tells the bin of each; only the pairs of those bins are collected and sorted.

    Parameters
    ----------
    u_GD
        Unit rows.
    ranks_C
        Below the number of pairs.
    counts
        Histogram of :func:`histogram_and_values`.

    Returns
    -------
    (C,) values in units of 1 / GRID
    """
    ends = np.cumsum(counts)
    bin_C = np.searchsorted(ends, ranks_C, side="right")
    wanted = np.zeros(_BINS, dtype=bool)
    wanted[bin_C] = True
    parts = []
    for _, c_RM in cosine_blocks(u_GD):
        flat = c_RM[np.isfinite(c_RM)]
        parts.append(flat[wanted[_bins(flat)]])
    value_P = np.sort(np.concatenate(parts))
    held = np.where(wanted, counts, 0)
    before_C = (ends - counts)[bin_C]
    found_C: FloatArray = value_P[(np.cumsum(held) - held)[bin_C] + ranks_C - before_C]
    return found_C


def interpolated_shares(values_P: FloatArray, counts: IntArray) -> FloatArray:
    """Return the share of all pairs below each value, linear within the bins of the histogram (width 1.2e-4)."""
    edges = np.linspace(-GRID, GRID, _BINS + 1)
    below = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    return np.interp(values_P, edges, below)


@dataclass
class _Window:
    """Pairs with low <= cosine < high, and for every replicate (B,) the weight of the pairs below."""

    low: float
    high: float
    below: FloatArray
    parts: list[tuple[FloatArray, IntArray, IntArray]]

    def add(self, start: int, c_RM: FloatArray, w32_GB: npt.NDArray[np.float32]) -> None:
        """Take one block in. Sums of float32 products stay exact: they are whole numbers below 2^24."""
        if self.low > -np.inf:
            sums_RB = (c_RM < self.low).astype(np.float32) @ w32_GB[start:]
            rows_RB = w32_GB[start : start + len(c_RM)]
            self.below += np.einsum("rb,rb->b", sums_RB, rows_RB, dtype=np.float64)
        rows, columns = np.nonzero((c_RM >= self.low) & (c_RM < self.high))
        self.parts.append((c_RM[rows, columns], rows + start, columns + start))

    def order_statistic(self, targets_B: IntArray, weights_BG: IntArray) -> FloatArray | None:
        """Value of the first pair, in ascending order, at which the cumulative weight exceeds the target.

        None if for some replicate that pair lies outside the window.
        """
        value_P, left_P, right_P = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        order_P = np.argsort(value_P, kind="stable")
        value_P, left_P, right_P = value_P[order_P], left_P[order_P], right_P[order_P]
        room_B = targets_B - self.below.astype(np.int64)
        found_B = np.empty(len(targets_B))
        for row, (room, w_G) in enumerate(zip(room_B, weights_BG, strict=True)):
            cum_P = np.cumsum(w_G[left_P] * w_G[right_P])
            if room < 0 or not len(cum_P) or cum_P[-1] <= room:
                return None
            found_B[row] = value_P[np.searchsorted(cum_P, room, side="right")]
        return found_B


def weighted_order_statistics(
    u_GD: FloatArray, weights_BG: IntArray, targets_CB: IntArray, counts: IntArray
) -> FloatArray:
    """Exact order statistics of all pairs i < j weighted by w_i w_j, for many weightings at once.

    The order statistics of the replicates lie close together. So only the pairs in a window around them are
    sorted, and the weight below the window comes from one matrix product, sum_i w_i sum_j [c_ij < low] w_j.
    A window that proves too narrow is widened.

    Parameters
    ----------
    u_GD
        Unit rows.
    weights_BG
        Whole numbers, below 2^24 in sum.
    targets_CB
        For every cut and replicate the cumulative weight to exceed, below that replicate's total.
    counts
        Histogram of :func:`histogram_and_values`.

    Returns
    -------
    (C, B) values in units of 1 / GRID
    """
    fractions_CB = targets_CB / pair_totals(weights_BG)
    spread = 1 / np.sqrt(len(u_GD))
    found_CB = np.full(targets_CB.shape, np.nan)
    open_cuts, w32_GB = list(range(len(targets_CB))), weights_BG.T.astype(np.float32)
    while open_cuts:
        windows = [_window(fractions_CB[cut], spread, counts, len(weights_BG)) for cut in open_cuts]
        for start, c_RM in cosine_blocks(u_GD):
            for window in windows:
                window.add(start, c_RM, w32_GB)
        for cut, window in zip(list(open_cuts), windows, strict=True):
            values_B = window.order_statistic(targets_CB[cut], weights_BG)
            if values_B is not None:
                found_CB[cut] = values_B
                open_cuts.remove(cut)
        spread *= 4
    return found_CB


def _window(fractions_B: FloatArray, spread: float, counts: IntArray, n_replicates: int) -> _Window:
    """Open a window around the fractions of one cut.

    The share of pairs below a value varies over gene resamples with a standard deviation of at most
    2 sqrt(f (1 - f) / G), usually far less; ``spread`` is 1 / sqrt(G), or more when that was too narrow.
    """
    share = np.cumsum(counts) / counts.sum()
    center = float(np.median(fractions_B))
    half = spread * 2 * np.sqrt(max(center * (1 - center), 1e-4))
    first = int(np.searchsorted(share, center - half, side="left"))
    last = int(np.searchsorted(share, center + half, side="right"))
    edge = 2 * GRID / _BINS
    low = -np.inf if first == 0 else first * edge - GRID
    high = np.inf if last + 1 >= _BINS else (last + 1) * edge - GRID
    return _Window(low, high, np.zeros(n_replicates), [])


@dataclass(frozen=True, eq=False)
class TailPairs:
    """One bit a pair, left < right, set where the cosine lies in the tails; (G, G / 8), eight columns a byte."""

    bits: npt.NDArray[np.uint8]

    def share(self, left_P: IntArray, right_P: IntArray) -> float:
        """Share of the given pairs (any order of the two genes, never the same twice) in the tails."""
        low_P, high_P = np.minimum(left_P, right_P), np.maximum(left_P, right_P)
        bits_P = self.bits[low_P, high_P >> 3] >> (7 - (high_P & 7)).astype(np.uint8) & 1
        return float(bits_P.mean())


def tail_pairs(u_GD: FloatArray, limits: Sequence[tuple[float, float]]) -> list[TailPairs]:
    """Mark, for each (low, high), the pairs with cosine < low or > high (units of 1 / GRID)."""
    size = len(u_GD)
    bits = [np.zeros((size, (size + 7) // 8), dtype=np.uint8) for _ in limits]
    for start, c_RM in cosine_blocks(u_GD):
        for packed, (low, high) in zip(bits, limits, strict=True):
            tail_RG = np.zeros((len(c_RM), size), dtype=bool)
            tail_RG[:, start:] = (c_RM < low) | ((c_RM > high) & np.isfinite(c_RM))
            packed[start : start + len(c_RM)] = np.packbits(tail_RG, axis=1)
    return [TailPairs(packed) for packed in bits]
