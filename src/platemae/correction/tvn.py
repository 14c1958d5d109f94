"""Typical variation normalization on control wells, in the order of EFAAR ``tvn_on_controls``.

1. z-score by the moments of all controls; 2. PCA on all controls, every component of the numerical rank kept;
3. z-score of the components on all controls; 4. in every batch unit b, S_b = cov(controls of b, ddof 1) + ridge I
and y <- y S_b^(-1/2). Steps 1 to 3 are one affine map, the basis; step 4 needs the statistics of one unit only.
Its switches: y loses the mean of its unit's controls first; (cov(all controls) + ridge I)^(1/2) recolours it last.
(Ando, McLean, Berndl 2017, doi 10.1101/161422, with CORAL alignment; Celik et al. 2024.)

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
    apply_affine,
    check_choice,
    check_components,
    check_positive,
    check_varies,
    policy_of,
    pool_controls,
)
from platemae.correction.checks import check_width
from platemae.correction.control_stats import ControlStats, FloatArray
from platemae.correction.linalg import RANK_RTOL, InverseRoot, inverse_root, numerical_rank, psd_factor, whitening
from platemae.correction.saved import SavedBasis
from platemae.errors import ConfigError


@dataclass(frozen=True)
class TVNSettings:
    """Settings of :class:`TVN`.

    Parameters
    ----------
    ridge
        Added to the eigenvalues of a unit's control covariance (in pooled control variances). No direction is
        amplified by more than ridge^(-1/2), however few the controls. 0 needs units of full rank.
    n_components
        Components kept, at most the numerical rank; None keeps the numerical rank.
    center_per_batch
        Subtract the mean of the unit's own controls instead of the mean of all (as published: of all).
    recolor
        Multiply by the root of the pooled controls' covariance plus ridge, the second half of CORAL. Step 3 made that
        covariance I n / (n - 1), so this is one number for all units: angles stay, and a unit whose controls are like
        all others keeps its variance instead of being shrunk by 1 + ridge.
    few_controls
        A unit with fewer than two controls: ``error`` stops and names it; ``pool`` aligns it by mean and covariance
        of all controls; ``skip`` leaves step 4 out.
    """

    ridge: float = 0.5
    n_components: int | None = None
    center_per_batch: bool = True
    recolor: bool = False
    few_controls: FewControls = "error"

    def __post_init__(self) -> None:
        check_choice(self.few_controls, FewControls, "few_controls")
        check_positive(self.ridge, "ridge")
        check_components(self.n_components)


@dataclass(frozen=True, eq=False)
class TVN(SavedBasis):
    """The basis of steps 1 to 3; :meth:`transform` adds step 4.

    Parameters
    ----------
    settings
        As configured.
    mean, scale
        Moments of all controls (a zero deviation counts as 1).
    whiten
        Whitening of the scaled embeddings.
    values
        Eigenvalues of the controls' correlation, descending.
    counts
        What these were taken from.
    """

    kind: ClassVar[str] = "tvn"
    Settings: ClassVar[type[TVNSettings]] = TVNSettings
    axes_of: ClassVar[Mapping[str, str]] = {"mean": "D", "scale": "D", "whiten": "DE", "values": "D"}

    settings: TVNSettings
    mean: FloatArray
    scale: FloatArray
    whiten: FloatArray
    values: FloatArray
    counts: FitCounts

    @classmethod
    def fit(
        cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: TVNSettings
    ) -> Self:
        """Whiten the pooled controls.

        Raises
        ------
        ConfigError
            As :func:`platemae.correction.base.pool_controls`, and if the controls do not vary at all.
        """
        pooled, counts = pool_controls(stats_by_plate, batch_of, settings.few_controls)
        check_varies(pooled)
        std_D = pooled.std
        scale_D = np.where(std_D == 0, 1.0, std_D)
        # A feature constant up to rounding keeps that rounding in its scatter: the rank leaves it out.
        corr_DD = pooled.scatter / (pooled.n * np.outer(scale_D, scale_D))
        limit = pooled.n - 1 if settings.n_components is None else min(settings.n_components, pooled.n - 1)
        whiten_DE, values_D = whitening(corr_DD, limit)
        return cls(settings, pooled.mean, scale_D, whiten_DE, values_D, counts)

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
            If the unit has too few controls and the policy is ``error``, or is of low rank and the ridge is 0.
        InputError, ContractError
            If a value is not finite, or the width differs.
        """
        check_width(batch_stats.dims, len(self.mean), batch_stats.unit)
        center_D, map_DE = self._affine(batch_stats)
        return apply_affine(x_ND, center_D, map_DE, labels, batch_stats.unit, dtype)

    def _affine(self, batch_stats: ControlStats) -> tuple[FloatArray, FloatArray]:
        policy = policy_of(batch_stats, self.settings.few_controls)
        unscale_D1 = 1 / self.scale[:, None]
        if policy == "own":
            center_D = batch_stats.mean if self.settings.center_per_batch else self.mean
            return center_D, self._root(batch_stats).after(self.whiten) * unscale_D1 * self._color()
        if policy == "skip":
            return self.mean, self.whiten * unscale_D1
        return self.mean, self.whiten * unscale_D1 * (self._color() / self._pooled_root())

    def _pooled_root(self) -> float:
        """Root of covariance plus ridge of all controls: I n / (n - 1) (ddof 1) after step 3, whatever they were."""
        n = self.counts.n_controls
        return float(np.sqrt(n / (n - 1) + self.settings.ridge))

    def _color(self) -> float:
        return self._pooled_root() if self.settings.recolor else 1.0

    def _root(self, batch_stats: ControlStats) -> InverseRoot:
        unscale_D = 1 / self.scale
        scaled_DD = batch_stats.scatter * unscale_D[:, None] * unscale_D
        factor_DR = psd_factor(scaled_DD, batch_stats.n - 1) / np.sqrt(batch_stats.n - 1)
        try:
            return inverse_root(self.whiten.T @ factor_DR, self.settings.ridge)
        except np.linalg.LinAlgError as error:
            what = f"the covariance of {batch_stats.n} controls cannot be inverted with ridge 0: {error}"
            remedy = "set a positive ridge or fewer n_components"
            raise ConfigError(what, f"batch unit {batch_stats.unit}", remedy) from error

    def facts(self) -> dict[str, Any]:
        """Tell counts, rank, ridge, components and what was done."""
        rank = min(numerical_rank(self.values), self.counts.n_controls - 1)
        shape = {"dims": len(self.mean), "rank": rank, "components": self.whiten.shape[1], "rank_rtol": RANK_RTOL}
        steps = ["z-score on all controls", "PCA on all controls", "z-score of the components on all controls"]
        center = ["subtract the unit's control mean"] if self.settings.center_per_batch else []
        align = [f"multiply by (unit's control covariance + {self.settings.ridge} I)^(-1/2)"]
        align += ["multiply by (all controls' covariance + ridge I)^(1/2)"] if self.settings.recolor else []
        settings = {**asdict(self.settings), "n_components_requested": self.settings.n_components}
        del settings["n_components"]
        return {"kind": "tvn", **settings, **asdict(self.counts), **shape, "steps": steps + center + align}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell the unit's controls, the rank of their covariance, ridge and policy."""
        policy = policy_of(batch_stats, self.settings.few_controls)
        rank = self._root(batch_stats).rank if policy == "own" else 0
        facts = {"unit": batch_stats.unit, "n_controls": batch_stats.n, "rank": rank}
        return {**facts, "ridge": self.settings.ridge, "policy": policy}
