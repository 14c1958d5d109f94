"""Recall of known relations: the share of known pairs that lie in the tails of all pairs of the map.

The null is every pair of the map once, known pairs included (EFAAR ``known_relationship_benchmark`` since 2024-06).
With R the share of the null <= q and L the share < q, a pair of cosine q counts if R <= lo or L >= hi. Settings give
its other forms: the upper tail alone (L >= hi), the drawn null of the papers' period (see
`platemae.benchmarks.recall_null`), a null of genes where the map holds compounds, too, or of the genes that the source
names, and the whole curve.

Intervals resample genes: a pair of two copies of one gene is no pair, and the width is that of
`platemae.benchmarks.bootstrap.pair_interval`. On resampled plates the map is made again, and the share of the null
below a pair is read from a histogram, linearly within its bins.

Shapes: G genes, D dimensions, B bootstrap replicates, P known pairs, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.bootstrap import check_at_least, pair_interval, percentile_interval
from platemae.benchmarks.cosine import FloatArray, IntArray, unit_rows
from platemae.benchmarks.plates import map_plate_interval
from platemae.benchmarks.recall_null import CURVE, DRAWN, seed_pairs
from platemae.benchmarks.recall_scores import TailScores, null_sample, shares_below
from platemae.benchmarks.relations import KnownPairs, check_genes, choose_rows, place_pairs
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.symbols import read_aliases
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "known_relations"
_SHOWN = 20


@dataclass(frozen=True)
class RecallSettings:
    """Settings of :class:`KnownRelations`.

    Parameters
    ----------
    relations
        Path of a relation file, or name -> path of several.
    thresholds
        Pairs (lo, hi) of null shares.
    side
        ``two``: both tails count; ``upper``: only L >= hi, and the metric is called ``recall_upper``.
    null_kind
        ``all_pairs``, or ``drawn``: the mean of recall over the three drawn nulls of EFAAR's first release.
    null_rows
        ``all`` rows of the map; ``genes``: rows whose ``entity_kind`` is gene; ``source``: for each source the genes
        that have a known pair. Other rows are as if they were not in the map.
    curve
        Measure ``recall_curve``, too: at shares 0.005 to 0.5 of a tail.
    filter_consistency_p
        Leave out rows of the map whose consistency p is above this, or not known; None keeps all.
    min_entities
        A source with fewer genes in the map gives a row without a value.
    n_bootstrap
        Resamples of the genes, for the interval; 0 for none, which is many times as fast.
    n_plate_bootstrap
        Resamples of the plates, for the second interval; 0 for none.
    n_shuffles
        Permutations of the gene labels, for the measured chance; 0 for none.
    seed
        Of all three.
    aliases
        Table of outdated symbols, previous and current, to tell symbols that the map has under another name.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("relations", "aliases")

    relations: str | Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[tuple[float, float], ...] = ((0.05, 0.95), (0.1, 0.9))
    side: Literal["two", "upper"] = "two"
    null_kind: Literal["all_pairs", "drawn"] = "all_pairs"
    null_rows: Literal["all", "genes", "source"] = "all"
    curve: bool = False
    filter_consistency_p: float | None = None
    min_entities: int = 20
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    n_shuffles: int = 200
    seed: int = 0
    aliases: str | None = None

    def __post_init__(self) -> None:
        for key in ("n_bootstrap", "n_plate_bootstrap", "n_shuffles", "seed"):
            check_at_least(getattr(self, key), 0, key)
        for lo, hi in self.thresholds:
            if not 0 < lo < hi < 1:
                remedy = "use pairs with 0 < lo < hi < 1, such as [0.05, 0.95]"
                raise ConfigError(f"thresholds hold ({lo}, {hi})", "benchmarks: thresholds", remedy)

    @property
    def metric(self) -> str:
        """Name of the number: one tail and two are not compared."""
        return "recall" if self.side == "two" else "recall_upper"

    def tail(self, lo: float, hi: float) -> dict[str, float]:
        """Return the columns threshold and chance."""
        if self.side == "two":
            return {"threshold": lo, "chance": lo + 1 - hi}
        return {"threshold": round(1 - hi, 12), "chance": round(1 - hi, 12)}

    def hits(self, share_P: FloatArray, lo: float, hi: float) -> npt.NDArray[np.bool_]:
        """Tell which pairs count, from the share of the null below them."""
        return (share_P >= hi) | ((share_P <= lo) & (self.side == "two"))


class KnownRelations:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[RecallSettings]] = RecallSettings

    @staticmethod
    def score(scored: Scored, settings: RecallSettings) -> pd.DataFrame:
        """Read the sources and score the map.

        Parameters
        ----------
        scored
            Its map; its wells for the interval from plates, where there are any.
        settings
            With at least one source.

        Raises
        ------
        PlatemaeError
            As :func:`read_relations`, :func:`choose_rows` and :func:`score_recall`.
        """
        named = settings.relations
        files = {Path(named).stem: named} if isinstance(named, str) else named
        relations = {name: read_relations(Path(path)) for name, path in files.items()}
        gene_map = scored.gene_map
        kept_G, facts = choose_rows(gene_map.obs, settings.null_rows == "genes", settings.filter_consistency_p)
        genes = gene_map.obs["gene"].astype(str).to_numpy()[kept_G].tolist()
        found = _Recall.measure(np.asarray(gene_map.X)[kept_G], genes, relations, settings, facts)
        plates = map_plate_interval(
            scored, lambda x_GD: found.on_plates(x_GD[kept_G]), settings.n_plate_bootstrap, settings.seed
        )
        return score_table(plates.into(row, place) for place, row in enumerate(found.rows))


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
        ``relations``, ``filter_consistency_p``, ``n_plate_bootstrap`` and the choice of genes are not looked at: they
        need more than the rows.

    Returns
    -------
    For each source and threshold a row ``recall`` (value, 95 % interval from resampling genes, chance 1 - hi + lo),
    the same for each level of strength, and a row ``recall_shuffled``: mean and 95 % range of the recall with
    gene labels permuted; with ``curve`` rows ``recall_curve``, in whose intervals the limits of the tails are held.

    Raises
    ------
    ConfigError
        If there is no source.
    ContractError
        If a gene has two rows.
    InputError
        If a source shares no gene with the map.
    """
    return score_table(_Recall.measure(x_GD, genes, relations, settings, {}).rows)


@dataclass(frozen=True, eq=False)
class _Null:
    """Rows of the map (their positions) whose pairs are compared, and the sources placed on them."""

    rows: IntArray
    known: list[KnownPairs]


@dataclass(frozen=True, eq=False)
class _Recall:
    """Rows of the table, and what of each is measured again on resampled plates: null, source, pairs, lo, hi."""

    rows: list[ScoreRow]
    again: list[tuple[int, str, npt.NDArray[np.bool_], float, float] | None]
    nulls: list[_Null]
    settings: RecallSettings

    @classmethod
    def measure(
        cls,
        x_GD: npt.NDArray[Any],
        genes: Sequence[str],
        relations: Mapping[str, Relations],
        settings: RecallSettings,
        facts: Mapping[str, Any],
    ) -> _Recall:
        if not relations:
            raise ConfigError("no relation file is named", "benchmarks: relations", "give at least one name and path")
        check_genes(genes)
        u_GD, usable_G = unit_rows(x_GD)
        by_name_G = np.argsort(np.asarray(genes, dtype=str), kind="stable")  # draws do not depend on the order of rows
        rows_K = by_name_G[usable_G[by_name_G]].astype(np.int64)
        kept = [genes[row] for row in rows_K.tolist()]
        dropped = [gene for gene, usable in zip(genes, usable_G, strict=True) if not usable]
        aliases = read_aliases(Path(settings.aliases)) if settings.aliases else {}
        known = [place_pairs(name, table, kept, genes, aliases) for name, table in relations.items()]
        counted = {"n_genes_map": len(kept), "n_dropped": len(dropped), "dropped": dropped[:_SHOWN]}
        told = {"side": settings.side, "null_kind": settings.null_kind, "null_rows": settings.null_rows}
        nulls = list(_nulls(rows_K, known, settings))
        found = cls([], [], nulls, settings)
        scores: dict[str, tuple[int, KnownPairs, TailScores]] = {}
        for place, null in enumerate(nulls):
            named = [genes[row] for row in null.rows.tolist()]
            shared = TailScores.measure(u_GD[null.rows], named, null.known, settings)
            scores |= {pairs.name: (place, pairs, shared) for pairs in null.known}
        for pairs in known:
            detail = {**facts, **counted, **told, **pairs.notes}
            if pairs.name in scores:
                place, placed, shared = scores[pairs.name]
                found._add(place, placed, shared, detail)
            else:
                found._add_unscored(pairs, detail)
        return found

    def _add(self, place: int, pairs: KnownPairs, scores: TailScores, detail: dict[str, Any]) -> None:
        for threshold, (lo, hi) in enumerate(self.settings.thresholds):
            for row, chosen_P in _threshold_rows(
                pairs, scores, threshold, {**detail, "lo": lo, "hi": hi}, self.settings
            ):
                self.rows.append(row)
                self.again.append(None if chosen_P is None else (place, pairs.name, chosen_P, lo, hi))
        every_P = np.ones(len(pairs.left), dtype=bool)
        for q, recall_B in zip(CURVE, scores.curve_recall(pairs), strict=False):
            low, high = pair_interval(recall_B, len(pairs.left))
            shown = {"value": recall_B[0], "ci_low": low, "ci_high": high, "n": len(pairs.left)}
            shown |= {"threshold": q, "chance": q if self.settings.side == "upper" else 2 * q}
            why = {**detail, "null_kind": "all_pairs", "interval": "limits of the tails held"}
            self.rows.append(ScoreRow(BENCHMARK, pairs.name, f"{self.settings.metric}_curve", **shown, detail=why))
            self.again.append((place, pairs.name, every_P, q, 1 - q))

    def _add_unscored(self, pairs: KnownPairs, detail: dict[str, Any]) -> None:
        for lo, hi in self.settings.thresholds:
            why = {**detail, "lo": lo, "hi": hi, "reason": _reason(pairs, self.settings)}
            tail: dict[str, Any] = self.settings.tail(lo, hi)
            row = ScoreRow(BENCHMARK, pairs.name, self.settings.metric, n=len(pairs.left), detail=why, **tail)
            self.rows.append(row)
            self.again.append(None)

    def on_plates(self, x_GD: FloatArray) -> list[float]:
        """Measure every row on a map that was made again; NaN for rows that have no second interval."""
        u_GD, usable_G = unit_rows(x_GD)
        shares: dict[tuple[int, str], FloatArray] = {}
        for place, null in enumerate(self.nulls):
            sample = null_sample(len(null.rows), self.settings.seed)
            found = shares_below(u_GD[null.rows], usable_G[null.rows], null.known, sample)
            shares |= {(place, name): share_P for name, share_P in found.items()}
        values = []
        for measured in self.again:
            if measured is None:
                values.append(np.nan)
                continue
            place, name, chosen_P, lo, hi = measured
            share_P = shares[place, name][chosen_P]
            share_P = share_P[np.isfinite(share_P)]
            values.append(float(self.settings.hits(share_P, lo, hi).mean()) if len(share_P) else np.nan)
        return values


def _nulls(rows_K: IntArray, known: Sequence[KnownPairs], settings: RecallSettings) -> Iterator[_Null]:
    """Yield the nulls: one that all sources share, or one a source."""
    scorable = [pairs for pairs in known if _reason(pairs, settings) is None]
    if settings.null_rows != "source":
        yield from [_Null(rows_K, scorable)] if scorable else []
        return
    for pairs in scorable:
        own = np.union1d(pairs.left, pairs.right)
        left, right = (np.searchsorted(own, side).astype(np.int64) for side in (pairs.left, pairs.right))
        yield _Null(rows_K[own], [replace(pairs, left=left, right=right)])


def _reason(pairs: KnownPairs, settings: RecallSettings) -> str | None:
    """Tell why a source cannot be scored, if so."""
    if not len(pairs.left):
        return "no known pair has both genes in the map"
    if pairs.n_genes < settings.min_entities:
        return f"{pairs.n_genes} genes with a known pair in the map, fewer than min_entities = {settings.min_entities}"
    return None


def _threshold_rows(
    pairs: KnownPairs, scores: TailScores, threshold: int, detail: dict[str, Any], settings: RecallSettings
) -> Iterator[tuple[ScoreRow, npt.NDArray[np.bool_] | None]]:
    """Yield the rows of a source at one threshold, each with the pairs that it is measured on; None if shuffled."""
    tail: dict[str, Any] = settings.tail(detail["lo"], detail["hi"])
    for source, chosen_P in pairs.levels():
        recall_B = scores.recall(pairs, chosen_P, threshold)
        drawn_S = scores.drawn_recall(pairs, chosen_P, threshold)
        low, high = pair_interval(recall_B, int(chosen_P.sum()))
        used = {**detail, "n_bootstrap": int(np.isfinite(recall_B[1:]).sum()), **_drawn_detail(drawn_S)}
        value = float(recall_B[0] if drawn_S is None else drawn_S.mean())
        moved = value - float(recall_B[0])  # the resamples are compared with all pairs
        shown: dict[str, Any] = {"value": value, "ci_low": low + moved, "ci_high": high + moved}
        shown["n"] = int(chosen_P.sum())
        yield ScoreRow(BENCHMARK, source, settings.metric, detail=used, **shown, **tail), chosen_P
    if not settings.n_shuffles:
        return
    shuffled = scores.shuffled(pairs, threshold)
    low, high = percentile_interval(shuffled)
    shown = {"value": float(shuffled.mean()), "ci_low": low, "ci_high": high, "n": len(pairs.left)}
    told = {**detail, "null_kind": "all_pairs", "n_shuffles": settings.n_shuffles}
    yield ScoreRow(BENCHMARK, pairs.name, f"{settings.metric}_shuffled", detail=told, **shown, **tail), None


def _drawn_detail(drawn_S: FloatArray | None) -> dict[str, Any]:
    """Return what each draw gave, and their spread."""
    if drawn_S is None:
        return {}
    spread = {"recall_by_draw": drawn_S.tolist(), "sd_over_draws": float(drawn_S.std(ddof=1))}
    return {**spread, "seeds": seed_pairs(), "n_drawn": DRAWN, "interval_null": "all_pairs"}
