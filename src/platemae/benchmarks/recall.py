"""Recall of known relations: the share of known pairs that lie in the tails of all pairs of the map.

The null is every pair of the map once, known pairs included (EFAAR ``known_relationship_benchmark`` since 2024-06).
With R the share of the null <= q and L the share < q, a pair of cosine q counts if R <= lo or L >= hi.

Shapes: G genes, D dimensions, B bootstrap replicates, P known pairs, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.bootstrap import check_at_least, multinomial_weights, percentile_interval
from platemae.benchmarks.cosine import (
    FloatArray,
    IntArray,
    TailPairs,
    histogram_and_values,
    pair_totals,
    tail_pairs,
    unit_rows,
    weighted_order_statistics,
)
from platemae.benchmarks.relations import KnownPairs, check_genes, place_pairs
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "known_relations"
_SHOWN = 20
_REPLICATES = 64


@dataclass(frozen=True)
class RecallSettings:
    """Settings of :class:`KnownRelations`.

    Parameters
    ----------
    relations
        Path of a relation file, or name -> path of several.
    thresholds
        Pairs (lo, hi) of null shares.
    min_entities
        A source with fewer genes in the map gives a row without a value.
    n_bootstrap
        Resamples of the genes, for the interval.
    n_shuffles
        Permutations of the gene labels, for the measured chance.
    seed
        Of both.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("relations",)

    relations: str | Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[tuple[float, float], ...] = ((0.05, 0.95), (0.1, 0.9))
    min_entities: int = 20
    n_bootstrap: int = 1000
    n_shuffles: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        check_at_least(self.n_shuffles, 1, "n_shuffles")
        for lo, hi in self.thresholds:
            if not 0 < lo < hi < 1:
                remedy = "use pairs with 0 < lo < hi < 1, such as [0.05, 0.95]"
                raise ConfigError(f"thresholds hold ({lo}, {hi})", "benchmarks: thresholds", remedy)


class KnownRelations:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[RecallSettings]] = RecallSettings

    @staticmethod
    def score(scored: Scored, settings: RecallSettings) -> pd.DataFrame:
        """Read the sources and score the map.

        Parameters
        ----------
        scored
            Its map.
        settings
            With at least one source.

        Raises
        ------
        PlatemaeError
            As :func:`read_relations` and :func:`score_recall`.
        """
        named = settings.relations
        files = {Path(named).stem: named} if isinstance(named, str) else named
        relations = {name: read_relations(Path(path)) for name, path in files.items()}
        gene_map = scored.gene_map
        return score_recall(gene_map.X, gene_map.obs["gene"].astype(str).tolist(), relations, settings)


def score_recall(
    x_GD: npt.NDArray[Any], genes: Sequence[str], relations: Mapping[str, Relations], settings: RecallSettings
) -> pd.DataFrame:
    """Recall of each source at each threshold, with interval and measured chance.

    Parameters
    ----------
    x_GD
        (G, D) one row a gene. Rows that are zero or not finite have no cosine: they are left out and named.
    genes
        Their names.
    relations
        Source -> pairs.
    settings
        ``relations`` is not looked at.

    Returns
    -------
    For each source and threshold a row ``recall`` (value, 95 % interval from resampling genes, chance 1 - hi + lo),
    the same for each level of strength, and a row ``recall_shuffled``: mean and 95 % range of the recall with
    gene labels permuted.

    Raises
    ------
    ConfigError
        If there is no source.
    ContractError
        If a gene has two rows.
    InputError
        If a source shares no gene with the map.
    """
    if not relations:
        raise ConfigError("no relation file is named", "benchmarks: relations", "give at least one name and path")
    check_genes(genes)
    u_GD, usable_G = unit_rows(x_GD)
    kept = [gene for gene, usable in zip(genes, usable_G, strict=True) if usable]
    dropped = [gene for gene, usable in zip(genes, usable_G, strict=True) if not usable]
    known = [place_pairs(name, table, kept, genes) for name, table in relations.items()]
    facts = {"n_genes_map": len(kept), "n_dropped": len(dropped), "dropped": dropped[:_SHOWN]}
    scorable = [pairs for pairs in known if _reason(pairs, settings) is None]
    scores = _Scores.measure(u_GD[usable_G], scorable, settings) if scorable else None
    return score_table(row for pairs in known for row in _source_rows(pairs, scores, facts, settings))


def _reason(pairs: KnownPairs, settings: RecallSettings) -> str | None:
    """Tell why a source cannot be scored, if so."""
    if not len(pairs.left):
        return "no known pair has both genes in the map"
    if pairs.n_genes < settings.min_entities:
        return f"{pairs.n_genes} genes with a known pair in the map, fewer than min_entities = {settings.min_entities}"
    return None


@dataclass(frozen=True, eq=False)
class _Scores:
    """What all sources share: the tails of the null, for the genes as they are (replicate 0) and resampled.

    ``weights`` is (B, G), ``low`` and ``high`` are (T, B).
    """

    weights: IntArray
    low: FloatArray
    high: FloatArray
    tails: list[TailPairs]
    values: dict[str, FloatArray]
    shuffles: list[IntArray]

    @classmethod
    def measure(cls, u_GD: FloatArray, known: Sequence[KnownPairs], settings: RecallSettings) -> _Scores:
        left_P, right_P = (np.concatenate(side) for side in ([k.left for k in known], [k.right for k in known]))
        counts, values_P = histogram_and_values(u_GD, left_P, right_P)
        rng = np.random.default_rng(settings.seed)
        resampled_BG = multinomial_weights(len(u_GD), settings.n_bootstrap, rng)
        resampled_BG = resampled_BG[pair_totals(resampled_BG) > 0]
        weights_BG = np.vstack([np.ones_like(resampled_BG, shape=(1, len(u_GD))), resampled_BG])
        totals_B = pair_totals(weights_BG)
        lows = [_most_within(totals_B, lo) for lo, _ in settings.thresholds]
        highs = [_least_reaching(totals_B, hi) - 1 for _, hi in settings.thresholds]
        found_CB = weighted_order_statistics(u_GD, weights_BG, np.array(lows + highs), counts)
        low_TB, high_TB = np.split(found_CB, 2)
        tails = tail_pairs(u_GD, list(zip(low_TB[:, 0], high_TB[:, 0], strict=True)))
        shuffles = [rng.permutation(len(u_GD)) for _ in range(settings.n_shuffles)]
        parts = np.split(values_P, np.cumsum([len(k.left) for k in known])[:-1])
        return cls(weights_BG, low_TB, high_TB, tails, {k.name: v for k, v in zip(known, parts, strict=True)}, shuffles)

    def recall(self, pairs: KnownPairs, chosen_P: npt.NDArray[np.bool_], threshold: int) -> FloatArray:
        """Recall of chosen pairs in every replicate, the genes as they are first; NaN where no pair was drawn."""
        values_P = self.values[pairs.name][chosen_P]
        left_P, right_P = pairs.left[chosen_P], pairs.right[chosen_P]
        recall_B = np.empty(len(self.weights))
        for start in range(0, len(recall_B), _REPLICATES):
            part = slice(start, start + _REPLICATES)
            w_BG, low_B, high_B = self.weights[part], self.low[threshold, part], self.high[threshold, part]
            w_BP = w_BG[:, left_P] * w_BG[:, right_P]
            hit_BP = (values_P < low_B[:, None]) | (values_P > high_B[:, None])
            total_B = w_BP.sum(axis=1)
            recall_B[part] = np.where(total_B > 0, (w_BP * hit_BP).sum(axis=1) / np.maximum(total_B, 1), np.nan)
        return recall_B

    def shuffled(self, pairs: KnownPairs, threshold: int) -> FloatArray:
        """Recall of the source with gene labels permuted."""
        tails = self.tails[threshold]
        return np.array([tails.share(order_G[pairs.left], order_G[pairs.right]) for order_G in self.shuffles])


def _most_within(totals_B: IntArray, share: float) -> IntArray:
    """Largest count with count / total <= share, by the very division that defines it."""
    counts_B = np.floor(share * totals_B).astype(np.int64)
    counts_B += (counts_B + 1) / totals_B <= share
    return counts_B - (counts_B / totals_B > share)


def _least_reaching(totals_B: IntArray, share: float) -> IntArray:
    """Smallest count with count / total >= share, by the very division that defines it."""
    counts_B = np.ceil(share * totals_B).astype(np.int64)
    counts_B -= (counts_B - 1) / totals_B >= share
    return counts_B + (counts_B / totals_B < share)


def _source_rows(
    pairs: KnownPairs, scores: _Scores | None, facts: Mapping[str, Any], settings: RecallSettings
) -> Iterator[ScoreRow]:
    reason = _reason(pairs, settings)
    for threshold, (lo, hi) in enumerate(settings.thresholds):
        common: dict[str, Any] = {"benchmark": BENCHMARK, "threshold": lo, "chance": lo + 1 - hi}
        detail = {**facts, **pairs.notes, "lo": lo, "hi": hi}
        if scores is None or reason is not None:
            n, why = len(pairs.left), {**detail, "reason": reason}
            yield ScoreRow(source=pairs.name, metric="recall", n=n, detail=why, **common)
            continue
        for source, chosen_P in pairs.levels():
            recall_B = scores.recall(pairs, chosen_P, threshold)
            low, high = percentile_interval(recall_B[1:])
            used = {**detail, "n_bootstrap": int(np.isfinite(recall_B[1:]).sum())}
            spread: dict[str, Any] = {
                "value": float(recall_B[0]),
                "ci_low": low,
                "ci_high": high,
                "n": int(chosen_P.sum()),
            }
            yield ScoreRow(source=source, metric="recall", detail=used, **spread, **common)
        shuffled = scores.shuffled(pairs, threshold)
        low, high = percentile_interval(shuffled)
        spread = {"value": float(shuffled.mean()), "ci_low": low, "ci_high": high, "n": len(pairs.left)}
        shown = {**detail, "n_shuffles": settings.n_shuffles}
        yield ScoreRow(source=pairs.name, metric="recall_shuffled", detail=shown, **spread, **common)
