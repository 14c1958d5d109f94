"""Leave-one-plate-out: how much of the map hangs on any single plate.

The map is made again without the wells of each plate in turn, and set against the whole one:

- ``cosine_without_plate``: cosine of a gene's vector with and without a plate, for the genes with wells on it and
  elsewhere: the mean over a gene's plates, then the median over genes, and ``cosine_without_plate_q05``, the 5 %
  quantile. Both maps share most wells, so plain noise is not at 0: it reaches the cosine of the two lots of averaging
  weights, sqrt((n - 1) / n) for n plates of one well each. That is the chance of the median (the
  quantile of noise lies below it, by how much depends on the dimensions); what lies above it is signal.
- ``pair_rank_agreement``: Spearman correlation of the cosines of all pairs (or of ``max_pairs`` drawn ones) with and
  without the plate: the mean over plates, with the worst plate named.
- with ``relations``: ``recall``, ``recall_min`` and ``recall_max``, the recall of the whole map and its range over the
  left-out plates, with the plates that make it.

A correction was fitted on all plates and is not fitted again.

Shapes: N wells, D dimensions, G genes, Q plates, K guides, R pairs of a guide and a plate, P pairs of genes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from platemae.benchmarks.aggregate import CELLS, build_gene_map
from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.bootstrap import (
    FloatArray,
    IntArray,
    check_at_least,
    multinomial_weights,
    percentile_interval,
)
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.entities import TREATMENT, name_entities
from platemae.benchmarks.plates import LEAST_PLATES, PlateSums
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.wells import text_of
from platemae.errors import ConfigError, InputError, MissingError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "plate_stability"
METRICS = ("cosine_without_plate", "cosine_without_plate_q05", "pair_rank_agreement")
SOURCE = "plates"
_SHOWN = 20
_PAIRS = 1 << 16
_CLOSE = 1e-3


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
        left_out = _LeftOut.of(scored)
        if left_out.reason:
            return score_table(_unmeasured(left_out, list(relations)))
        return score_table([*_cosine_rows(left_out, settings), *_recall_rows(left_out, relations, settings)])


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """The map, and the map without each plate, genes in the order of their names.

    Parameters
    ----------
    genes, plates
        Names.
    whole_GD
        The map.
    without
        Returns the map without a plate, NaN rows where a gene has no well elsewhere. Made when asked for: a screen of
        many plates has many such maps.
    on_QG
        Which genes have wells on which plates.
    noise_QG
        Cosine of both rows that wells of plain noise would give.
    """

    genes: list[str]
    plates: list[str]
    whole_GD: FloatArray
    without: Callable[[str], FloatArray]
    on_QG: npt.NDArray[np.bool_]
    noise_QG: FloatArray
    detail: dict[str, Any]
    reason: str = ""

    @classmethod
    def of(cls, scored: Scored) -> _LeftOut:
        wells = scored.wells
        names_G = scored.gene_map.obs["gene"].astype(str).to_numpy()
        order_G = np.argsort(names_G, kind="stable")
        entities = name_entities(wells.obs, scored.aggregate)
        obs = pd.DataFrame({"gene": entities.name.astype(str), "guide": entities.guide.astype(str)})
        obs["plate"] = text_of(wells.obs["Metadata_Plate"])
        obs["n"] = wells.obs[CELLS].to_numpy(np.float64) if CELLS in wells.obs else 1.0
        treated_N = text_of(wells.obs["Metadata_Control_Type"]) == TREATMENT
        finite_N = np.isfinite(np.asarray(wells.X)).all(axis=1)
        used = obs[treated_N & finite_N & np.isin(obs["gene"], names_G)]
        plates = sorted(used["plate"].unique())
        whole_GD = np.asarray(scored.gene_map.X, dtype=np.float64)[order_G]
        genes, detail = names_G[order_G].tolist(), {"n_plates": len(plates), "aggregate": scored.aggregate.method}
        nothing = np.zeros((0, len(genes)))
        why = f"there are treated wells on {len(plates)} plate alone, and two are needed" if len(plates) < 2 else ""
        try:
            made = _maps_without(scored, obs["plate"].to_numpy())
        except MissingError as error:
            why = why or error.what
        if why:
            return cls(genes, plates, whole_GD, lambda _: whole_GD, nothing > 0, nothing, detail, why)
        on_QG, noise_QG = _noise(used, genes, plates)
        return cls(genes, plates, whole_GD, lambda plate: made(plate)[order_G], on_QG, noise_QG, detail)


def _maps_without(scored: Scored, plate_N: npt.NDArray[Any]) -> Callable[[str], FloatArray]:
    """Return what makes the map without a plate, from sums where it is a mean, else from the wells.

    Raises
    ------
    MissingError
        When the map is not made of these wells.
    """
    try:
        sums = PlateSums.of(scored)
    except MissingError:
        return _from_wells(scored, plate_N)
    return lambda plate: sums.map_of((plate_N != plate).astype(np.int64))


def _from_wells(scored: Scored, plate_N: npt.NDArray[Any]) -> Callable[[str], FloatArray]:
    """Return what builds the map of some wells again: medians, a consensus, maps changed after aggregation."""
    genes, x_ND = scored.gene_map.obs["gene"].astype(str).tolist(), np.asarray(scored.wells.X)
    how = replace(scored.aggregate, n_null=1, filter_consistency_p=None)

    def without(plate: str | None) -> FloatArray:
        kept_N = plate_N != plate
        made = build_gene_map(x_ND[kept_N], scored.wells.obs[kept_N], how)
        frame = pd.DataFrame(np.asarray(made.X, dtype=np.float64), index=made.obs["gene"].astype(str))
        rows: FloatArray = frame.reindex(genes).to_numpy()
        return rows

    map_GD, whole_GD = np.asarray(scored.gene_map.X, dtype=np.float64), without(None)
    near = _CLOSE * np.abs(map_GD).max(initial=0)
    if whole_GD.shape != map_GD.shape or not np.allclose(whole_GD, map_GD, _CLOSE, near, equal_nan=True):
        raise MissingError("the map was not made of these wells in the way that the configuration says")
    return without


def _noise(used: pd.DataFrame, genes: list[str], plates: list[str]) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Return which genes are on which plates, and the cosine that noise alone gives with and without each plate.

    A gene's vector is sum_i a_i x_i over its wells; with independent noise of one size, the cosine of two such sums is
    that of their weights. With all plates, a well of a guide with n wells, one of K guides, weighs 1 / (K n).
    """
    counts = used.groupby(["gene", "guide", "plate"])["n"].sum().reset_index()
    gene_R = pd.Index(genes).get_indexer(pd.Index(counts["gene"])).astype(np.int64)
    guide_R = counts.groupby(["gene", "guide"], sort=False).ngroup().to_numpy().astype(np.int64)
    n_R, plate_R = counts["n"].to_numpy(), counts["plate"].to_numpy()
    whole_R = _weights(n_R, guide_R, gene_R)
    on_QG, noise_QG = np.zeros((len(plates), len(genes)), dtype=bool), np.full((len(plates), len(genes)), np.nan)
    for q, plate in enumerate(plates):
        there_R = plate_R == plate
        on_QG[q, gene_R[there_R]] = True
        kept_R = np.where(there_R, 0.0, n_R)
        part_R = _weights(kept_R, guide_R, gene_R)
        both, a, b = (
            np.bincount(gene_R, n_R * value_R, minlength=len(genes))
            for value_R in (whole_R * part_R, whole_R**2, part_R**2)
        )
        np.divide(both, np.sqrt(a * b), out=noise_QG[q], where=(a * b) > 0)
    return on_QG, noise_QG


def _weights(n_R: FloatArray, guide_R: IntArray, gene_R: IntArray) -> FloatArray:
    """Return the weight of one well (or cell) of each pair of a guide and a plate in its gene's vector."""
    total_K = np.bincount(guide_R, n_R)
    gene_K = np.zeros(len(total_K), dtype=np.int64)
    gene_K[guide_R] = gene_R
    guides_G = np.bincount(gene_K, total_K > 0)
    share_K = 1 / np.maximum(guides_G[gene_K], 1) / np.where(total_K > 0, total_K, 1)
    return np.where(n_R > 0, share_K[guide_R], 0.0)


def _cosine_rows(left_out: _LeftOut, settings: PlateStabilitySettings) -> Iterator[ScoreRow]:
    whole_GD, usable_G = unit_rows(left_out.whole_GD)
    cosine_QG = np.full(left_out.on_QG.shape, np.nan)
    agreement_Q = np.full(len(left_out.plates), np.nan)
    left_P, right_P = _pairs(len(whole_GD), settings)
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
    shown = {**detail, "worst_plate": worst, "worst_median": medians[worst]}
    picks_BG = np.random.default_rng(settings.seed).integers(0, len(value_G), (settings.n_bootstrap, len(value_G)))
    for metric, share in zip(METRICS, (0.5, 0.05), strict=False):
        low, high = percentile_interval(np.quantile(value_G[picks_BG], share, axis=1))
        yield ScoreRow(
            BENCHMARK, SOURCE, metric, value=float(np.quantile(value_G, share)), ci_low=low, ci_high=high,
            n=len(value_G), chance=float(np.median(noise_G)) if share == 0.5 else np.nan, detail=shown,
        )  # fmt: skip
    yield _agreement_row(agreement_Q, left_out, len(left_P), settings)


def _agreement_row(
    agreement_Q: FloatArray, left_out: _LeftOut, n_pairs: int, settings: PlateStabilitySettings
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


def _pairs(n_genes: int, settings: PlateStabilitySettings) -> tuple[IntArray, IntArray]:
    """Return all pairs of genes, or so many drawn with replacement; left < right."""
    if n_genes * (n_genes - 1) // 2 <= settings.max_pairs:
        left_P, right_P = np.triu_indices(n_genes, 1)
        return left_P, right_P
    rng = np.random.default_rng(settings.seed)
    a_P = rng.integers(0, n_genes, settings.max_pairs)
    b_P = (a_P + rng.integers(1, n_genes, settings.max_pairs)) % n_genes
    return np.minimum(a_P, b_P), np.maximum(a_P, b_P)


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


def _recall_rows(
    left_out: _LeftOut, relations: Mapping[str, Relations], settings: PlateStabilitySettings
) -> Iterator[ScoreRow]:
    if not relations:
        return
    lo = settings.threshold
    how = RecallSettings(thresholds=((lo, 1 - lo),), n_bootstrap=1, n_shuffles=1, seed=settings.seed)
    whole = _recalls(left_out.whole_GD, left_out.genes, relations, how)
    without = [_recalls(left_out.without(plate), left_out.genes, relations, how) for plate in left_out.plates]
    for name in relations:
        value_Q = np.array([found.get(name, np.nan) for found in without])
        common: dict[str, Any] = {"threshold": lo, "n": len(value_Q), "chance": 2 * lo}
        yield ScoreRow(BENCHMARK, name, "recall", value=whole.get(name, np.nan), detail=left_out.detail, **common)
        if not np.isfinite(value_Q).any():
            why = {**left_out.detail, "reason": "no map without a plate has enough known pairs"}
            yield from (ScoreRow(BENCHMARK, name, f"recall_{end}", detail=why, **common) for end in ("min", "max"))
            continue
        for end, at in (("min", int(np.nanargmin(value_Q))), ("max", int(np.nanargmax(value_Q)))):
            detail = {**left_out.detail, "without_plate": left_out.plates[at]}
            detail |= {"change": float(value_Q[at] - whole.get(name, np.nan))}
            yield ScoreRow(BENCHMARK, name, f"recall_{end}", value=float(value_Q[at]), detail=detail, **common)


def _recalls(
    map_GD: FloatArray, genes: list[str], relations: Mapping[str, Relations], how: RecallSettings
) -> dict[str, float]:
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
        found[name] = float(row["value"])
    return found


def _unmeasured(left_out: _LeftOut, sources: list[str]) -> Iterator[ScoreRow]:
    detail = {**left_out.detail, "reason": left_out.reason}
    yield from (ScoreRow(BENCHMARK, SOURCE, metric, detail=detail) for metric in METRICS)
    for name in sources:
        yield from (ScoreRow(BENCHMARK, name, f"recall{end}", detail=detail) for end in ("", "_min", "_max"))
