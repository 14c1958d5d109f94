"""Corrections by mean and standard deviation alone: what ``center`` and ``centerscale`` share.

Shapes: N wells, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from platemae.correction.base import (
    FewControls,
    FitCounts,
    Policy,
    apply_affine,
    check_choice,
    policy_of,
    pool_controls,
)
from platemae.correction.checks import check_width
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.correction.saved import SavedBasis

Per = Literal["batch", "global"]


@dataclass(frozen=True)
class MomentSettings:
    """Settings of :class:`MomentCorrection`.

    Parameters
    ----------
    per
        ``batch``: moments of the controls of the well's own batch unit; ``global``: of all controls.
    few_controls
        A unit with fewer than two controls: ``error`` stops and names it; ``pool`` takes the moments of all
        controls; ``skip`` leaves its wells as they are.
    """

    per: Per = "batch"
    few_controls: FewControls = "error"

    def __post_init__(self) -> None:
        check_choice(self.per, Per, "per")
        check_choice(self.few_controls, FewControls, "few_controls")


@dataclass(frozen=True, eq=False)
class MomentCorrection(SavedBasis):
    """x <- (x - mean of controls) / scale, with the scale of the subclass.

    Parameters
    ----------
    settings
        As configured.
    mean, std
        Moments of all control wells of the fit plates (ddof 0).
    counts
        What these were taken from.
    """

    kind: ClassVar[str]
    scales: ClassVar[bool]
    """Whether to divide by the standard deviation; a zero deviation counts as 1."""
    Settings: ClassVar[type[MomentSettings]] = MomentSettings
    axes_of: ClassVar[Mapping[str, str]] = {"mean": "D", "std": "D"}

    settings: MomentSettings
    mean: FloatArray
    std: FloatArray
    counts: FitCounts

    @classmethod
    def fit(
        cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: MomentSettings
    ) -> Self:
        """Pool the controls and check the units.

        Raises
        ------
        ConfigError
            As :func:`platemae.correction.base.pool_controls`.
        """
        few = settings.few_controls if settings.per == "batch" else None
        pooled, counts = pool_controls(stats_by_plate, batch_of, few)
        return cls(settings, pooled.mean, pooled.std, counts)

    def transform(
        self,
        x_ND: npt.NDArray[Any],
        batch_stats: ControlStats,
        labels: Sequence[str] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]:
        """Centre, and maybe scale, the wells (N, D) of one batch unit.

        Raises
        ------
        ConfigError
            If the unit has too few controls and the policy is ``error``.
        InputError, ContractError
            If a value is not finite, or the width differs.
        """
        check_width(batch_stats.dims, len(self.mean), batch_stats.unit)
        mean_D, std_D = self._moments(batch_stats)
        scale_D = np.where(std_D == 0, 1, std_D) if self.scales else np.ones_like(std_D)
        return apply_affine(x_ND, mean_D, 1 / scale_D, labels, batch_stats.unit, dtype)

    def _policy(self, batch_stats: ControlStats) -> Policy:
        return "global" if self.settings.per == "global" else policy_of(batch_stats, self.settings.few_controls)

    def _moments(self, batch_stats: ControlStats) -> tuple[FloatArray, FloatArray]:
        policy = self._policy(batch_stats)
        if policy == "own":
            return batch_stats.mean, batch_stats.std
        if policy == "skip":
            return np.zeros_like(self.mean), np.ones_like(self.std)
        return self.mean, self.std

    def facts(self) -> dict[str, Any]:
        """Tell counts, width, constant features and what was done."""
        steps = ["subtract the controls' mean"]
        shape = {"dims": len(self.mean), "components": len(self.mean)}
        if self.scales:
            steps.append("divide by the controls' standard deviation")
            shape["constant_features"] = int((self.std == 0).sum())
        return {"kind": self.kind, **asdict(self.settings), **asdict(self.counts), **shape, "steps": steps}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell controls, features constant in the unit, and policy."""
        _, std_D = self._moments(batch_stats)
        facts = {"unit": batch_stats.unit, "n_controls": batch_stats.n, "policy": self._policy(batch_stats)}
        return {**facts, "constant_features": int((std_D == 0).sum())} if self.scales else facts
