"""Sphering on control wells (whitening of all controls together, as ``pycytominer`` spherizes).

X = U diag(s) V^T are the centred controls, n of them: W = V diag(sqrt(n - 1) / (s + epsilon)) whitens them (PCA), and
W V^T turns the result back to the features (ZCA). With ``_cor`` features are divided by the controls' standard
deviation first. No unit is aligned by a covariance of its own. (Kessy, Lewin, Strimmer 2018, doi
10.1080/00031305.2016.1277159; epsilon on singular values as in pycytominer >= 1.7.1, which centres before the SVD.)

Shapes: N wells, D embedding dimensions, E dimensions after correction, R rank.
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
    check_positive,
    check_varies,
    policy_of,
    pool_controls,
)
from platemae.correction.checks import check_width
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.correction.linalg import RANK_RTOL, numerical_rank, principal_axes
from platemae.correction.saved import SavedBasis

Method = Literal["pca", "zca", "pca_cor", "zca_cor"]


@dataclass(frozen=True)
class SphereSettings:
    """Settings of :class:`Sphere`.

    Parameters
    ----------
    method
        ``pca``: one column a component; ``zca``: one a feature, as near to the feature as whitening allows; ``_cor``:
        of the correlation instead of the covariance.
    epsilon
        Added to the singular values of the centred controls, which grow with the square root of their number.
    center_per_batch
        Subtract the mean of the unit's own controls instead of the mean of all.
    few_controls
        Where ``center_per_batch``, a unit with fewer than two controls: ``error`` stops and names it; ``pool`` and
        ``skip`` centre it by the mean of all.
    """

    method: Method = "zca_cor"
    epsilon: float = 1e-6
    center_per_batch: bool = False
    few_controls: FewControls = "error"

    def __post_init__(self) -> None:
        check_choice(self.method, Method, "method")
        check_choice(self.few_controls, FewControls, "few_controls")
        check_positive(self.epsilon, "epsilon")


@dataclass(frozen=True, eq=False)
class Sphere(SavedBasis):
    """One affine map for all wells.

    Parameters
    ----------
    settings
        As configured.
    mean
        Mean of all controls.
    whiten
        (D, E) map after the mean is taken away.
    values
        (D,) eigenvalues of the controls' covariance or correlation, descending.
    counts
        What these were taken from.
    """

    kind: ClassVar[str] = "sphere"
    Settings: ClassVar[type[SphereSettings]] = SphereSettings
    axes_of: ClassVar[Mapping[str, str]] = {"mean": "D", "whiten": "DE", "values": "D"}

    settings: SphereSettings
    mean: FloatArray
    whiten: FloatArray
    values: FloatArray
    counts: FitCounts

    @classmethod
    def fit(
        cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: SphereSettings
    ) -> Self:
        """Sphere the pooled controls. Directions that they do not span are left out: they would become infinite.

        Raises
        ------
        ConfigError
            As :func:`platemae.correction.base.pool_controls`, and if the controls do not vary at all.
        """
        few = settings.few_controls if settings.center_per_batch else None
        pooled, counts = pool_controls(stats_by_plate, batch_of, few)
        check_varies(pooled)
        std_D = pooled.std
        scale_D = np.where(std_D == 0, 1.0, std_D) if settings.method.endswith("_cor") else np.ones(pooled.dims)
        axes_DR, values_D = principal_axes(pooled.scatter / np.outer(scale_D, scale_D), pooled.n - 1)
        singular_R = np.sqrt(values_D[: axes_DR.shape[1]])
        map_DE = axes_DR * (np.sqrt(pooled.n - 1) / (singular_R + settings.epsilon))
        if settings.method.startswith("zca"):
            map_DE = map_DE @ axes_DR.T
        return cls(settings, pooled.mean, map_DE / scale_D[:, None], values_D / (pooled.n - 1), counts)

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
            If units are centred, this one has too few controls, and the policy is ``error``.
        InputError, ContractError
            If a value is not finite, or the width differs.
        """
        check_width(batch_stats.dims, len(self.mean), batch_stats.unit)
        center_D = batch_stats.mean if self._policy(batch_stats) == "own" else self.mean
        return apply_affine(x_ND, center_D, self.whiten, labels, batch_stats.unit, dtype)

    def _policy(self, batch_stats: ControlStats) -> Policy:
        return policy_of(batch_stats, self.settings.few_controls) if self.settings.center_per_batch else "global"

    def facts(self) -> dict[str, Any]:
        """Tell counts, rank, width and what was done."""
        rank = min(numerical_rank(self.values), self.counts.n_controls - 1)
        shape = {"dims": len(self.mean), "rank": rank, "components": self.whiten.shape[1], "rank_rtol": RANK_RTOL}
        scaled = ["divide by the controls' standard deviation"] if self.settings.method.endswith("_cor") else []
        whose = "the unit's control mean" if self.settings.center_per_batch else "the controls' mean"
        steps = [f"subtract {whose}", *scaled, f"whiten on all controls ({self.settings.method[:3].upper()})"]
        return {"kind": "sphere", **asdict(self.settings), **asdict(self.counts), **shape, "steps": steps}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell controls and policy."""
        return {"unit": batch_stats.unit, "n_controls": batch_stats.n, "policy": self._policy(batch_stats)}
