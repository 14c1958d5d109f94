"""The Kolmogorov-Smirnov statistic of the pairs of a gene set against the rest of the map, exact and on a grid of bins.

Shapes: G genes, D dimensions, K bins, M members, P pairs, F fine steps of the cosine, R rows of one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.cosine import GRID, FloatArray, IntArray, histogram_and_values

_BINS = 512
_ROWS = 256
_NO_PAIR = np.empty(0, dtype=np.int64)


def ks_statistic(a: FloatArray, b: FloatArray) -> float:
    """Largest distance of the distribution functions of two sorted samples; ties are exact."""
    # The distance peaks at a value of a, at it or just below it, as only b's function moves in between.
    below = np.abs(np.searchsorted(a, a, "left") / len(a) - np.searchsorted(b, a, "left") / len(b))
    at = np.abs(np.searchsorted(a, a, "right") / len(a) - np.searchsorted(b, a, "right") / len(b))
    return float(max(below.max(), at.max()))


@dataclass(frozen=True, eq=False)
class CosineGrid:
    """Bins that about equally many cosines of the map fall in, and how many of each gene's cosines do.

    ``bin_of`` is the bin of each of many equal steps from -1 to 1, ``counts`` (G, K).
    """

    u_GD: FloatArray
    bin_of: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]

    @classmethod
    def of(cls, u_GD: FloatArray) -> CosineGrid:
        """Count the cosines of each row with all others; ``u_GD`` (G, D) are unit vectors."""
        fine_F, _ = histogram_and_values(u_GD, _NO_PAIR, _NO_PAIR)
        share_F = np.cumsum(fine_F) / fine_F.sum()
        cuts = np.unique(np.searchsorted(share_F, np.arange(1, _BINS) / _BINS))
        bin_of = np.searchsorted(cuts, np.arange(len(fine_F))).astype(np.int32)
        n_bins = int(bin_of[-1]) + 1
        counts_GK = np.empty((len(u_GD), n_bins), dtype=np.int32)
        for start in range(0, len(u_GD), _ROWS):
            c_RG = u_GD[start : start + _ROWS] @ u_GD.T
            c_RG[np.arange(len(c_RG)), start + np.arange(len(c_RG))] = 1.0  # the gene itself: last bin, then off
            bins_RG = _bins(c_RG, bin_of) + np.arange(len(c_RG))[:, None] * n_bins
            flat = np.bincount(bins_RG.ravel(), minlength=len(c_RG) * n_bins)
            counts_GK[start : start + len(c_RG)] = flat.reshape(len(c_RG), -1)
        counts_GK[:, -1] -= 1
        return cls(u_GD, bin_of, counts_GK)

    def statistic(self, member_M: IntArray) -> float:
        """Return the statistic of a gene set, the (M,) positions of its rows, on the grid."""
        u_MD = self.u_GD[member_M]
        c_P = (u_MD @ u_MD.T)[np.triu_indices(len(member_M), 1)]
        within_K = np.bincount(_bins(c_P, self.bin_of), minlength=self.counts.shape[1])
        rest_K = self.counts[member_M].sum(axis=0, dtype=np.int64) - 2 * within_K
        gap_K = np.cumsum(within_K) / len(c_P) - np.cumsum(rest_K) / rest_K.sum()
        return float(np.abs(gap_K).max())


def _bins(cosine: FloatArray, bin_of: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the bin of each cosine, rounded to 1 / GRID first: equal vectors share a bin, whatever BLAS adds first."""
    step = (np.rint(cosine * GRID) + GRID) * (len(bin_of) / (2 * GRID))
    found: npt.NDArray[np.int32] = bin_of[np.clip(step, 0, len(bin_of) - 1).astype(np.int32)]
    return found
