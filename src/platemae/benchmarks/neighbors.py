"""Nearest neighbours: the share of profiles whose most similar allowed profile has the same label.

A neighbour may not share any name in ``not_same`` with the query: not the compound ("not same compound", NSC; Ljosa et
al. 2013, J Biomol Screen 18:1321), not the batch too (NSCB; Ando et al. 2017, bioRxiv 161422), or not the plate.
Similarity is cosine, rounded to 1e-12. Of neighbours that tie, the share with the label counts.

Chance of a row is the share of its allowed profiles that have its label. Rows without any such profile cannot be right:
they are no queries, and are counted. The interval resamples labels, with all their perturbations and wells; the plate
interval draws plates, and neighbours are sought among the plates drawn.

Shapes: N profiles, D dimensions, Q parts (plates), R rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, IntArray, check_at_least, percentile_interval
from platemae.benchmarks.cluster_bootstrap import cluster_interval
from platemae.benchmarks.cosine import GRID, unit_rows
from platemae.benchmarks.plates import PlateInterval, map_plate_interval, plate_interval
from platemae.benchmarks.profiles import Profiles, Rows, select_profiles
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "nearest_neighbor"
_CELLS = 1 << 22


@dataclass(frozen=True)
class NeighborSettings:
    """Settings of :class:`NearestNeighbor`.

    Parameters
    ----------
    rows
        ``wells``, or the ``perturbations`` of the map.
    match
        Name that a right neighbour shares: a column such as ``compound``, or ``label``.
    not_same
        Names that a neighbour must not share.
    labels
        File of labels (`platemae.benchmarks.labels`), or None.
    n_bootstrap, n_plate_bootstrap
        Resamples of the labels and of the plates, for the intervals.
    n_shuffles
        Permutations of the labels, for the measured chance.
    seed
        Of all three.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    rows: Rows = "perturbations"
    match: str = "label"
    not_same: tuple[str, ...] = ()
    labels: str | None = None
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    n_shuffles: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in {"n_bootstrap": 1, "n_shuffles": 1, "n_plate_bootstrap": 0, "seed": 0}.items():
            check_at_least(getattr(self, key), least, key)
        if self.rows not in get_args(Rows):
            raise ConfigError(f"rows is '{self.rows}'", "benchmarks: rows", "use wells or perturbations")
        if self.match in self.not_same:
            remedy = "name other columns in not_same"
            raise ConfigError(f"a neighbour cannot share '{self.match}' and not share it", "benchmarks", remedy)


class NearestNeighbor:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[NeighborSettings]] = NeighborSettings

    @staticmethod
    def score(scored: Scored, settings: NeighborSettings) -> pd.DataFrame:
        """Score the wells, or the map.

        Returns
        -------
        A row ``accuracy`` and a row ``accuracy_shuffled``: mean and 95 % range with labels permuted among profiles.

        Raises
        ------
        PlatemaeError
            As :func:`platemae.benchmarks.profiles.select_profiles`.
        """
        needed = [settings.match, "plate"] if settings.rows == "wells" else [settings.match]
        profiles = select_profiles(scored, settings.rows, needed, settings.not_same, settings.labels)
        match_N, *differ = profiles.codes([settings.match, *settings.not_same])
        part_N = profiles.codes(["plate"])[0] if settings.rows == "wells" else np.zeros(len(profiles), dtype=np.int64)
        found = find_neighbors(profiles.u, match_N, differ, part_N)
        source = settings.match + (f", not same {', '.join(settings.not_same)}" if settings.not_same else "")
        common: dict[str, Any] = {"benchmark": BENCHMARK, "source": source, "n": int(found.asked.sum())}
        detail = {**profiles.notes, "n_without_partner": int((~found.asked).sum()), "rows": settings.rows}
        if not found.asked.any():
            reason = "no profile has an allowed one with its label"
            return score_table([ScoreRow(metric="accuracy", detail={**detail, "reason": reason}, **common)])
        hit_N = found.hits()
        label_N = profiles.names[settings.match][found.asked]
        low, high = cluster_interval(hit_N[found.asked], label_N, settings.n_bootstrap, settings.seed)
        value, chance = float(hit_N[found.asked].mean()), float(found.chance[found.asked].mean())
        row = ScoreRow(metric="accuracy", value=value, ci_low=low, ci_high=high, chance=chance, detail=detail, **common)
        plate = _plate_interval(scored, settings, profiles, match_N, differ, found)
        return score_table([plate.into(row), _shuffled_row(match_N, found, settings, common, detail)])


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Best allowed neighbours of each profile, for each part of the candidates.

    Parameters
    ----------
    similarity
        (N, Q) cosine of the best, -inf for none allowed.
    ties, right
        (N, Q) how many are as similar as the best, and how many of them have the label.
    partners
        (N, Q) allowed candidates with the label.
    chance
        (N,) share of allowed candidates with the label; NaN where none is allowed.
    first
        (N,) row of the best, the first of equals.
    part
        (N,) part of each profile.
    """

    similarity: FloatArray
    ties: IntArray
    right: IntArray
    partners: IntArray
    chance: FloatArray
    first: IntArray
    part: IntArray

    @property
    def asked(self) -> np.ndarray:
        """(N,) profiles that have an allowed one with their label."""
        return np.asarray(self.partners.sum(axis=1) > 0)

    def hits(self, weight_Q: IntArray | None = None) -> FloatArray:
        """Return the share of the nearest that have the label (N,), NaN for none; parts may weigh 0, 1, 2, ..."""
        weight_Q = np.ones(self.similarity.shape[1], dtype=np.int64) if weight_Q is None else weight_Q
        similarity_NQ = np.where(weight_Q > 0, self.similarity, -np.inf)
        best_N = similarity_NQ.max(axis=1)
        weight_NQ = (similarity_NQ == best_N[:, None]) * weight_Q
        ties_N, right_N = (weight_NQ * self.ties).sum(axis=1), (weight_NQ * self.right).sum(axis=1)
        return np.where((best_N > -np.inf) & (ties_N > 0), right_N / np.maximum(ties_N, 1), np.nan)

    def accuracy(self, weight_Q: IntArray) -> float:
        """Return the accuracy with weighted parts; only profiles with a partner among them are asked."""
        weight_N = weight_Q[self.part] * ((self.partners * weight_Q).sum(axis=1) > 0)
        total = weight_N.sum()
        return float(np.nansum(weight_N * self.hits(weight_Q)) / total) if total else np.nan


def find_neighbors(u_ND: FloatArray, match_N: IntArray, differ: Sequence[IntArray], part_N: IntArray) -> Neighbors:
    """Find the nearest allowed neighbours of every profile, a block of rows at a time.

    Parameters
    ----------
    u_ND
        Unit rows.
    match_N
        Labels, as codes.
    differ
        Columns of codes (N,); a neighbour differs in each.
    part_N
        Part of each profile as a candidate, 0 .. Q-1.
    """
    size = len(u_ND)
    order_N = np.argsort(part_N, kind="stable")
    columns_ND, starts_Q = u_ND[order_N].T, np.unique(part_N[order_N], return_index=True)[1]
    inverse_N, sizes_Q = np.searchsorted(starts_Q, np.arange(size), side="right") - 1, len(starts_Q)
    similarity_NQ = np.empty((size, sizes_Q))
    ties_NQ, right_NQ, partners_NQ = (np.zeros((size, sizes_Q), dtype=np.int64) for _ in range(3))
    chance_N, first_N = np.full(size, np.nan), np.zeros(size, dtype=np.int64)
    step = max(16, min(512, _CELLS // max(size, 1)))
    for start in range(0, size, step):
        rows = np.arange(start, min(start + step, size))
        c_RN = np.rint((u_ND[rows] @ columns_ND) * GRID)
        allowed_RN = rows[:, None] != order_N
        for code_N in differ:
            allowed_RN &= code_N[rows][:, None] != code_N[order_N]
        c_RN[~allowed_RN] = -np.inf
        same_RN = allowed_RN & (match_N[rows][:, None] == match_N[order_N])
        best_RQ = np.maximum.reduceat(c_RN, starts_Q, axis=1)
        nearest_RN = allowed_RN & (c_RN == best_RQ[:, inverse_N])
        similarity_NQ[rows] = best_RQ
        ties_NQ[rows] = np.add.reduceat(nearest_RN, starts_Q, axis=1, dtype=np.int64)
        right_NQ[rows] = np.add.reduceat(nearest_RN & same_RN, starts_Q, axis=1, dtype=np.int64)
        partners_NQ[rows] = np.add.reduceat(same_RN, starts_Q, axis=1, dtype=np.int64)
        total_R = allowed_RN.sum(axis=1)
        chance_N[rows] = np.where(total_R > 0, same_RN.sum(axis=1) / np.maximum(total_R, 1), np.nan)
        first_N[rows] = _first(c_RN, order_N)
    return Neighbors(similarity_NQ, ties_NQ, right_NQ, partners_NQ, chance_N, first_N, part_N)


def _first(c_RN: FloatArray, order_N: IntArray) -> IntArray:
    """Return the row of the largest value, of equals that with the smallest number."""
    best_RN = c_RN == c_RN.max(axis=1, keepdims=True)
    return np.where(best_RN, order_N, len(order_N)).min(axis=1).astype(np.int64)


def _plate_interval(
    scored: Scored,
    settings: NeighborSettings,
    profiles: Profiles,
    match_N: IntArray,
    differ: list[IntArray],
    found: Neighbors,
) -> PlateInterval:
    draw = (settings.n_plate_bootstrap, settings.seed)
    if settings.rows == "wells":
        _, first_Q = np.unique(found.part, return_index=True)
        well_Q = profiles.position[first_Q]
        return plate_interval(scored, lambda weight_W: [found.accuracy(weight_W[well_Q])], *draw)
    return map_plate_interval(scored, partial(_map_accuracy, profiles, match_N, differ), *draw)


def _map_accuracy(profiles: Profiles, match_N: IntArray, differ: list[IntArray], x_GD: FloatArray) -> list[float]:
    """Return the accuracy on a map made again; rows that it lacks take no part."""
    u_ND, usable_N = unit_rows(x_GD[profiles.position])
    one_part = np.zeros(int(usable_N.sum()), dtype=np.int64)
    if not len(one_part):
        return [np.nan]
    again = find_neighbors(u_ND[usable_N], match_N[usable_N], [code_N[usable_N] for code_N in differ], one_part)
    return [again.accuracy(np.ones(1, dtype=np.int64))]


def _shuffled_row(
    match_N: IntArray, found: Neighbors, settings: NeighborSettings, common: dict[str, Any], detail: dict[str, Any]
) -> ScoreRow:
    """Measure the accuracy with labels permuted among profiles; chance is that two random profiles share a label."""
    rng = np.random.default_rng(settings.seed)
    asked_N = np.flatnonzero(found.asked)
    shares = []
    for _ in range(settings.n_shuffles):
        shuffled_N = rng.permutation(match_N)
        shares.append(float((shuffled_N[asked_N] == shuffled_N[found.first[asked_N]]).mean()))
    low, high = percentile_interval(np.array(shares))
    sizes = np.bincount(match_N)
    chance = float((sizes * (sizes - 1)).sum() / (len(match_N) * (len(match_N) - 1)))
    value, shown = float(np.mean(shares)), {**detail, "n_shuffles": settings.n_shuffles}
    row = ScoreRow(metric="accuracy_shuffled", value=value, chance=chance, detail=shown, **common)
    return replace(row, ci_low=low, ci_high=high)
