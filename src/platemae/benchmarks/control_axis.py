"""The axis from negative to positive controls: whether the controls are told apart, and dose rises along the axis.

Both numbers come from corrected wells. Controls: leave-one-out nearest centroid (Euclidean), each control well against
the centroids of the others. Dose: Spearman correlation of concentration with the projection of the treated wells on the
line from the negative to the positive centroid. Wells that are not finite are left out and
counted. Intervals resample wells, and plates with axis and centroids held.

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

from platemae.benchmarks.bootstrap import check_at_least, percentile_interval, unless_certain
from platemae.benchmarks.plates import plate_interval
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.wells import Wells

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
        for key, least in {"n_bootstrap": 10, "n_plate_bootstrap": 0, "seed": 0}.items():
            check_at_least(getattr(self, key), least, key)


class ControlAxis:
    """Accuracy on the controls and dose correlation, on wells rather than on a map."""

    Settings: ClassVar[type[ControlAxisSettings]] = ControlAxisSettings

    @staticmethod
    def score(scored: Scored, settings: ControlAxisSettings) -> pd.DataFrame:
        """Score the finite wells, which carry ``Metadata_Control_Type`` and ``Metadata_Concentration``.

        Returns
        -------
        Two rows; a row without a value says in its detail what is missing.

        Raises
        ------
        ContractError
            If a column is not there.
        """
        wells = Wells.of(scored.wells, [_KIND, _DOSE])
        kind_W = wells.obs[_KIND].to_numpy(dtype=str)
        controls = [np.flatnonzero(kind_W == name) for name in ("negcon", "poscon")]
        groups = [wells.x_ND[place] for place in controls]
        if min(len(group) for group in groups) < 2:
            why = f"two wells of each control ({len(groups[0])} negcon, {len(groups[1])} poscon)"
            return score_table(_without(metric, why, wells.notes) for metric in _SOURCES)
        dose_W = pd.to_numeric(wells.obs[_DOSE], errors="coerce").to_numpy(np.float64)
        treated = np.flatnonzero((kind_W == "treatment") & np.isfinite(dose_W))
        hits_W, along_W, dose_W = leave_one_out_hits(*groups), _along(groups, wells.x_ND[treated]), dose_W[treated]
        control_W, treated_W = wells.place_N[np.concatenate(controls)], wells.place_N[treated]

        def resampled(weight_N: IntArray) -> tuple[float, float]:
            hits = np.repeat(hits_W, weight_N[control_W])
            pick = np.repeat(np.arange(len(dose_W)), weight_N[treated_W])
            return float(hits.mean()) if len(hits) else np.nan, _spearman(dose_W[pick], along_W[pick])

        made = _rows(groups, hits_W, along_W, dose_W, wells.notes, settings)
        plates = plate_interval(scored, resampled, settings.n_plate_bootstrap, settings.seed)
        return score_table(plates.into(row, place) for place, row in enumerate(made))


_KIND, _DOSE = "Metadata_Control_Type", "Metadata_Concentration"
_SOURCES = {"leave_one_out_accuracy": "controls", "dose_spearman": "dose"}


def _without(metric: str, missing: str, notes: dict[str, Any]) -> ScoreRow:
    return ScoreRow(BENCHMARK, _SOURCES[metric], metric, detail={**notes, "missing": missing})


def _along(groups: list[FloatArray], x_WD: FloatArray) -> FloatArray:
    """Return the projection of wells on the line from the negative to the positive centroid."""
    along_W: FloatArray = (x_WD - groups[0].mean(0)) @ (groups[1].mean(0) - groups[0].mean(0))
    return along_W


def _rows(
    groups: list[FloatArray],
    hits_W: FloatArray,
    along_W: FloatArray,
    dose_W: FloatArray,
    notes: dict[str, Any],
    settings: ControlAxisSettings,
) -> Iterator[ScoreRow]:
    accuracy, correlation = _SOURCES
    drawn = _interval(lambda pick: float(hits_W[pick].mean()), len(hits_W), settings)
    low, high = unless_certain(float(hits_W.mean()), drawn, len(hits_W))
    detail: dict[str, Any] = {**notes, "negcon": len(groups[0]), "poscon": len(groups[1])}
    largest = max(len(group) for group in groups) / len(hits_W)
    value = float(hits_W.mean())
    found: dict[str, Any] = {"value": value, "ci_low": low, "ci_high": high, "n": len(hits_W), "chance": largest}
    yield ScoreRow(BENCHMARK, _SOURCES[accuracy], accuracy, detail=detail, **found)
    if len(np.unique(dose_W)) < 3:
        yield _without(correlation, "three concentrations", notes)
        return
    low, high = _interval(lambda pick: _spearman(dose_W[pick], along_W[pick]), len(dose_W), settings)
    found = {"value": _spearman(dose_W, along_W), "ci_low": low, "ci_high": high, "n": len(dose_W), "chance": 0.0}
    yield ScoreRow(BENCHMARK, _SOURCES[correlation], correlation, detail=dict(notes), **found)


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
