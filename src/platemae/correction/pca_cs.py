"""PCA-CenterScale (EFAAR ``pca_centerscale_on_controls``, the recipe of RxRx3-core).

1. PCA fitted on all controls, every component of the numerical rank kept, not scaled; 2. in every batch unit the
components are centred and scaled by the unit's own controls (ddof 0). No covariance is aligned.

Shapes: N wells, D embedding dimensions, E components, R rank of a unit's controls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from platemae.correction.base import (
    FewControls,
    FitCounts,
    Policy,
    apply_affine,
    check_choice,
    check_components,
    check_varies,
    policy_of,
    pool_controls,
)
from platemae.correction.checks import check_width
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.correction.linalg import RANK_RTOL, numerical_rank, principal_axes, psd_factor
from platemae.correction.moments import Per
from platemae.correction.saved import SavedBasis


@dataclass(frozen=True)
class PCACSSettings:
    """Settings of :class:`PCACS`.

    Parameters
    ----------
    per
        ``batch``: components are centred and scaled by the controls of the well's own unit; ``global``: by all.
    n_components
        Components kept, at most the numerical rank; None keeps the numerical rank.
    few_controls
        A unit with fewer than two controls: ``error`` stops and names it; ``pool`` takes the moments of all
        controls; ``skip`` leaves out the scaling.
    """

    per: Per = "batch"
    n_components: int | None = None
    few_controls: FewControls = "error"

    def __post_init__(self) -> None:
        check_choice(self.per, Per, "per")
        check_choice(self.few_controls, FewControls, "few_controls")
        check_components(self.n_components)


@dataclass(frozen=True, eq=False)
class PCACS(SavedBasis):
    """The axes of step 1; :meth:`transform` adds step 2.

    Parameters
    ----------
    settings
        As configured.
    mean
        Mean of all controls.
    axes
        (D, E) orthonormal principal axes.
    values
        (D,) variances of the pooled controls (ddof 0), descending.
    rank
        Number of directions that the controls span.
    unresolved
        Of these, the number that lies below double precision beside the widest one and is left out.
    counts
        What these were taken from.
    """

    kind: ClassVar[str] = "pca_cs"
    Settings: ClassVar[type[PCACSSettings]] = PCACSSettings
    axes_of: ClassVar[Mapping[str, str]] = {"mean": "D", "axes": "DE", "values": "D"}

    settings: PCACSSettings
    mean: FloatArray
    axes: FloatArray
    values: FloatArray
    rank: int
    unresolved: int
    counts: FitCounts

    @classmethod
    def fit(
        cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: PCACSSettings
    ) -> Self:
        """Find the principal axes of the pooled controls.

        Raises
        ------
        ConfigError
            As :func:`platemae.correction.base.pool_controls`, and if the controls do not vary at all.
        """
        pooled, counts = pool_controls(
            stats_by_plate, batch_of, settings.few_controls if settings.per == "batch" else None
        )
        check_varies(pooled)
        # Features of unlike units spread the eigenvalues over many decades without being of low rank: how many
        # directions there are is told by the correlation, which knows no units.
        scale_D = np.where(pooled.std == 0, 1.0, pooled.std)
        rank = numerical_rank(np.linalg.eigvalsh(pooled.scatter / np.outer(scale_D, scale_D)))
        rtol = pooled.dims * np.finfo(np.float64).eps
        rank = min(rank, pooled.n - 1)
        axes_DE, values_D = principal_axes(pooled.scatter / pooled.n, rank, rtol)
        return cls(
            settings, pooled.mean, axes_DE[:, : settings.n_components], values_D, rank, rank - axes_DE.shape[1], counts
        )

    def transform(
        self,
        x_ND: npt.NDArray[Any],
        batch_stats: ControlStats,
        labels: Sequence[str] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]:
        """Map the wells (N, D) of one batch unit to (N, E).

        Raises
        ------
        ConfigError
            If the unit has too few controls and the policy is ``error``.
        InputError, ContractError
            If a value is not finite, or the width differs.
        """
        check_width(batch_stats.dims, len(self.mean), batch_stats.unit)
        center_D = batch_stats.mean if self._policy(batch_stats) == "own" else self.mean
        return apply_affine(x_ND, center_D, self.axes / self._scale(batch_stats)[0], labels, batch_stats.unit, dtype)

    def _policy(self, batch_stats: ControlStats) -> Policy:
        return "global" if self.settings.per == "global" else policy_of(batch_stats, self.settings.few_controls)

    def _scale(self, batch_stats: ControlStats) -> tuple[FloatArray, int]:
        """Return the deviation of each component, and how many of them are constant in the unit.

        Such a component keeps the deviation of all controls: with 1 in its place it would outweigh all others.
        """
        pooled_E = np.sqrt(self.values[: self.axes.shape[1]])
        policy = self._policy(batch_stats)
        if policy != "own":
            return (np.ones_like(pooled_E) if policy == "skip" else pooled_E), 0
        factor_DR = psd_factor(batch_stats.scatter, batch_stats.n - 1)
        var_E = ((self.axes.T @ factor_DR) ** 2).sum(axis=1) / batch_stats.n
        constant_E = var_E <= RANK_RTOL * pooled_E**2
        return np.where(constant_E, pooled_E, np.sqrt(var_E)), int(constant_E.sum())

    def facts(self) -> dict[str, Any]:
        """Tell counts, rank, components and what was done."""
        width = {"components": self.axes.shape[1], "unresolved": self.unresolved}
        shape = {"dims": len(self.mean), "rank": self.rank, **width, "rank_rtol": RANK_RTOL}
        whose = "all controls" if self.settings.per == "global" else "the unit's controls"
        settings = {**asdict(self.settings), "n_components_requested": self.settings.n_components}
        del settings["n_components"]
        steps = ["PCA on all controls", f"z-score of the components on {whose}"]
        return {"kind": "pca_cs", **settings, **asdict(self.counts), **shape, "steps": steps}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell controls, components constant in the unit, and policy."""
        facts = {"unit": batch_stats.unit, "n_controls": batch_stats.n, "policy": self._policy(batch_stats)}
        return {**facts, "constant_components": self._scale(batch_stats)[1]}
