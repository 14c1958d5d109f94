"""Linear probe: a logistic regression tells a label from a well's vector, on plates, batches or compounds it never saw.

Wells are split by group (``split_by``): no group is on both sides (scikit-learn's ``StratifiedGroupKFold`` without
shuffling). On each training part the vectors are standardised and a multinomial logistic regression with an L2
penalty is fitted (``StandardScaler`` and ``LogisticRegression``); every well is predicted once, by the one fit that
has not seen its group. A well whose label is in no other part counts as wrong. The measured chance repeats all of it
with permuted labels: within groups of several labels, and between the groups of one label, whole (mechanisms, split
by compound).

Shapes: N wells, D dimensions, K classes, Q groups, B resamples.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from platemae.benchmarks.bootstrap import (
    FloatArray,
    IntArray,
    check_at_least,
    multinomial_weights,
    percentile_interval,
    unless_certain,
)
from platemae.benchmarks.labels import labels_of, read_labels
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.wells import EMPTY, TREATMENT, Wells
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "linear_probe"
Target = Literal["perturbation", "gene", "compound"]
SplitBy = Literal["plate", "batch", "compound", "perturbation"]
METRICS = ("balanced_accuracy", "top1")
SHUFFLED_METRIC = "balanced_accuracy_shuffled"
LEAST_GROUPS = 3
"""Fewer groups say nothing about their spread."""
_SHOWN = 20


@dataclass(frozen=True)
class LinearProbeSettings:
    """Settings of :class:`LinearProbe`.

    Parameters
    ----------
    target
        What is told of a well, a column of the layouts; read where there is no ``labels``.
    labels
        Table of labels, see :mod:`platemae.benchmarks.labels`.
    split_by
        Groups that are never on both sides.
    n_splits
        Parts; at most the number of groups.
    c
        Inverse strength of the penalty (scikit-learn's C).
    min_groups
        Classes with wells in fewer groups are left out and named.
    controls
        Whether control wells take part, too; empty wells never do.
    max_iter
        Limit of the solver's steps; fits that reach it are counted.
    n_shuffles
        Repetitions with permuted labels.
    n_bootstrap, n_plate_bootstrap, seed
        Resamples of the classes for the one interval and of the groups for the other, and the seed of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    target: Target = "perturbation"
    labels: str | None = None
    split_by: SplitBy = "plate"
    n_splits: int = 5
    c: float = 1.0
    min_groups: int = 2
    controls: bool = False
    max_iter: int = 1000
    n_shuffles: int = 3
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_splits, 2, "n_splits")
        check_at_least(self.min_groups, 2, "min_groups")
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        if not self.c > 0:
            raise ConfigError(f"c is {self.c}", "benchmarks: c", "use a number above 0")
        for value, allowed in ((self.target, get_args(Target)), (self.split_by, get_args(SplitBy))):
            if value not in allowed:
                raise ConfigError(f"'{value}' is not allowed", "benchmarks: linear_probe", f"use {', '.join(allowed)}")
        if self.labels is None and self.target == self.split_by:
            what = f"wells are split by {self.split_by}, which is also the label: none would be seen before it is told"
            raise ConfigError(what, "benchmarks: split_by", "split by plate or batch")


class LinearProbe:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[LinearProbeSettings]] = LinearProbeSettings

    @staticmethod
    def score(scored: Scored, settings: LinearProbeSettings) -> pd.DataFrame:
        """Tell the label of each well.

        Returns
        -------
        ``balanced_accuracy`` (mean over classes of the share of its wells that are told; chance 1 / classes) and
        ``top1`` (share of wells; chance the largest class), and ``balanced_accuracy_shuffled``, the mean over
        permutations of the labels, with ``top1`` of these in its detail. ``ci`` resamples classes, ``plate_ci``
        groups; predictions are not made again.

        Raises
        ------
        PlatemaeError
            If a column is not there, or the table of labels is missing, wrong, or fits no well.
        """
        target, split = f"Metadata_{settings.target.title()}", f"Metadata_{settings.split_by.title()}"
        keys = [target, split, "Metadata_Control_Type"]
        labels = read_labels(Path(settings.labels)) if settings.labels is not None else None
        wells = Wells.of(scored.wells, [*keys, *(labels.columns if labels is not None else ())])
        kinds = wells.obs["Metadata_Control_Type"]
        wells = wells.only(((kinds != EMPTY) if settings.controls else (kinds == TREATMENT)).to_numpy())
        label_N = wells.obs[target].to_numpy() if labels is None else labels_of(labels, wells.obs)
        source = settings.target if settings.labels is None else Path(settings.labels).stem
        probe = _Probe.of(wells, label_N.astype(str), wells.obs[split].to_numpy().astype(str), settings)
        return score_table(_rows(probe, source, settings))


@dataclass(frozen=True, eq=False)
class _Probe:
    """Wells that take part: vectors, codes of class and group, and what was left out."""

    x_ND: FloatArray
    class_N: IntArray
    group_N: IntArray
    n_classes: int
    n_groups: int
    detail: dict[str, Any]

    @classmethod
    def of(
        cls, wells: Wells, label_N: npt.NDArray[Any], group_N: npt.NDArray[Any], settings: LinearProbeSettings
    ) -> _Probe:
        named_N = (label_N != "") & (group_N != "")
        pairs = pd.DataFrame({"label": label_N[named_N], "group": group_N[named_N]})
        groups = pairs.groupby("label")["group"].nunique()
        thin = sorted(groups[groups < settings.min_groups].index)
        kept_N = named_N & ~np.isin(label_N, thin)
        class_N, classes = pd.factorize(label_N[kept_N], sort=True)
        code_N, names = pd.factorize(group_N[kept_N], sort=True)
        detail = {
            **wells.notes,
            "split_by": settings.split_by,
            "n_classes": len(classes),
            "n_groups": len(names),
            "n_without_label": int((~named_N).sum()),
            "n_classes_dropped": len(thin),
            "classes_dropped": thin[:_SHOWN],
            "min_groups": settings.min_groups,
        }
        return cls(wells.x_ND[kept_N], class_N, code_N, len(classes), len(names), detail)

    @property
    def reason(self) -> str | None:
        """Why nothing can be told, if so."""
        if self.n_classes < 2:
            return f"{self.n_classes} classes have wells in enough groups, and two are needed"
        return None if self.n_groups >= 2 else "there is one group alone, and two are needed"


def _rows(probe: _Probe, source: str, settings: LinearProbeSettings) -> Iterator[ScoreRow]:
    names = [*METRICS, *([SHUFFLED_METRIC] if settings.n_shuffles else [])]
    if probe.reason is not None:
        detail = {**probe.detail, "reason": probe.reason}
        yield from (ScoreRow(BENCHMARK, source, metric, n=len(probe.x_ND), detail=detail) for metric in names)
        return
    told_N, notes = predict(probe.x_ND, probe.class_N, probe.group_N, settings)
    hits_QK, wells_QK = _tables(probe, told_N == probe.class_N)
    value = _accuracies(hits_QK.sum(axis=0)[None], wells_QK.sum(axis=0)[None])[0]
    rng = np.random.default_rng(settings.seed)
    of_class_BX = _class_resamples(hits_QK.sum(axis=0), wells_QK.sum(axis=0), settings.n_bootstrap, rng)
    weights_BQ = multinomial_weights(probe.n_groups, max(settings.n_plate_bootstrap, 1), rng)
    of_group_BX = _accuracies(weights_BQ @ hits_QK, weights_BQ @ wells_QK)
    enough = settings.n_plate_bootstrap > 0 and probe.n_groups >= LEAST_GROUPS
    largest = np.bincount(probe.class_N).max() / len(probe.class_N)
    detail = {**probe.detail, **notes, "plate_interval_resamples": settings.split_by if enough else "none"}
    for i, (metric, chance) in enumerate(zip(METRICS, (1 / probe.n_classes, float(largest)), strict=True)):
        low, high = unless_certain(float(value[i]), percentile_interval(of_class_BX[:, i]), probe.n_classes)
        plate_low, plate_high = percentile_interval(of_group_BX[:, i]) if enough else (np.nan, np.nan)
        yield ScoreRow(
            BENCHMARK, source, metric, value=float(value[i]), ci_low=low, ci_high=high, plate_ci_low=plate_low,
            plate_ci_high=plate_high, n=len(probe.x_ND), chance=chance, detail=detail,
        )  # fmt: skip
    if settings.n_shuffles:
        yield _shuffled_row(probe, source, settings, rng)


def _shuffled_row(probe: _Probe, source: str, settings: LinearProbeSettings, rng: np.random.Generator) -> ScoreRow:
    """Repeat the probe with permuted labels; the interval is that of one such probe, its classes resampled."""
    found, resampled = [], []
    for _ in range(settings.n_shuffles):
        class_N = permuted(probe.class_N, probe.group_N, rng)
        told_N, _ = predict(probe.x_ND, class_N, probe.group_N, settings)
        wells_K = np.bincount(class_N, minlength=probe.n_classes)
        hits_K = np.bincount(class_N[told_N == class_N], minlength=probe.n_classes)
        found.append(_accuracies(hits_K[None], wells_K[None])[0])
        resampled.append(_class_resamples(hits_K, wells_K, settings.n_bootstrap, rng)[:, 0])
    balanced, top1 = np.mean(found, axis=0)
    low, high = percentile_interval(np.concatenate(resampled))
    detail = {**probe.detail, "n_shuffles": settings.n_shuffles, "top1": float(top1)}
    return ScoreRow(
        BENCHMARK, source, SHUFFLED_METRIC, value=float(balanced), ci_low=low, ci_high=high,
        n=len(probe.x_ND), chance=1 / probe.n_classes, detail=detail,
    )  # fmt: skip


def predict(
    x_ND: FloatArray, class_N: IntArray, group_N: IntArray, settings: LinearProbeSettings
) -> tuple[IntArray, dict[str, int]]:
    """Tell the class of every well by a fit that has not seen its group.

    Returns
    -------
    told_N, notes
        Classes; ``n_splits``, ``n_unseen`` (wells whose class was in no other part) and ``n_not_converged`` (fits).
    """
    # More parts than the largest class has wells would leave every class out of some part.
    n_splits = min(settings.n_splits, len(np.unique(group_N)), int(np.bincount(class_N).max()))
    told_N = np.full(len(class_N), -1)
    unseen = stopped = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # A class in fewer groups than parts is what group splits are for, no reason to warn.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for train, test in StratifiedGroupKFold(n_splits).split(x_ND, class_N, group_N):
            if not len(test):
                continue
            seen = np.unique(class_N[train])
            unseen += int((~np.isin(class_N[test], seen)).sum())
            if len(seen) == 1:
                told_N[test] = seen[0]
                continue
            model = LogisticRegression(C=settings.c, max_iter=settings.max_iter)
            told_N[test] = make_pipeline(StandardScaler(), model).fit(x_ND[train], class_N[train]).predict(x_ND[test])
            stopped += int(model.n_iter_.max() >= settings.max_iter)
    return told_N, {"n_splits": n_splits, "n_unseen": unseen, "n_not_converged": stopped}


def permuted(class_N: IntArray, group_N: IntArray, rng: np.random.Generator) -> IntArray:
    """Permute labels within groups of several labels, and between the groups that have one label each, whole."""
    _, code_N = np.unique(group_N, return_inverse=True)
    labels = pd.Series(class_N).groupby(code_N)
    label_Q, single_Q = labels.first().to_numpy(copy=True), (labels.nunique() == 1).to_numpy()
    label_Q[single_Q] = rng.permutation(label_Q[single_Q])
    # Sorted by group, then by a random number: wells of a group come in random order.
    order_N = np.lexsort((rng.random(len(class_N)), group_N))
    out = np.empty_like(class_N)
    out[np.argsort(group_N, kind="stable")] = class_N[order_N]
    return np.where(single_Q[code_N], label_Q[code_N], out)


def _tables(probe: _Probe, hit_N: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Count hits and wells by group and class, (Q, K) each."""
    cell_N, size = probe.group_N * probe.n_classes + probe.class_N, probe.n_groups * probe.n_classes
    shape = (probe.n_groups, probe.n_classes)
    return np.bincount(cell_N[hit_N], minlength=size).reshape(shape), np.bincount(cell_N, minlength=size).reshape(shape)


def _accuracies(hits_BK: npt.NDArray[Any], wells_BK: npt.NDArray[Any]) -> FloatArray:
    """Return (B, 2): balanced accuracy over the classes that have wells, and the share of all wells."""
    present_BK = wells_BK > 0
    recall_BK = hits_BK / np.maximum(wells_BK, 1)
    balanced_B = recall_BK.sum(axis=1) / np.maximum(present_BK.sum(axis=1), 1)
    return np.stack([balanced_B, hits_BK.sum(axis=1) / np.maximum(wells_BK.sum(axis=1), 1)], axis=1)


def _class_resamples(hits_K: IntArray, wells_K: IntArray, n: int, rng: np.random.Generator) -> FloatArray:
    weights_BK = multinomial_weights(len(hits_K), n, rng)
    recall_K = hits_K / wells_K
    return np.stack([weights_BK @ recall_K / len(hits_K), (weights_BK @ hits_K) / (weights_BK @ wells_K)], axis=1)
