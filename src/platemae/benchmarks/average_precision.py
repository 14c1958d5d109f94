"""Average precision of every profile: how early its positives come among all profiles that it is compared with.

For a query with M positives among L candidates, AP is the mean over its positives of (positives at least as similar) /
(candidates at least as similar), by cosine: scikit-learn's ``average_precision_score``, and that of copairs where no
two candidates tie. Ties count against the query, so profiles that are all alike reach M / L and no more; copairs leaves
them in the order of its list, positives first.

Cosines are made a block of queries at a time and rounded to 1e-12, so that neither the order of rows nor the block can
change a rank. Memory grows with the profiles, not with their pairs.

Shapes: N profiles, D dimensions, R queries of a block, M candidate columns of a block, P positive pairs of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.cosine import GRID

BoolArray = npt.NDArray[np.bool_]

_CELLS = 1 << 22
_ROWS = 512
_STRIDE = 2.0**43  # further apart than any two rounded cosines; 512 rows of it stay exact in float64


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which two profiles form a pair: equal in every column of ``same``, different in every column of ``differ``.

    Parameters
    ----------
    same, differ
        Columns of (N,) codes, whole numbers.
    candidate
        (N,) profiles that a query may be paired with; None for all.
    """

    same: Sequence[IntArray] = ()
    differ: Sequence[IntArray] = ()
    candidate: BoolArray | None = None

    def joined(self, n_profiles: int) -> IntArray:
        """Return one code (N,) that is equal where all columns of ``same`` are."""
        return reduce(_join, self.same, np.zeros(n_profiles, dtype=np.int64))

    def among(self, candidate_N: BoolArray) -> Pairs:
        """Return the same pairs among fewer candidates."""
        kept_N = candidate_N if self.candidate is None else self.candidate & candidate_N
        return replace(self, candidate=kept_N)

    def mask(self, joined_N: IntArray, rows_R: IntArray, columns_M: IntArray) -> BoolArray:
        """Return (R, M) which columns pair with which rows."""
        mask_RM: BoolArray = joined_N[rows_R][:, None] == joined_N[columns_M]
        for code_N in self.differ:
            mask_RM &= code_N[rows_R][:, None] != code_N[columns_M]
        if self.candidate is not None:
            mask_RM &= self.candidate[columns_M]
        return mask_RM


class Precision(NamedTuple):
    """Average precision of the queries.

    Parameters
    ----------
    value
        (N,) NaN where a profile is no query, or has no positive or no negative.
    n_positive, n_total
        (N,) positives, and positives and negatives together; zero for a profile that is no query.
    """

    value: FloatArray
    n_positive: IntArray
    n_total: IntArray


def average_precision(
    u_ND: FloatArray, positive: Pairs, negative: Pairs, query_N: BoolArray | None = None
) -> Precision:
    """Average precision of every query.

    Parameters
    ----------
    u_ND
        Unit rows (`platemae.benchmarks.cosine.unit_rows`).
    positive, negative
        What makes a pair of either kind; no profile is its own pair. A pair that is both counts twice, as in copairs.
    query_N
        Profiles that are asked for; None for all.
    """
    size = len(u_ND)
    value_N, positive_N, total_N = np.full(size, np.nan), np.zeros(size, np.int64), np.zeros(size, np.int64)
    same_positive_N, same_negative_N = positive.joined(size), negative.joined(size)
    queries = np.arange(size) if query_N is None else np.flatnonzero(query_N)
    for rows_R, columns_M in _blocks(queries, same_positive_N, same_negative_N):
        c_RM = u_ND[rows_R] @ u_ND[columns_M].T
        np.multiply(c_RM, GRID, out=c_RM)
        np.rint(c_RM, out=c_RM)
        other_RM = rows_R[:, None] != columns_M
        positive_RM = positive.mask(same_positive_N, rows_R, columns_M) & other_RM
        negative_RM = negative.mask(same_negative_N, rows_R, columns_M) & other_RM
        value_N[rows_R], positive_N[rows_R], negative_R = _block_precision(c_RM, positive_RM, negative_RM)
        total_N[rows_R] = positive_N[rows_R] + negative_R
    return Precision(value_N, positive_N, total_N)


def _join(a_N: IntArray, b_N: IntArray) -> IntArray:
    """Return one code of two columns, numbered from zero."""
    return pd.factorize(a_N * (int(b_N.max(initial=0)) + 1) + b_N)[0].astype(np.int64)


def _blocks(queries: IntArray, positive_N: IntArray, negative_N: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield rows and the columns that can pair with any of them.

    Queries that share the code of their negatives, such as a plate, come together: then only their plate and the
    replicates elsewhere are multiplied.
    """
    order = queries[np.argsort(negative_N[queries], kind="stable")]
    starts = np.flatnonzero(np.diff(negative_N[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        of_group_N = negative_N == negative_N[group[0]] if len(group) else np.zeros(0, dtype=bool)
        rows = max(16, min(_ROWS, _CELLS // max(1, int(of_group_N.sum()))))
        for start in range(0, len(group), rows):
            rows_R = group[start : start + rows]
            wanted = np.zeros(int(positive_N.max()) + 1, dtype=bool)
            wanted[positive_N[rows_R]] = True
            yield rows_R, np.flatnonzero(of_group_N | wanted[positive_N])


def _block_precision(
    c_RM: FloatArray, positive_RM: BoolArray, negative_RM: BoolArray
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return AP, positives and negatives of each row; ``c_RM`` is overwritten.

    All values are sorted at once, rows kept apart by a stride, and each positive is looked up among both kinds.
    """
    n_rows = len(c_RM)
    n_positive_R, n_negative_R = positive_RM.sum(axis=1), negative_RM.sum(axis=1)
    row_P, column_P = np.nonzero(positive_RM)
    # Ascending keys: most similar first within a row.
    positive_P = np.sort(row_P * _STRIDE - c_RM[row_P, column_P])
    np.negative(c_RM, out=c_RM)
    c_RM[~negative_RM] = np.inf
    c_RM.sort(axis=1)
    c_RM += np.arange(n_rows)[:, None] * _STRIDE
    negative_Q = c_RM[np.isfinite(c_RM)]
    first_positive_R = np.cumsum(n_positive_R) - n_positive_R
    first_negative_R = np.cumsum(n_negative_R) - n_negative_R
    above_P = np.searchsorted(positive_P, positive_P, side="right") - first_positive_R[row_P]
    worse_P = np.searchsorted(negative_Q, positive_P, side="right") - first_negative_R[row_P]
    sums_R = np.bincount(row_P, above_P / (above_P + worse_P), minlength=n_rows)
    usable_R = (n_positive_R > 0) & (n_negative_R > 0)
    value_R = np.where(usable_R, sums_R / np.maximum(n_positive_R, 1), np.nan)
    return value_R, n_positive_R, n_negative_R
