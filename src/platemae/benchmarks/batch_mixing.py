"""Batch mixing: how much nearer wells lie to wells of their own plate or batch than they should.

A correction is meant to make plates alike. Every correction is a column of the tables, ``none`` among them: that column
is "before", the others are "after". Negative controls were all treated alike, so what separates their batches is no
biology; among all wells it may be, where batches hold different perturbations. The measures are the usual ones of batch
correction (Luecken et al. 2022, scIB; Korsunsky et al. 2019 for the inverse Simpson index):

- ``same_batch_share``: share of the k nearest wells by cosine that are of the same batch; chance (N_b - 1) / (N - 1).
- ``batch_inverse_simpson``: effective number of batches among the k nearest, 1 / sum p_b^2; chance by permutation.
- ``batch_silhouette``: mean silhouette by cosine distance, batches as clusters (0 is mixed, 1 apart), and, of treated
  wells, ``label_silhouette``: perturbations as clusters (higher is better). Chance of both by permutation.
- ``batch_variance``: share of the variance of the first principal components that lies between batches (principal
  component regression); chance (batches - 1) / (N - 1).

Shapes: N wells, D dimensions, C batches, labels or components, Q plates, K neighbours, S permutations, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from platemae.benchmarks.bootstrap import (
    FloatArray,
    IntArray,
    check_at_least,
    interval_facts,
    mean_interval,
    multinomial_weights,
    percentile_interval,
    share_interval,
)
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.mixing import components, inverse_simpson, nearest, silhouette, variance_between
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.wells import EMPTY, NEGCON, TREATMENT, Wells
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "batch_mixing"
Batch = Literal["plate", "batch"]
Label = Literal["perturbation", "gene", "compound"]
LEAST_PLATES = 3
BATCH_METRICS = ("same_batch_share", "batch_inverse_simpson", "batch_silhouette", "batch_variance")
LABEL_METRIC = "label_silhouette"


@dataclass(frozen=True)
class BatchMixingSettings:
    """Settings of :class:`BatchMixing`.

    Parameters
    ----------
    batch
        What is meant to be mixed: plates, or batches.
    label
        What is meant to stay apart.
    n_neighbors
        Nearest wells that are looked at.
    n_components
        Principal components.
    max_wells
        More wells than these are drawn from at random, as all pairs are looked at.
    n_shuffles
        Permutations for the measured chance.
    n_bootstrap, n_plate_bootstrap, seed
        Resamples of the wells for the one interval and of the plates for the other, and the seed of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    batch: Batch = "plate"
    label: Label = "perturbation"
    n_neighbors: int = 15
    n_components: int = 50
    max_wells: int = 20_000
    n_shuffles: int = 20
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("n_neighbors", "n_components", "n_shuffles", "n_bootstrap"):
            check_at_least(getattr(self, key), 1, key)
        for key in ("n_plate_bootstrap", "seed"):
            check_at_least(getattr(self, key), 0, key)
        check_at_least(self.max_wells, 10, "max_wells")
        for value, allowed in ((self.batch, get_args(Batch)), (self.label, get_args(Label))):
            if value not in allowed:
                raise ConfigError(f"'{value}' is not allowed", "benchmarks: batch_mixing", f"use {', '.join(allowed)}")


class BatchMixing:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[BatchMixingSettings]] = BatchMixingSettings

    @staticmethod
    def score(scored: Scored, settings: BatchMixingSettings) -> pd.DataFrame:
        """Measure mixing on negative controls (source ``negcon``) and on all wells but empty ones (source ``wells``).

        Returns
        -------
        The metrics of the module for each source. ``ci`` resamples wells, ``plate_ci`` plates; neighbours and
        components are not made again. Both are jackknife intervals for ``batch_variance``: a resample holds fewer
        batches, and would be too low.

        Raises
        ------
        ContractError
            If a column is not there.
        """
        batch, label = f"Metadata_{settings.batch.title()}", f"Metadata_{settings.label.title()}"
        wells = Wells.of(scored.wells, [batch, label, "Metadata_Control_Type"])
        kinds_N = wells.obs["Metadata_Control_Type"].to_numpy()
        rows: list[ScoreRow] = []
        for source, kept_N in (("negcon", kinds_N == NEGCON), ("wells", kinds_N != EMPTY)):
            group = _Group.of(wells.only(kept_N), batch, settings)
            rows += _batch_rows(group, source, settings)
        treated = wells.only((kinds_N == TREATMENT) & (wells.obs[label] != "").to_numpy())
        rows.append(_label_row(treated, label, settings))
        return score_table(rows)


@dataclass(frozen=True, eq=False)
class _Group:
    """Wells to be mixed: unit vectors, vectors, codes of batch and plate, and what was left out."""

    u_ND: FloatArray
    x_ND: FloatArray
    batch_N: IntArray
    plate_N: IntArray
    detail: dict[str, Any]

    @classmethod
    def of(cls, wells: Wells, column: str, settings: BatchMixingSettings) -> _Group:
        u_ND, usable_N = unit_rows(wells.x_ND)
        named_N = (wells.obs[column] != "").to_numpy()
        kept = np.flatnonzero(usable_N & named_N)
        n_usable = len(kept)
        if n_usable > settings.max_wells:
            kept = np.sort(np.random.default_rng(settings.seed).choice(kept, settings.max_wells, replace=False))
        batch_N, batches = pd.factorize(wells.obs[column].to_numpy()[kept], sort=True)
        plate_N, plates = pd.factorize(wells.obs["Metadata_Plate"].to_numpy()[kept], sort=True)
        detail = {
            **wells.notes,
            "n_zero": int((~usable_N).sum()),
            "n_without_batch": int((usable_N & ~named_N).sum()),
            "n_not_drawn": n_usable - len(kept),
            "batch": settings.batch,
            "n_batches": len(batches),
            "n_plates": len(plates),
        }
        return cls(u_ND[kept], wells.x_ND[kept], batch_N, plate_N, detail)


def _batch_rows(group: _Group, source: str, settings: BatchMixingSettings) -> Iterator[ScoreRow]:
    n_wells, sizes_C = len(group.batch_N), np.bincount(group.batch_N)
    if len(sizes_C) < 2 or n_wells <= settings.n_neighbors:
        reason = f"{n_wells} wells of {len(sizes_C)} batches: two batches and more than n_neighbors wells are needed"
        for metric in BATCH_METRICS:
            yield ScoreRow(BENCHMARK, source, metric, n=n_wells, detail={**group.detail, "reason": reason})
        return
    near_NK = nearest(group.u_ND, settings.n_neighbors)
    rng = np.random.default_rng(settings.seed)
    shuffles_SN = [rng.permutation(group.batch_N) for _ in range(settings.n_shuffles)]

    def measured(of: Callable[[IntArray], FloatArray]) -> float:
        return float(np.mean([of(batch_N).mean() for batch_N in shuffles_SN]))

    def share(batch_N: IntArray) -> FloatArray:
        return (batch_N[near_NK] == batch_N[:, None]).mean(axis=1)

    def simpson(batch_N: IntArray) -> FloatArray:
        return inverse_simpson(batch_N[near_NK])

    def apart(batch_N: IntArray) -> FloatArray:
        return silhouette(group.u_ND, batch_N)

    expected = float(((sizes_C[group.batch_N] - 1) / (n_wells - 1)).mean())
    detail = {**group.detail, "n_neighbors": settings.n_neighbors}
    for metric, of, chance in (
        (BATCH_METRICS[0], share, expected),
        (BATCH_METRICS[1], simpson, measured(simpson)),
        (BATCH_METRICS[2], apart, measured(apart)),
    ):
        yield _mean_row(source, metric, of(group.batch_N), chance, group.plate_N, detail, settings)
    yield _variance_row(group, source, settings)


def _mean_row(
    source: str,
    metric: str,
    value_N: FloatArray,
    chance: float,
    plate_N: IntArray,
    detail: dict[str, Any],
    settings: BatchMixingSettings,
) -> ScoreRow:
    """Return a mean over wells, with its two intervals."""
    interval = share_interval if metric == BATCH_METRICS[0] else mean_interval
    low, high = interval(value_N, settings.n_bootstrap, settings.seed)
    detail = {**detail, **interval_facts(len(value_N))}
    n_Q = np.bincount(plate_N)
    plate_low = plate_high = np.nan
    if len(n_Q) >= LEAST_PLATES and settings.n_plate_bootstrap:
        weights_BQ = multinomial_weights(len(n_Q), settings.n_plate_bootstrap, np.random.default_rng(settings.seed))
        means_B = (weights_BQ @ np.bincount(plate_N, value_N)) / (weights_BQ @ n_Q)
        plate_low, plate_high = percentile_interval(means_B)
    elif settings.n_plate_bootstrap:
        detail = {**detail, "plate_reason": f"{len(n_Q)} plates, fewer than {LEAST_PLATES}"}
    return ScoreRow(
        BENCHMARK, source, metric, value=float(value_N.mean()), ci_low=low, ci_high=high, plate_ci_low=plate_low,
        plate_ci_high=plate_high, n=len(value_N), chance=chance, detail=detail,
    )  # fmt: skip


def _variance_row(group: _Group, source: str, settings: BatchMixingSettings) -> ScoreRow:
    y_NC = components(group.x_ND, settings.n_components)
    detail = {**group.detail, "n_components": y_NC.shape[1]}
    if not y_NC.shape[1]:
        detail |= {"reason": "all wells are equal"}
        return ScoreRow(BENCHMARK, source, BATCH_METRICS[3], n=len(y_NC), detail=detail)
    n_wells, n_plates = len(y_NC), int(group.plate_N.max()) + 1
    value = variance_between(y_NC, group.batch_N)
    chance = (len(np.unique(group.batch_N)) - 1) / (n_wells - 1)
    blocks_N = np.arange(n_wells) % min(n_wells, 20)  # wells left out in 20 blocks, spread over plates
    low, high = _jackknife(y_NC, group.batch_N, blocks_N, value)
    plate_low = plate_high = np.nan
    if n_plates >= LEAST_PLATES and settings.n_plate_bootstrap:
        plate_low, plate_high = _jackknife(y_NC, group.batch_N, group.plate_N, value)
    elif settings.n_plate_bootstrap:
        detail |= {"plate_reason": f"{n_plates} plates, fewer than {LEAST_PLATES}"}
    return ScoreRow(
        BENCHMARK, source, BATCH_METRICS[3], value=value, ci_low=low, ci_high=high, plate_ci_low=plate_low,
        plate_ci_high=plate_high, n=n_wells, chance=chance, detail=detail,
    )  # fmt: skip


def _label_row(wells: Wells, label: str, settings: BatchMixingSettings) -> ScoreRow:
    """Silhouette of treated wells, perturbations as clusters; perturbations of one well are left out and counted."""
    group = _Group.of(wells, label, settings)
    single_N = np.bincount(group.batch_N)[group.batch_N] == 1
    detail = {key: group.detail[key] for key in (*wells.notes, "n_zero", "n_not_drawn", "n_plates")}
    detail |= {"label": settings.label, "n_without_replicate": int(single_N.sum())}
    label_N = pd.factorize(group.batch_N[~single_N], sort=True)[0]
    detail |= {"n_labels": len(np.unique(label_N))}
    if detail["n_labels"] < 2:
        detail |= {"reason": f"{detail['n_labels']} perturbations have two wells, and two are needed"}
        return ScoreRow(BENCHMARK, "wells", LABEL_METRIC, n=len(label_N), detail=detail)
    u_ND, rng = group.u_ND[~single_N], np.random.default_rng(settings.seed)
    chances = [silhouette(u_ND, rng.permutation(label_N)).mean() for _ in range(settings.n_shuffles)]
    plate_N = pd.factorize(group.plate_N[~single_N], sort=True)[0]
    value_N = silhouette(u_ND, label_N)
    return _mean_row("wells", LABEL_METRIC, value_N, float(np.mean(chances)), plate_N, detail, settings)


def _jackknife(y_NC: FloatArray, batch_N: IntArray, block_N: IntArray, value: float) -> tuple[float, float]:
    """Interval from leaving out one block after the other: value -+ 1.96 standard errors, within 0 and 1."""
    left = [variance_between(y_NC[block_N != block], batch_N[block_N != block]) for block in np.unique(block_N)]
    left_B = np.array(left)[np.isfinite(left)]
    if len(left_B) < 2:
        return np.nan, np.nan
    error = np.sqrt((len(left_B) - 1) / len(left_B) * ((left_B - left_B.mean()) ** 2).sum())
    return float(max(value - 1.96 * error, 0.0)), float(min(value + 1.96 * error, 1.0))
