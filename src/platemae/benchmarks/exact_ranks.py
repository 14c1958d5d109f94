"""Order statistics of all cosines of a map in one pass of single precision, exact all the same.

A sample of rows tells where the wanted value about lies. One pass in float32 counts the pairs below that window and
keeps those inside. The value of a rank in float32 is within the rounding error of the one in float64, so only pairs
within twice that error of it are computed again, and these decide.

Shapes: G genes, D dimensions, C ranks, P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.cosine import GRID, FloatArray, IntArray

_ROWS, _COLUMNS = 256, 4096
_SAMPLE = 256
_PAIRS = 512
_WIDTH = 4.0
"""Half width of a window in standard errors of the share of pairs below it."""

SingleArray = npt.NDArray[np.float32]


def pair_values(u_GD: FloatArray, left_P: IntArray, right_P: IntArray) -> FloatArray:
    """Return the cosines of some pairs, in units of 1 / GRID."""
    value_P = np.empty(len(left_P))
    for start in range(0, len(left_P), _PAIRS):
        some = slice(start, start + _PAIRS)
        np.einsum("pd,pd->p", u_GD[left_P[some]], u_GD[right_P[some]], out=value_P[some])
    return np.rint(value_P * GRID)


def exact_order_statistics(u_GD: FloatArray, ranks_C: IntArray, seed: int = 0) -> FloatArray:
    """Return the values at given ranks, from 0, of all pairs i < j in ascending order.

    Parameters
    ----------
    u_GD
        Unit rows.
    ranks_C
        Below the number of pairs.
    seed
        Of the sample, on which no result depends.

    Returns
    -------
    (C,) values in units of 1 / GRID.
    """
    u32_GD, error = u_GD.astype(np.float32), (u_GD.shape[1] + 8) * 2.0**-24
    found_C, width = np.full(len(ranks_C), np.nan), _WIDTH
    while np.isnan(found_C).any():
        open_C = np.flatnonzero(np.isnan(found_C))
        windows = _windows(u32_GD, ranks_C[open_C], width, seed)
        _collect(u32_GD, windows)
        for place, window in zip(open_C, windows, strict=True):
            found_C[place] = window.decide(u_GD, int(ranks_C[place]), error)
        width *= 4
    return found_C


@dataclass
class _Window:
    """Pairs with low <= cosine <= high in float32, and the number of pairs below."""

    low: float
    high: float
    below: int = 0
    parts: list[tuple[SingleArray, npt.NDArray[np.int32], npt.NDArray[np.int32]]] = field(default_factory=list)

    def add(self, c_RM: SingleArray, row: int, column: int) -> None:
        """Take a tile in that starts at row and column; NaN is no pair."""
        under_RM = c_RM < np.float32(self.low)
        self.below += int(np.count_nonzero(under_RM))
        found = np.flatnonzero((c_RM <= np.float32(self.high)) ^ under_RM)
        if len(found):
            rows, columns = np.divmod(found, c_RM.shape[1])
            own = c_RM.ravel()[found]
            self.parts.append((own, (rows + row).astype(np.int32), (columns + column).astype(np.int32)))

    def decide(self, u_GD: FloatArray, rank: int, error: float) -> float:
        """Return the exact value at a rank; NaN where the window is too narrow to tell."""
        room = rank - self.below
        if room < 0 or room >= sum(len(part[0]) for part in self.parts):
            return np.nan
        value_P, left_P, right_P = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        middle = float(np.partition(value_P, room)[room])
        if middle - 2 * error < self.low or middle + 2 * error > self.high:
            return np.nan
        near_P = np.abs(value_P.astype(np.float64) - middle) <= 2 * error
        sure = int(np.count_nonzero(value_P.astype(np.float64) < middle - 2 * error))
        exact_P = pair_values(u_GD, left_P[near_P].astype(np.int64), right_P[near_P].astype(np.int64))
        return float(np.sort(exact_P)[room - sure])


def _windows(u32_GD: SingleArray, ranks_C: IntArray, width: float, seed: int) -> list[_Window]:
    """Open a window around each rank, as wide as the sample is unsure of it."""
    n_genes = len(u32_GD)
    if n_genes <= 2 * _SAMPLE:
        return [_Window(-np.inf, np.inf) for _ in ranks_C]
    rows = np.random.default_rng(seed).choice(n_genes, _SAMPLE, replace=False)
    c_SG = u32_GD[rows] @ u32_GD.T
    c_SG[np.arange(_SAMPLE), rows] = np.nan
    flat = np.sort(c_SG[np.isfinite(c_SG)])
    made = []
    for rank in ranks_C:
        share = (rank + 0.5) / (n_genes * (n_genes - 1) / 2)
        middle = flat[min(int(share * len(flat)), len(flat) - 1)]
        of_row_S = (c_SG < middle).sum(axis=1) / (n_genes - 1)
        half = width * max(float(of_row_S.std()) / np.sqrt(_SAMPLE), 1e-4)
        first, last = int((share - half) * len(flat)), int((share + half) * len(flat))
        low = float(flat[first]) if first > 0 else -np.inf
        made.append(_Window(low, float(flat[last]) if last < len(flat) else np.inf))
    return made


def _collect(u32_GD: SingleArray, windows: list[_Window]) -> None:
    """Show every pair i < j to the windows, in tiles that stay in the cache."""
    for row in range(0, len(u32_GD), _ROWS):
        for column in range(row, len(u32_GD), _COLUMNS):
            c_RM = u32_GD[row : row + _ROWS] @ u32_GD[column : column + _COLUMNS].T
            if column == row:
                c_RM[np.tril_indices(len(c_RM), m=c_RM.shape[1])] = np.nan
            for window in windows:
                window.add(c_RM, row, column)
