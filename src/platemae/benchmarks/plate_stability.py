"""Leave-one-plate-out: how much of the map hangs on any single plate.

The map is made again without the wells of each plate in turn, and set against the whole one:

- ``cosine_without_plate``: cosine of a gene's vector with and without a plate, for the genes with wells on it and
  elsewhere: the mean over a gene's plates, then the median over genes, and ``cosine_without_plate_q05``, the 5 %
  quantile. Both maps share most wells, so plain noise is not at 0: it reaches the cosine of the two lots of averaging
  weights, sqrt((n - 1) / n) for n plates of one well each. That is the chance of the median (the
  quantile of noise lies below it, by how much depends on the dimensions); what lies above it is signal.
- ``pair_rank_agreement``: Spearman correlation of the cosines of all pairs (or of ``max_pairs`` drawn ones) with and
  without the plate: the mean over plates, with the worst plate named. Pairs, here and below, are of genes alone
  where the map has compounds, too.
- with ``relations``: ``recall``, ``recall_min`` and ``recall_max``, the recall of the whole map and its range over the
  left-out plates, with the plates that make it.

A correction was fitted on all plates and is not fitted again.

Shapes: D dimensions, G genes, Q plates, P pairs of genes, B resamples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.bootstrap import (
    LEAST_UNITS,
    FloatArray,
    IntArray,
    check_at_least,
    interval_facts,
    multinomial_weights,
    percentile_interval,
)
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.left_out import LeftOut
from platemae.benchmarks.plates import LEAST_PLATES
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError, InputError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "plate_stability"
METRICS = ("cosine_without_plate", "cosine_without_plate_q05", "pair_rank_agreement")
SOURCE = "plates"
_SHOWN = 20
_PAIRS = 1 << 16


@dataclass(frozen=True)
class PlateStabilitySettings:
    """Settings of :class:`PlateStability`.

    Parameters
    ----------
    relations
        Path of a relation file, or name -> path of several; none: no recall.
    threshold
        Lower share of the null of the recall; the upper is 1 minus it.
    max_pairs
        Pairs of genes whose ranks are compared; of more, so many are drawn.
    n_bootstrap, seed
        Resamples of the genes (of the plates, for ``pair_rank_agreement``), and the seed of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("relations",)

    relations: str | Mapping[str, str] = field(default_factory=dict)
    threshold: float = 0.05
    max_pairs: int = 200_000
    n_bootstrap: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        check_at_least(self.max_pairs, 10, "max_pairs")
        if not 0 < self.threshold < 0.5:
            raise ConfigError(f"threshold is {self.threshold}", "benchmarks: threshold", "use a share below 0.5")


class PlateStability:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[PlateStabilitySettings]] = PlateStabilitySettings

    @staticmethod
    def score(scored: Scored, settings: PlateStabilitySettings) -> pd.DataFrame:
        """Make the map without each plate and compare.

        Returns
        -------
        The metrics of the module; rows without a value say why, such as a screen of one plate.

        Raises
        ------
        PlatemaeError
            If the wells lack a column, or a relation file is missing, wrong, or fits no gene.
        """
        named = settings.relations
        files = {Path(named).stem: named} if isinstance(named, str) else named
        relations = {name: read_relations(Path(path)) for name, path in files.items()}
        left_out = LeftOut.of(scored)
        if left_out.reason:
            return score_table(_unmeasured(left_out, list(relations)))
        return score_table([*_cosine_rows(left_out, settings), *_recall_rows(left_out, relations, settings)])


def _cosine_rows(left_out: LeftOut, settings: PlateStabilitySettings) -> Iterator[ScoreRow]:
    whole_GD, usable_G = unit_rows(left_out.whole_GD)
    cosine_QG = np.full(left_out.on_QG.shape, np.nan)
    agreement_Q = np.full(len(left_out.plates), np.nan)
    left_P, right_P = _pairs(np.flatnonzero(left_out.paired_G), settings)
    for q, plate in enumerate(left_out.plates):
        u_GD, here_G = unit_rows(left_out.without(plate))
        both_G = usable_G & here_G
        seen_G = both_G & left_out.on_QG[q]
        cosine_QG[q, seen_G] = (whole_GD[seen_G] * u_GD[seen_G]).sum(axis=1)
        chosen_P = both_G[left_P] & both_G[right_P]
        agreement_Q[q] = _agreement(whole_GD, u_GD, left_P[chosen_P], right_P[chosen_P])
    n_Q = np.isfinite(cosine_QG).sum(axis=1)
    # A mean of nothing is NaN: a gene of one plate has no map without it.
    measured_G = np.isfinite(cosine_QG).any(axis=0)
    value_G = np.nanmean(cosine_QG[:, measured_G], axis=0)
    noise_G = np.nanmean(np.where(np.isfinite(cosine_QG), left_out.noise_QG, np.nan)[:, measured_G], axis=0)
    medians = {p: float(np.nanmedian(cosine_QG[q])) for q, p in enumerate(left_out.plates) if n_Q[q]}
    alone = [gene for gene, found in zip(left_out.genes, measured_G, strict=True) if not found]
    detail = {**left_out.detail, "n_genes_left_out": len(alone), "genes_left_out": alone[:_SHOWN]}
    detail |= {"left_out_because": "no usable well on a second plate"}
    if not len(value_G):
        why = {**detail, "reason": "no gene has wells on two plates"}
        yield from (ScoreRow(BENCHMARK, SOURCE, metric, detail=why) for metric in METRICS)
        return
    worst = min(medians, key=lambda plate: (medians[plate], plate))
    shown = {**detail, "worst_plate": worst, "worst_median": medians[worst], **interval_facts(len(value_G))}
    picks_BG = np.random.default_rng(settings.seed).integers(0, len(value_G), (settings.n_bootstrap, len(value_G)))
    for metric, share in zip(METRICS, (0.5, 0.05), strict=False):
        low, high = np.nan, np.nan
        if len(value_G) >= LEAST_UNITS:
            low, high = percentile_interval(np.quantile(value_G[picks_BG], share, axis=1))
        yield ScoreRow(
            BENCHMARK, SOURCE, metric, value=float(np.quantile(value_G, share)), ci_low=low, ci_high=high,
            n=len(value_G), chance=float(np.median(noise_G)) if share == 0.5 else np.nan, detail=shown,
        )  # fmt: skip
    yield _agreement_row(agreement_Q, left_out, len(left_P), settings)


def _agreement_row(
    agreement_Q: FloatArray, left_out: LeftOut, n_pairs: int, settings: PlateStabilitySettings
) -> ScoreRow:
    finite_Q = np.isfinite(agreement_Q)
    detail: dict[str, Any] = {**left_out.detail, "n_pairs": n_pairs}
    if not finite_Q.any():
        detail["reason"] = "fewer than three genes are left without any plate"
        return ScoreRow(BENCHMARK, SOURCE, METRICS[2], detail=detail)
    value_Q = agreement_Q[finite_Q]
    worst = int(np.nanargmin(agreement_Q))
    detail |= {"worst_plate": left_out.plates[worst], "worst_value": float(agreement_Q[worst])}
    low = high = np.nan
    if len(value_Q) >= LEAST_PLATES:
        weights_BQ = multinomial_weights(len(value_Q), settings.n_bootstrap, np.random.default_rng(settings.seed))
        low, high = percentile_interval(weights_BQ @ value_Q / len(value_Q))
    else:
        detail["interval_reason"] = f"{len(value_Q)} plates, fewer than {LEAST_PLATES}"
    return ScoreRow(
        BENCHMARK, SOURCE, METRICS[2], value=float(value_Q.mean()), plate_ci_low=low, plate_ci_high=high,
        n=len(value_Q), detail=detail,
    )  # fmt: skip


def _pairs(row_G: IntArray, settings: PlateStabilitySettings) -> tuple[IntArray, IntArray]:
    """Return all pairs of these rows, or so many drawn with replacement; left < right."""
    n_genes = len(row_G)
    if n_genes * (n_genes - 1) // 2 <= settings.max_pairs:
        left_P, right_P = np.triu_indices(n_genes, 1)
        return row_G[left_P], row_G[right_P]
    rng = np.random.default_rng(settings.seed)
    a_P = rng.integers(0, n_genes, settings.max_pairs)
    b_P = (a_P + rng.integers(1, n_genes, settings.max_pairs)) % n_genes
    return row_G[np.minimum(a_P, b_P)], row_G[np.maximum(a_P, b_P)]


def _agreement(whole_GD: FloatArray, u_GD: FloatArray, left_P: IntArray, right_P: IntArray) -> float:
    """Return Spearman's correlation of the cosines of pairs in two maps; NaN for fewer than three pairs."""
    if len(left_P) < 3:
        return float("nan")
    both = []
    for map_GD in (whole_GD, u_GD):
        parts = [
            np.einsum("pd,pd->p", map_GD[left_P[start : start + _PAIRS]], map_GD[right_P[start : start + _PAIRS]])
            for start in range(0, len(left_P), _PAIRS)
        ]
        both.append(np.round(np.concatenate(parts), 12))
    constant = any(np.ptp(values_P) == 0 for values_P in both)
    return float("nan") if constant else float(spearmanr(*both).statistic)


@dataclass(frozen=True)
class _MapRecall:
    """Recall of one map, the known pairs behind it, and why there is no value, if so."""

    value: float
    n_pairs: int
    reason: str


_NO_RECALL = _MapRecall(np.nan, 0, "no gene of the map is in the relations")


def _recall_rows(
    left_out: LeftOut, relations: Mapping[str, Relations], settings: PlateStabilitySettings
) -> Iterator[ScoreRow]:
    if not relations:
        return
    lo = settings.threshold
    how = RecallSettings(thresholds=((lo, 1 - lo),), n_bootstrap=1, n_shuffles=1, seed=settings.seed)
    kept_G = left_out.paired_G
    genes = [gene for gene, kept in zip(left_out.genes, kept_G, strict=True) if kept]
    whole = _recalls(left_out.whole_GD[kept_G], genes, relations, how)
    without = [_recalls(left_out.without(plate)[kept_G], genes, relations, how) for plate in left_out.plates]
    for name in relations:
        value_Q = np.array([found[name].value if name in found else np.nan for found in without])
        at_all = whole.get(name, _NO_RECALL)
        common: dict[str, Any] = {"threshold": lo, "n": at_all.n_pairs, "chance": 2 * lo}
        why = left_out.detail | ({"reason": at_all.reason} if at_all.reason else {})
        yield ScoreRow(BENCHMARK, name, "recall", value=at_all.value, detail=why, **common)
        if not np.isfinite(value_Q).any():
            why = {**left_out.detail, "reason": "no map without a plate has enough known pairs"}
            yield from (ScoreRow(BENCHMARK, name, f"recall_{end}", detail=why, **common) for end in ("min", "max"))
            continue
        for end, at in (("min", int(np.nanargmin(value_Q))), ("max", int(np.nanargmax(value_Q)))):
            detail = {**left_out.detail, "without_plate": left_out.plates[at]}
            detail |= {"change": float(value_Q[at] - at_all.value)}
            common["n"] = without[at][name].n_pairs
            yield ScoreRow(BENCHMARK, name, f"recall_{end}", value=float(value_Q[at]), detail=detail, **common)


def _recalls(
    map_GD: FloatArray, genes: list[str], relations: Mapping[str, Relations], how: RecallSettings
) -> dict[str, _MapRecall]:
    """Return the recall of each source; none where the map without a plate holds no gene of it."""
    found = {}
    for name, pairs in relations.items():
        try:
            table = score_recall(map_GD, genes, {name: pairs}, how)
        except InputError:
            if np.isfinite(map_GD).all():
                raise
            continue
        row = table[(table["metric"] == "recall") & (table["source"] == name)].iloc[0]
        reason = json.loads(row["detail"]).get("reason", "")
        found[name] = _MapRecall(float(row["value"]), int(row["n"]), reason)
    return found


def _unmeasured(left_out: LeftOut, sources: list[str]) -> Iterator[ScoreRow]:
    detail = {**left_out.detail, "reason": left_out.reason}
    yield from (ScoreRow(BENCHMARK, SOURCE, metric, detail=detail) for metric in METRICS)
    for name in sources:
        yield from (ScoreRow(BENCHMARK, name, f"recall{end}", detail=detail) for end in ("", "_min", "_max"))
