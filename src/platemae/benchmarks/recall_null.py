"""What the cosine of a known pair is compared with: limits of the tails, of all pairs or of drawn ones.

A pair of cosine q lies in the lower tail if the share of the null <= q is at most lo, in the upper tail if the share
< q is at least hi. So q must be below the null's value at one rank, or above that at another: the limits.

The papers' period (EFAAR from 2023 until 2024-06-01) compared with *drawn* pairs: 5,000 genes drawn with replacement
against 5,000 others, pairs of a gene with itself dropped, three times with the seed pairs that ``random.seed(42)``
gives, and averaged. Here the genes are drawn from their names in alphabetical order, by the generator used there.

Shapes: G genes, D dimensions, T thresholds, S draws, P pairs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.cosine import GRID, FloatArray, IntArray

DRAWN = 5_000
DRAWS = 3
DRAW_SEED = 42
CURVE = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of one tail at which a curve is measured."""


def most_within(totals_B: IntArray, share: float) -> IntArray:
    """Largest count with count / total <= share, by the very division that defines it."""
    counts_B = np.floor(share * totals_B).astype(np.int64)
    counts_B += (counts_B + 1) / totals_B <= share
    return counts_B - (counts_B / totals_B > share)


def least_reaching(totals_B: IntArray, share: float) -> IntArray:
    """Smallest count with count / total >= share, by the very division that defines it."""
    counts_B = np.ceil(share * totals_B).astype(np.int64)
    counts_B -= (counts_B - 1) / totals_B >= share
    return counts_B + (counts_B / totals_B < share)


def seed_pairs() -> list[tuple[int, int]]:
    """Return the seeds of the first release, one pair a draw."""
    source = random.Random(DRAW_SEED)
    return [(source.randint(0, 2**31 - 1), source.randint(0, 2**31 - 1)) for _ in range(DRAWS)]


def drawn_limits(
    u_GD: FloatArray, genes: Sequence[str], thresholds: Sequence[tuple[float, float]], n_drawn: int = DRAWN
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield the limits of each draw.

    Parameters
    ----------
    u_GD
        Unit rows.
    genes
        Their names.
    thresholds
        (lo, hi) of each.
    n_drawn
        Genes on either side.

    Yields
    ------
    low_T, high_T
        In units of 1 / GRID. Memory is that of ``n_drawn`` squared numbers, 200 MB, whatever the size of the map.
    """
    order_G = np.argsort(np.asarray(genes, dtype=str), kind="stable")
    for left_seed, right_seed in seed_pairs():
        left, right = (order_G[np.random.RandomState(s).choice(len(u_GD), n_drawn)] for s in (left_seed, right_seed))
        c_P = (u_GD[left] @ u_GD[right].T).ravel()
        c_P *= GRID
        np.rint(c_P, out=c_P)
        c_P[(left[:, None] == right).ravel()] = np.inf  # last in order, behind every rank that is asked for
        n_null = np.array([np.isfinite(c_P).sum()])
        low_T = np.array([most_within(n_null, lo)[0] for lo, _ in thresholds])
        high_T = np.array([least_reaching(n_null, hi)[0] - 1 for _, hi in thresholds])
        c_P.partition(np.unique([low_T, high_T]))
        yield c_P[low_T], c_P[high_T]


def in_tails(values: FloatArray, low: npt.NDArray[Any], high: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which values lie below the lower or above the upper limit, arrays of any shapes that fit."""
    return np.asarray((values < low) | (values > high))
