"""Retrieval by mean average precision (mAP): replicates among controls, and perturbations that share a label among all.

``replicability``: wells of one perturbation are each other's positives; negatives are negative controls that share the
names in ``negatives_same``, by default the plate. ``matching``: profiles that share ``match`` (and no name in
``not_same``) are positives, profiles with another ``match`` are negatives. Both are the recipes of copairs (Kalinin et
al. 2025, Nature Communications 16:5181): AP of every profile, its mean over the profiles of a perturbation (or of
another name, ``group_by``), p against random rankings, Benjamini and Hochberg over the groups.

Rows: ``mean_average_precision`` over groups, its chance being the mean expectation of random rankings;
``mean_normalized_average_precision``, (AP - expected) / (1 - expected), chance 0; ``fraction_retrieved``, the share of
groups with q < ``alpha``. Its chance is stated as 0: with random vectors not one group is found with probability
1 - ``alpha`` or more. Intervals resample labels, each with all its groups. The plate interval of wells resamples the
plates of the queries, among candidates as they are; that of a map makes the map again.

Shapes: N profiles, G groups, W wells, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from platemae.benchmarks.average_precision import Pairs, Precision, average_precision
from platemae.benchmarks.bootstrap import FloatArray, IntArray, check_at_least
from platemae.benchmarks.cluster_bootstrap import cluster_interval
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.plates import PlateInterval, map_plate_interval, plate_interval
from platemae.benchmarks.profiles import Profiles, Rows, select_profiles
from platemae.benchmarks.ranking_null import expected_precision, least_p, p_values
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

METRICS = ("mean_average_precision", "mean_normalized_average_precision", "fraction_retrieved")
_SHOWN = 20
_UNTESTED = PlateInterval.without("groups are tested on the plates as they are")


@dataclass(frozen=True)
class RetrievalSettings:
    """What both kinds have in common.

    Parameters
    ----------
    match
        Name that positives share.
    not_same
        Names that positives must not share, such as ``plate``.
    negatives_same
        Names that a profile and its negatives share.
    group_by
        Name whose groups are tested; the perturbation for None.
    alpha
        A group is retrieved if its q is below this.
    null_size
        Random rankings for p.
    n_bootstrap, n_plate_bootstrap
        Resamples of the labels and of the plates, for the intervals.
    seed
        Of rankings and resamples.
    """

    match: str = "perturbation"
    not_same: tuple[str, ...] = ()
    negatives_same: tuple[str, ...] = ()
    group_by: str | None = None
    alpha: float = 0.05
    null_size: int = 10000
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        check_at_least(self.null_size, 1, "null_size")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha is {self.alpha}", "benchmarks: alpha", "use a number between 0 and 1")
        if self.match in self.not_same:
            remedy = "name other columns in not_same"
            raise ConfigError(f"a positive cannot share '{self.match}' and not share it", "benchmarks", remedy)

    def columns(self) -> list[str]:
        """Return the names that a profile must have."""
        return [self.match, *self.negatives_same, *([self.group_by] if self.group_by else [])]


@dataclass(frozen=True)
class ReplicabilitySettings(RetrievalSettings):
    """Settings of :class:`Replicability`: see :class:`RetrievalSettings`."""

    file_keys: ClassVar[tuple[str, ...]] = ()

    negatives_same: tuple[str, ...] = ("plate",)


@dataclass(frozen=True)
class MatchingSettings(RetrievalSettings):
    """Settings of :class:`Matching`, beside those of :class:`RetrievalSettings`.

    Parameters
    ----------
    rows
        ``wells``, or the ``perturbations`` of the map.
    labels
        File of labels (`platemae.benchmarks.labels`), or None.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    match: str = "label"
    rows: Rows = "perturbations"
    labels: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows not in get_args(Rows):
            raise ConfigError(f"rows is '{self.rows}'", "benchmarks: rows", "use wells or perturbations")


class Replicability:
    """Replicates of a perturbation against negative controls; CPJUMP1's perturbation retrieval is this."""

    Settings: ClassVar[type[ReplicabilitySettings]] = ReplicabilitySettings

    @staticmethod
    def score(scored: Scored, settings: ReplicabilitySettings) -> pd.DataFrame:
        """Score the wells.

        Raises
        ------
        PlatemaeError
            As :func:`platemae.benchmarks.profiles.select_profiles`.
        """
        profiles = select_profiles(scored, "wells", settings.columns(), settings.not_same, controls=True)
        if not profiles.control.any():
            return score_table(_without("replicability", settings, profiles, "no negative control well"))
        task = _Task.of(profiles, settings, profiles.control)
        rows = _rows("replicability", task, settings, profiles, _wells_interval(scored, task, settings, profiles))
        return score_table(rows)


class Matching:
    """Profiles that share a label, target or gene against all others; CPJUMP1's sibling retrieval is this."""

    Settings: ClassVar[type[MatchingSettings]] = MatchingSettings

    @staticmethod
    def score(scored: Scored, settings: MatchingSettings) -> pd.DataFrame:
        """Score the map, or the wells.

        Raises
        ------
        PlatemaeError
            As :func:`platemae.benchmarks.profiles.select_profiles`.
        """
        profiles = select_profiles(scored, settings.rows, settings.columns(), settings.not_same, settings.labels)
        task = _Task.of(profiles, settings, None)
        if settings.rows == "wells":
            plates = _wells_interval(scored, task, settings, profiles)
        else:
            draw = (settings.n_plate_bootstrap, settings.seed)
            plates = map_plate_interval(scored, lambda x_GD: task.again(x_GD[profiles.position]), *draw)
        return score_table(_rows("matching", task, settings, profiles, plates))


@dataclass(frozen=True, eq=False)
class _Task:
    """What is asked, and the answers: which pairs, which groups, which precision.

    ``group_N`` are codes into ``groups``; controls are in no group and no query.
    """

    positive: Pairs
    negative: Pairs
    query_N: np.ndarray
    group_N: IntArray
    groups: list[str]
    found: Precision

    @classmethod
    def of(cls, profiles: Profiles, settings: RetrievalSettings, control_N: np.ndarray | None) -> Self:
        match_N, *differ = profiles.codes([settings.match, *settings.not_same])
        query_N = ~profiles.control
        candidate_N = query_N if control_N is None else control_N
        positive = Pairs([match_N], differ, query_N)
        apart = [match_N] if control_N is None else []
        negative = Pairs(profiles.codes(settings.negatives_same), apart, candidate_N)
        names = profiles.names[settings.group_by] if settings.group_by else profiles.unit
        group_N, groups = pd.factorize(np.where(query_N, names, ""), sort=True)
        found = average_precision(profiles.u, positive, negative, query_N)
        return cls(positive, negative, query_N, group_N.astype(np.int64), list(groups), found)

    @property
    def measured(self) -> np.ndarray:
        """(N,) profiles with an average precision."""
        return np.isfinite(self.found.value)

    def means(self, values_N: FloatArray, weight_N: FloatArray | IntArray | None = None) -> FloatArray:
        """Return the weighted mean (G,) of each group's measured profiles, NaN for none."""
        use_N = self.measured
        weight_N = np.ones(len(values_N)) if weight_N is None else weight_N
        total_G = np.bincount(self.group_N[use_N], weight_N[use_N], minlength=len(self.groups))
        sums_G = np.bincount(self.group_N[use_N], (weight_N * values_N)[use_N], minlength=len(self.groups))
        return np.where(total_G > 0, sums_G / np.where(total_G > 0, total_G, 1), np.nan)

    def normalized(self) -> FloatArray:
        """Return (AP - expected) / (1 - expected) of every profile."""
        expected_N = expected_precision(self.found.n_positive, self.found.n_total)
        return np.asarray((self.found.value - expected_N) / np.where(expected_N < 1, 1 - expected_N, np.nan))

    def again(self, x_ND: FloatArray) -> list[float]:
        """Return the first two metrics on other vectors of the same profiles; those without direction take no part."""
        u_ND, usable_N = unit_rows(x_ND)
        positive, negative = self.positive.among(usable_N), self.negative.among(usable_N)
        found = average_precision(u_ND, positive, negative, self.query_N & usable_N)
        return replace(self, positive=positive, negative=negative, found=found).overall()

    def overall(self, weight_N: IntArray | None = None) -> list[float]:
        """Return the means over groups of average precision and of its normalised form; NaN for none."""
        per_group = (self.means(values_N, weight_N) for values_N in (self.found.value, self.normalized()))
        return [float(np.nanmean(means_G)) if np.isfinite(means_G).any() else np.nan for means_G in per_group]


def _wells_interval(scored: Scored, task: _Task, settings: RetrievalSettings, profiles: Profiles) -> PlateInterval:
    def metric(weight_W: IntArray) -> list[float]:
        return task.overall(weight_W[profiles.position])

    return plate_interval(scored, metric, settings.n_plate_bootstrap, settings.seed)


def _source(settings: RetrievalSettings) -> str:
    return settings.match + (f", not same {', '.join(settings.not_same)}" if settings.not_same else "")


def _without(kind: str, settings: RetrievalSettings, profiles: Profiles, reason: str) -> list[ScoreRow]:
    detail = {**profiles.notes, "reason": reason}
    return [ScoreRow(kind, _source(settings), metric, detail=detail) for metric in METRICS]


def _units(match_N: np.ndarray, group_N: IntArray) -> np.ndarray:
    """Return what to resample for each group (G,): its label, or the group itself where groups have several labels."""
    groups, first_G = np.unique(group_N, return_index=True)
    label_G = match_N[first_G]
    return label_G if (label_G[group_N] == match_N).all() else groups


def _rows(
    kind: str, task: _Task, settings: RetrievalSettings, profiles: Profiles, plates: PlateInterval
) -> list[ScoreRow]:
    """Return the rows of a kind; groups without a measured profile are left out and counted."""
    use_N = task.measured
    if not use_N.any():
        return _without(kind, settings, profiles, "no profile has both a positive and a negative")
    kept_G, group_N = np.unique(task.group_N[use_N], return_inverse=True)
    counts = task.found.n_positive[use_N], task.found.n_total[use_N]
    mean_G, p_G = p_values(task.found.value[use_N], *counts, group_N, settings.null_size, settings.seed)
    q_G = false_discovery_control(p_G)
    expected_G = np.bincount(group_N, expected_precision(*counts)) / np.bincount(group_N)
    # q is no smaller than p: such a group is not retrieved however well it is ranked.
    untold_G = least_p(*counts, group_N, settings.null_size) >= settings.alpha
    lost_G = sorted({task.groups[g] for g in task.group_N[task.query_N]} - {task.groups[g] for g in kept_G})
    detail: dict[str, Any] = {
        **profiles.notes,
        "n_queries": int(use_N.sum()),
        "n_queries_without_pair": int((task.query_N & ~use_N).sum()),
        "n_groups_dropped": len(lost_G),
        "groups_dropped": lost_G[:_SHOWN],
        "median_positives": float(np.median(counts[0])),
        "median_candidates": float(np.median(counts[1])),
        "null_size": settings.null_size,
        "n_groups_never_retrieved": int(untold_G.sum()),
        "grouped_by": settings.group_by or "perturbation",
    }
    unit_G = _units(profiles.names[settings.match][use_N], group_N)
    values = (mean_G, task.means(task.normalized())[kept_G], (q_G < settings.alpha).astype(np.float64))
    chances = (float(expected_G.mean()), 0.0, 0.0)
    thresholds = (np.nan, np.nan, settings.alpha)
    rows = []
    for index, (metric, value_G) in enumerate(zip(METRICS, values, strict=True)):
        low, high = cluster_interval(value_G, unit_G, settings.n_bootstrap, settings.seed)
        row = ScoreRow(
            kind, _source(settings), metric, thresholds[index], float(value_G.mean()), low, high,
            n=len(value_G), chance=chances[index], detail=detail,
        )  # fmt: skip
        rows.append((plates if index < 2 else _UNTESTED).into(row, index))
    return rows
