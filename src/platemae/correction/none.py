"""No correction: the row that every other one is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from platemae.correction.base import FitCounts, apply_affine
from platemae.correction.control_stats import ControlStats
from platemae.correction.saved import SavedBasis


@dataclass(frozen=True)
class NoSettings:
    """Nothing to set."""


@dataclass(frozen=True)
class NoCorrection(SavedBasis):
    """Embeddings as they are; needs no control well.

    Parameters
    ----------
    dims
        Width D of the embeddings.
    counts
        Controls, plates and units seen, for the facts.
    """

    kind: ClassVar[str] = "none"
    Settings: ClassVar[type[NoSettings]] = NoSettings
    axes_of: ClassVar[Mapping[str, str]] = {}

    dims: int
    counts: FitCounts

    @classmethod
    def fit(cls, stats_by_plate: Mapping[str, ControlStats], batch_of: Mapping[str, str], settings: NoSettings) -> Self:
        """Remember the width of the embeddings alone."""
        units = {batch_of.get(plate, plate) for plate in stats_by_plate}
        dims, n = 0, 0
        for stats in stats_by_plate.values():
            dims, n = stats.dims, n + stats.n
        return cls(dims, FitCounts(n, len(stats_by_plate), len(units)))

    def transform(
        self,
        x_ND: npt.NDArray[Any],
        batch_stats: ControlStats,
        labels: Sequence[str] | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> npt.NDArray[Any]:
        """Return (N, D) unchanged.

        Raises
        ------
        InputError, ContractError
            If a value is not finite, or the width differs.
        """
        return apply_affine(x_ND, np.zeros(self.dims), np.ones(self.dims), labels, batch_stats.unit, dtype)

    def facts(self) -> dict[str, Any]:
        """Tell that nothing is done."""
        return {"kind": "none", **asdict(self.counts), "dims": self.dims, "components": self.dims, "steps": []}

    def batch_facts(self, batch_stats: ControlStats) -> dict[str, Any]:
        """Tell the unit's controls, which are not used."""
        return {"unit": batch_stats.unit, "n_controls": batch_stats.n, "policy": "none"}
