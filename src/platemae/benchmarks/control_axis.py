"""The axis from negative to positive controls: whether the controls are told apart, and dose rises along the axis.

Both numbers come from corrected wells. Controls: leave-one-out nearest centroid (Euclidean), each control well against
the centroids of the others. Dose: Spearman correlation of concentration with the projection of the treated wells on the
line from the negative to the positive centroid. Intervals resample wells, and plates with axis and centroids held.

Shapes: W wells, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from platemae.benchmarks.bootstrap import check_at_least, percentile_interval
from platemae.benchmarks.plates import plate_interval
from platemae.benchmarks.rows import ScoreRow, score_table

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "control_axis"
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ControlAxisSettings:
    """Settings of :class:`ControlAxis`.

    Parameters
    ----------
    n_bootstrap
        Resamples of the wells, for the intervals.
    n_plate_bootstrap
        Resamples of the plates, for the second intervals; 0 for none.
    seed
        Of the resamples.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_bootstrap, 10, "n_bootstrap")


class ControlAxis:
    """Accuracy on the controls and dose correlation, on wells rather than on a map."""

    Settings: ClassVar[type[ControlAxisSettings]] = ControlAxisSettings

    @staticmethod
    def score(scored: Scored, settings: ControlAxisSettings) -> pd.DataFrame:
        """Score the wells, which carry ``Metadata_Control_Type`` and ``Metadata_Concentration``.

        Returns
        -------
        Two rows; a row without a value says in its detail what is missing.
        """
        wells = scored.wells
        kind_W = wells.obs["Metadata_Control_Type"].astype(str).to_numpy()
        x_WD = np.asarray(wells.X, dtype=np.float64)
        groups = [x_WD[kind_W == name] for name in ("negcon", "poscon")]
        if min(len(group) for group in groups) < 2:
            missing = {"missing": f"two wells of each control ({len(groups[0])} negcon, {len(groups[1])} poscon)"}
            rows = [ScoreRow(BENCHMARK, "controls", metric, detail=missing) for metric in _METRICS]
            return score_table(rows)
        dose_W = pd.to_numeric(wells.obs["Metadata_Concentration"].astype(str), errors="coerce").to_numpy()
        treated = (kind_W == "treatment") & np.isfinite(dose_W)
        hits_W, along_W, dose_W = leave_one_out_hits(*groups), _along(groups, x_WD[treated]), dose_W[treated]
        control_W = np.concatenate([np.flatnonzero(kind_W == name) for name in ("negcon", "poscon")])

        def resampled(weight_N: IntArray) -> tuple[float, float]:
            hits = np.repeat(hits_W, weight_N[control_W])
            pick = np.repeat(np.arange(len(dose_W)), weight_N[treated])
            return float(hits.mean()) if len(hits) else np.nan, _spearman(dose_W[pick], along_W[pick])

        made = _rows(groups, hits_W, along_W, dose_W, settings)
        plates = plate_interval(scored, resampled, settings.n_plate_bootstrap, settings.seed)
        return score_table(plates.into(row, place) for place, row in enumerate(made))


_METRICS = ("leave_one_out_accuracy", "dose_spearman")


def _along(groups: list[FloatArray], x_WD: FloatArray) -> FloatArray:
    """Return the projection of wells on the line from the negative to the positive centroid."""
    along_W: FloatArray = (x_WD - groups[0].mean(0)) @ (groups[1].mean(0) - groups[0].mean(0))
    return along_W


def _rows(
    groups: list[FloatArray], hits_W: FloatArray, along_W: FloatArray, dose_W: FloatArray, settings: ControlAxisSettings
) -> Iterator[ScoreRow]:
    low, high = _interval(lambda pick: float(hits_W[pick].mean()), len(hits_W), settings)
    detail: dict[str, Any] = {"negcon": len(groups[0]), "poscon": len(groups[1])}
    largest = max(len(group) for group in groups) / len(hits_W)
    value = float(hits_W.mean())
    found: dict[str, Any] = {"value": value, "ci_low": low, "ci_high": high, "n": len(hits_W), "chance": largest}
    yield ScoreRow(BENCHMARK, "controls", _METRICS[0], detail=detail, **found)
    if len(np.unique(dose_W)) < 3:
        yield ScoreRow(BENCHMARK, "dose", _METRICS[1], detail={"missing": "three concentrations"})
        return
    low, high = _interval(lambda pick: _spearman(dose_W[pick], along_W[pick]), len(dose_W), settings)
    found = {"value": _spearman(dose_W, along_W), "ci_low": low, "ci_high": high, "n": len(dose_W), "chance": 0.0}
    yield ScoreRow(BENCHMARK, "dose", _METRICS[1], **found)


def leave_one_out_hits(negative_WD: FloatArray, positive_WD: FloatArray) -> FloatArray:
    """Return 1 for each control well that lies nearer to its own group's other wells, else 0; a tie counts half."""
    hits = []
    for own_WD, other_WD in ((negative_WD, positive_WD), (positive_WD, negative_WD)):
        total_D, n = own_WD.sum(0), len(own_WD)
        rest_WD = (total_D - own_WD) / (n - 1)
        to_own = np.linalg.norm(own_WD - rest_WD, axis=1)
        to_other = np.linalg.norm(own_WD - other_WD.mean(0), axis=1)
        hits.append(0.5 * (1 + np.sign(to_other - to_own)))
    return np.concatenate(hits)


def _spearman(a_W: FloatArray, b_W: FloatArray) -> float:
    if len(np.unique(a_W)) < 2 or len(np.unique(b_W)) < 2:
        return float("nan")
    return float(spearmanr(a_W, b_W).statistic)


def _interval(
    value: Callable[[npt.NDArray[np.int64]], float], n: int, settings: ControlAxisSettings
) -> tuple[float, float]:
    rng = np.random.default_rng(settings.seed)
    return percentile_interval(np.array([value(rng.integers(0, n, n)) for _ in range(settings.n_bootstrap)]))
