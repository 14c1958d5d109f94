"""How far a perturbation moves its wells from the negative controls.

The number is the energy distance (`platemae.benchmarks.energy`) between the wells of a perturbation and at most
``max_controls`` control wells, drawn once by the seed. EFAAR's ``pert_signal_magnitude_benchmark`` counts the distance
0 of a well to itself, too, which adds mean |x - x'| / k + mean |y - y'| / m even where nothing happens; that form is in
``detail`` (``mean_with_self_pairs``).

p compares with controls: sets of as many control wells, each against the controls that are not in it, p = (1 + number
of sets at least as far) / (1 + sets). A perturbation needs ``min_wells`` wells, and twice as many controls as wells.

Intervals resample perturbations. On resampled plates wells and controls are weighted as often as their plate was drawn,
the random sets as the perturbation that they are compared with. Distances have the unit of the vectors: those of two
models do not compare, shares do.

Shapes: N wells, M controls, Q plates, D dimensions, P perturbations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from platemae.benchmarks.bootstrap import (
    FloatArray,
    IntArray,
    check_at_least,
    interval_facts,
    mean_interval,
    share_interval,
)
from platemae.benchmarks.consistency_null import sets_needed
from platemae.benchmarks.energy import Reference, SizeGroup, distances, inner_distances, mean_to_controls
from platemae.benchmarks.plates import plate_interval
from platemae.benchmarks.replicate_sets import MOST_WELLS, member_wells
from platemae.benchmarks.replicates import Replicates
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "magnitude"
METRICS = ("share_active", "mean_energy_distance", "share_active_bh")
_SHOWN = 20


@dataclass(frozen=True)
class MagnitudeSettings:
    """Settings of :class:`Magnitude`.

    Parameters
    ----------
    alpha
        A perturbation counts as active if its p is at most this; also the rate of false discoveries.
    min_wells
        Perturbations with fewer wells are left out and counted.
    max_controls
        Control wells at most, drawn by the seed.
    n_null
        Sets of controls for each number of wells.
    n_bootstrap
        Resamples of the perturbations, for the interval.
    n_plate_bootstrap
        Resamples of the plates, for the second interval; 0 for none.
    seed
        Of all draws.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    alpha: float = 0.05
    min_wells: int = 5
    max_controls: int = 1000
    n_null: int = 999
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"n_bootstrap": 1, "n_null": 1, "min_wells": 2, "max_controls": 4, "n_plate_bootstrap": 0, "seed": 0}
        for key, smallest in least.items():
            check_at_least(getattr(self, key), smallest, key)
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha is {self.alpha}", "benchmarks: alpha", "use a number between 0 and 1")
        if self.n_null < sets_needed(self.alpha):
            what = f"{self.n_null} sets of controls give no p <= {self.alpha:g}: no perturbation would be active"
            raise ConfigError(what, "benchmarks: n_null", f"use at least {sets_needed(self.alpha)}")


class Magnitude:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[MagnitudeSettings]] = MagnitudeSettings

    @staticmethod
    def score(scored: Scored, settings: MagnitudeSettings) -> pd.DataFrame:
        """Score the wells.

        Returns
        -------
        Rows ``share_active`` (p <= alpha), ``mean_energy_distance`` and ``share_active_bh`` (after Benjamini and
        Hochberg); without a value, and with the reason, where no perturbation can be measured.

        Raises
        ------
        PlatemaeError
            When there are no wells, or they lack a column.
        """
        wells = _Wells.of(scored, settings)
        if not wells.groups:
            facts = {**wells.facts, "reason": wells.reason}
            return score_table(ScoreRow(BENCHMARK, "controls", metric, detail=facts) for metric in METRICS)
        table = wells.measure(np.ones(scored.wells.n_obs, dtype=np.int64))
        rows = list(
            _rows(table.dropna(), settings, {**wells.facts, "mean_with_self_pairs": wells.with_self_pairs(table)})
        )
        plates = plate_interval(
            scored, lambda weight_N: _numbers(wells.measure(weight_N).dropna(), settings.alpha),
            settings.n_plate_bootstrap, settings.seed,
        )  # fmt: skip
        return score_table(plates.into(row, place) for place, row in enumerate(rows))


@dataclass(frozen=True, eq=False)
class _Wells:
    """Everything that does not change with the weights of plates.

    Parameters
    ----------
    place
        (N,) positions of the wells in ``scored.wells``.
    controls
        (M,) the controls among them.
    between
        (M, M) distances of the controls.
    sums
        (N, Q) summed distances to the controls of each plate that has some.
    first
        (Q,) a control of each such plate.
    groups
        Perturbations by number of wells.
    facts
        Counts for ``detail``.
    """

    place: IntArray
    controls: IntArray
    between: FloatArray
    sums: FloatArray
    first: IntArray
    groups: list[SizeGroup]
    facts: dict[str, Any]

    @classmethod
    def of(cls, scored: Scored, settings: MagnitudeSettings) -> _Wells:
        wells = Replicates.of(scored)
        x_ND = np.asarray(wells.x, dtype=np.float64)
        finite_N = np.asarray(np.isfinite(x_ND).all(axis=1))
        rng = np.random.default_rng(settings.seed)
        every = np.flatnonzero(finite_N & (wells.control != ""))
        drawn = rng.choice(every, settings.max_controls, replace=False) if len(every) > settings.max_controls else every
        controls = np.sort(drawn).astype(np.int64)
        x_ND = np.where(finite_N[:, None], x_ND, 0.0) - (x_ND[controls].mean(axis=0) if len(controls) else 0.0)
        members, facts = _members(wells, finite_N, len(controls), settings)
        facts |= {"n_controls": len(controls), "n_controls_left": len(every) - len(controls)}
        facts |= {"n_not_finite": int((~finite_N).sum()), "min_wells": settings.min_wells}
        plate_M = scored.wells.obs["Metadata_Plate"].astype(str).to_numpy()[wells.place][controls]
        _, first, code_M = np.unique(plate_M, return_index=True, return_inverse=True)
        on_QM = (np.arange(len(first))[:, None] == code_M.ravel()).astype(np.float64)
        between_MM = distances(x_ND[controls], x_ND[controls])
        np.fill_diagonal(between_MM, 0)
        sums_NQ = mean_to_controls(x_ND, x_ND[controls], on_QM)
        groups = list(_groups(x_ND, members, len(controls), settings))
        return cls(wells.place, controls, between_MM, sums_NQ, controls[first], groups, facts)

    @property
    def reason(self) -> str:
        """Why nothing can be measured."""
        least, crowded = self.facts["min_wells"], self.facts["n_with_too_many_wells"]
        if crowded and len(self.controls) >= 2 * least:
            most = f"half of the {len(self.controls)} controls, or than {MOST_WELLS}"
            return f"{crowded} perturbations have more wells than {most}; no other has {least}"
        return f"no perturbation has {least} wells and {2 * least} control wells beside ({len(self.controls)} controls)"

    def measure(self, weight_N: IntArray) -> pd.DataFrame:
        """Return energy distance and p by perturbation, wells weighted, NaN where there is none."""
        weight_N = weight_N[self.place]
        reference = Reference(self.between, weight_N[self.controls].astype(np.float64))
        with np.errstate(invalid="ignore"):
            to_N = self.sums @ weight_N[self.first] / reference.weight.sum()
        parts = [group.measure(reference, to_N, weight_N) for group in self.groups]
        names = [name for group in self.groups for name in group.names]
        energy_P, p_P = (np.concatenate(column) for column in zip(*parts, strict=True))
        return pd.DataFrame({"energy": energy_P, "p": p_P}, index=names)

    def with_self_pairs(self, table: pd.DataFrame) -> float:
        """Return the mean energy distance when a well's distance 0 to itself counts as a pair."""
        more = Reference(self.between, np.ones(len(self.controls))).inner() / len(self.controls)
        own = [(g.within.sum(axis=(1, 2)) / (k * k * (k - 1))) for g in self.groups for k in [g.wells.shape[1]]]
        return float((table["energy"].to_numpy() + np.concatenate(own) + more).mean())


def _members(
    wells: Replicates, finite_N: Any, n_controls: int, settings: MagnitudeSettings
) -> tuple[dict[str, IntArray], dict[str, Any]]:
    """Return the wells of each perturbation that can be measured, and count the others."""
    labels = set(wells.label[wells.label != ""].astype(str))
    found = member_wells(wells.label, finite_N, settings.min_wells)
    most = min(MOST_WELLS, n_controls // 2)
    crowded = [name for name, own in found.items() if len(own) > most]
    facts: dict[str, Any] = {"n_dropped": len(labels) - len(found) + len(crowded)}
    facts["dropped_because"] = f"fewer than {settings.min_wells} finite wells, or more than {most}"
    facts["n_with_too_many_wells"] = len(crowded)
    facts["with_too_many_wells"] = crowded[:_SHOWN]
    return {name: own for name, own in found.items() if len(own) <= most}, facts


def _groups(
    x_ND: FloatArray, members: dict[str, IntArray], n_controls: int, settings: MagnitudeSettings
) -> Iterator[SizeGroup]:
    """Yield perturbations by number of wells; random sets depend on it and the seed alone."""
    for size in sorted({len(own) for own in members.values()}):
        names = [name for name in sorted(members) if len(members[name]) == size]
        wells_SK = np.stack([members[name] for name in names])
        rng = np.random.default_rng([settings.seed, size])
        null_SK = np.stack([rng.choice(n_controls, size, replace=False) for _ in range(settings.n_null)])
        yield SizeGroup(names, wells_SK, inner_distances(x_ND, wells_SK), null_SK)


def _numbers(measured: pd.DataFrame, alpha: float) -> list[float]:
    """Return the values of the rows."""
    return [float(values.mean()) if len(values) else np.nan for values in _values(measured, alpha)]


def _values(measured: pd.DataFrame, alpha: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what each row is a mean of: active or not, distance, discovered or not."""
    p_P = measured["p"].to_numpy(np.float64)
    found_P = false_discovery_control(p_P) <= alpha if len(p_P) else np.empty(0)
    hits_P = (p_P <= alpha).astype(np.float64)
    return hits_P, measured["energy"].to_numpy(np.float64), np.asarray(found_P, dtype=np.float64)


def _rows(measured: pd.DataFrame, settings: MagnitudeSettings, detail: dict[str, Any]) -> Iterator[ScoreRow]:
    chances = (settings.alpha, 0.0, 0.0)
    for metric, values_P, chance in zip(METRICS, _values(measured, settings.alpha), chances, strict=True):
        interval = share_interval if metric.startswith("share_") else mean_interval
        low, high = interval(values_P, settings.n_bootstrap, settings.seed)
        shown: dict[str, Any] = {"value": float(values_P.mean()), "ci_low": low, "ci_high": high, "chance": chance}
        shown["detail"] = {**detail, **interval_facts(len(values_P))}
        shown["threshold"] = np.nan if metric == METRICS[1] else settings.alpha
        yield ScoreRow(BENCHMARK, "controls", metric, n=len(values_P), **shown)
