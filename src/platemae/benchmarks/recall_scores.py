"""Recall of known pairs in the tails of a null: genes as they are, resampled, shuffled, and of resampled plates.

Shapes: G genes, D dimensions, B bootstrap replicates (the genes as they are first), P known pairs, T thresholds,
S draws, Q points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.bootstrap import multinomial_weights
from platemae.benchmarks.cosine import (
    FloatArray,
    IntArray,
    TailPairs,
    histogram_and_values,
    interpolated_shares,
    order_statistics,
    pair_totals,
    tail_pairs,
    weighted_order_statistics,
)
from platemae.benchmarks.exact_ranks import exact_order_statistics, pair_values
from platemae.benchmarks.recall_null import CURVE, drawn_limits, in_tails, least_reaching, most_within
from platemae.benchmarks.relations import KnownPairs

if TYPE_CHECKING:
    from platemae.benchmarks.recall import RecallSettings

_REPLICATES = 64
_NULL_ROWS = 4096


@dataclass(frozen=True, eq=False)
class TailScores:
    """What the sources of one null share: its tails, for the genes as they are (replicate 0) and resampled.

    Parameters
    ----------
    weights
        (B, G) how often each gene was drawn.
    low, high
        (T, B) limits of the tails; a lower limit of minus infinity where only the upper tail counts.
    tails
        Which pairs lie in them, for each threshold.
    values
        Cosines of the known pairs by source.
    shuffles
        Permutations of the genes.
    drawn
        Limits (S, T) of drawn nulls, low and high; None where the null is all pairs.
    curve
        Limits (Q,) of the curve, low and high; None where none is asked for.
    """

    weights: IntArray
    low: FloatArray
    high: FloatArray
    tails: list[TailPairs]
    values: dict[str, FloatArray]
    shuffles: list[IntArray]
    drawn: tuple[FloatArray, FloatArray] | None
    curve: tuple[FloatArray, FloatArray] | None

    @classmethod
    def measure(
        cls, u_GD: FloatArray, genes: Sequence[str], known: Sequence[KnownPairs], settings: RecallSettings
    ) -> TailScores:
        """Measure what all sources share.

        Parameters
        ----------
        u_GD
            (G, D) unit rows.
        genes
            Their names.
        known
            Sources with at least one pair.
        settings
            Of the benchmark.
        """
        left_P, right_P = (np.concatenate(side) for side in ([k.left for k in known], [k.right for k in known]))
        rng = np.random.default_rng(settings.seed)
        if settings.n_bootstrap == 0 and not settings.curve:
            counts, values_P = np.empty(0, dtype=np.int64), pair_values(u_GD, left_P, right_P)
        else:
            counts, values_P = histogram_and_values(u_GD, left_P, right_P)
        resampled_BG = multinomial_weights(len(u_GD), settings.n_bootstrap, rng)
        resampled_BG = resampled_BG[pair_totals(resampled_BG) > 0]
        weights_BG = np.vstack([np.ones_like(resampled_BG, shape=(1, len(u_GD))), resampled_BG])
        low_TB, high_TB = _limits(u_GD, weights_BG, counts, settings)
        limits = list(zip(low_TB[:, 0], high_TB[:, 0], strict=True))
        tails = tail_pairs(u_GD, limits) if settings.n_shuffles else []
        shuffles = [rng.permutation(len(u_GD)) for _ in range(settings.n_shuffles)]
        parts = np.split(values_P, np.cumsum([len(k.left) for k in known])[:-1])
        values = {k.name: v for k, v in zip(known, parts, strict=True)}
        drawn = _drawn(u_GD, genes, settings) if settings.null_kind == "drawn" else None
        curve = _curve(u_GD, counts, settings) if settings.curve else None
        return cls(weights_BG, low_TB, high_TB, tails, values, shuffles, drawn, curve)

    def recall(self, pairs: KnownPairs, chosen_P: npt.NDArray[np.bool_], threshold: int) -> FloatArray:
        """Recall of chosen pairs in every replicate, the genes as they are first; NaN where no pair was drawn."""
        values_P = self.values[pairs.name][chosen_P]
        recall_B = np.empty(len(self.weights))
        for start in range(0, len(recall_B), _REPLICATES):
            part = slice(start, start + _REPLICATES)
            hit_BP = in_tails(values_P, self.low[threshold, part, None], self.high[threshold, part, None])
            w_BP = self.weights[part][:, pairs.left[chosen_P]] * self.weights[part][:, pairs.right[chosen_P]]
            total_B = w_BP.sum(axis=1)
            recall_B[part] = np.where(total_B > 0, (w_BP * hit_BP).sum(axis=1) / np.maximum(total_B, 1), np.nan)
        return recall_B

    def drawn_recall(self, pairs: KnownPairs, chosen_P: npt.NDArray[np.bool_], threshold: int) -> FloatArray | None:
        """Recall (S,) against each drawn null; None where the null is all pairs."""
        if self.drawn is None:
            return None
        low_S, high_S = (limits[:, threshold] for limits in self.drawn)
        return in_tails(self.values[pairs.name][chosen_P], low_S[:, None], high_S[:, None]).mean(axis=1)

    def curve_recall(self, pairs: KnownPairs) -> FloatArray:
        """Recall (Q, B) at each point of the curve, with the limits of the genes as they are in every replicate."""
        low_Q, high_Q = self.curve if self.curve is not None else (np.empty(0), np.empty(0))
        hit_PQ = in_tails(self.values[pairs.name][:, None], low_Q, high_Q).astype(np.float64)
        recall_QB = np.empty((len(low_Q), len(self.weights)))
        for start in range(0, len(self.weights), _REPLICATES):
            w_BG = self.weights[start : start + _REPLICATES]
            w_BP = (w_BG[:, pairs.left] * w_BG[:, pairs.right]).astype(np.float64)
            total_B = w_BP.sum(axis=1)
            share_BQ = (w_BP @ hit_PQ) / np.where(total_B > 0, total_B, np.nan)[:, None]
            recall_QB[:, start : start + _REPLICATES] = share_BQ.T
        return recall_QB

    def shuffled(self, pairs: KnownPairs, threshold: int) -> FloatArray:
        """Recall of the source with gene labels permuted."""
        tails = self.tails[threshold]
        return np.array([tails.share(order_G[pairs.left], order_G[pairs.right]) for order_G in self.shuffles])


def _limits(
    u_GD: FloatArray, weights_BG: IntArray, counts: IntArray, settings: RecallSettings
) -> tuple[FloatArray, FloatArray]:
    totals_B = pair_totals(weights_BG)
    highs = [least_reaching(totals_B, hi) - 1 for _, hi in settings.thresholds]
    lows = [most_within(totals_B, lo) for lo, _ in settings.thresholds if settings.side == "two"]
    targets_CB = np.array(lows + highs)
    if len(weights_BG) == 1:
        found_CB = exact_order_statistics(u_GD, targets_CB[:, 0], settings.seed)[:, None]
    else:
        found_CB = weighted_order_statistics(u_GD, weights_BG, targets_CB, counts)
    high_TB = found_CB[len(lows) :]
    return found_CB[: len(lows)] if lows else np.full_like(high_TB, -np.inf), high_TB


def _drawn(u_GD: FloatArray, genes: Sequence[str], settings: RecallSettings) -> tuple[FloatArray, FloatArray]:
    limits = list(drawn_limits(u_GD, genes, settings.thresholds))
    low_ST, high_ST = (np.array(side) for side in zip(*limits, strict=True))
    return np.full_like(low_ST, -np.inf) if settings.side == "upper" else low_ST, high_ST


def _curve(u_GD: FloatArray, counts: IntArray, settings: RecallSettings) -> tuple[FloatArray, FloatArray]:
    total = np.array([counts.sum()])
    low_Q = np.array([most_within(total, q)[0] for q in CURVE])
    high_Q = np.array([least_reaching(total, 1 - q)[0] - 1 for q in CURVE])
    low_Q, high_Q = np.split(order_statistics(u_GD, np.concatenate([low_Q, high_Q]), counts), 2)
    return np.full_like(low_Q, -np.inf) if settings.side == "upper" else low_Q, high_Q


def null_sample(n_rows: int, seed: int) -> IntArray:
    """Return the rows whose pairs stand for all pairs on resampled plates: all, or 4,096 of them."""
    if n_rows <= _NULL_ROWS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, _NULL_ROWS, replace=False)).astype(np.int64)


def shares_below(
    u_GD: FloatArray, usable_G: npt.NDArray[np.bool_], known: Sequence[KnownPairs], sample: IntArray
) -> dict[str, FloatArray]:
    """Return by source the share of the null below each known pair; NaN for a pair of a row that is not usable.

    Parameters
    ----------
    u_GD, usable_G
        (G, D) unit rows, and which of them have a direction.
    known
        Sources.
    sample
        Rows whose pairs make the null.
    """
    none = np.empty(0, dtype=np.int64)
    counts, _ = histogram_and_values(u_GD[sample[usable_G[sample]]], none, none)
    found = {}
    for pairs in known:
        value_P = np.full(len(pairs.left), np.nan)
        there = np.flatnonzero(usable_G[pairs.left] & usable_G[pairs.right])
        value_P[there] = pair_values(u_GD, pairs.left[there], pairs.right[there])
        found[pairs.name] = np.where(np.isfinite(value_P), interpolated_shares(value_P, counts), np.nan)
    return found
