"""The wells that a benchmark reads: finite ones, in one order, with their names as text.

Shapes: N wells, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.errors import ContractError

if TYPE_CHECKING:
    from anndata import AnnData

Mask = npt.NDArray[np.bool_]
EMPTY = "empty"
NEGCON = "negcon"
TREATMENT = "treatment"
_ORDER = ("Metadata_Plate", "Metadata_Well", "Metadata_Perturbation")
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Wells:
    """Wells in the order of plate, well and perturbation, so that no result depends on the order of rows.

    Parameters
    ----------
    x_ND
        (N, D) float64, finite.
    obs
        Their columns as text, empty where there is no value; index 0 to N - 1.
    notes
        ``n_not_finite`` and ``not_finite``: what was left out, and names.
    place_N
        (N,) their positions in the table, for weights of plates.
    """

    x_ND: npt.NDArray[np.float64]
    obs: pd.DataFrame
    notes: dict[str, Any]
    place_N: npt.NDArray[np.int64]

    @classmethod
    def of(cls, wells: AnnData, columns: Sequence[str]) -> Wells:
        """Take the finite wells of a table.

        Parameters
        ----------
        wells
            Corrected wells.
        columns
            Columns of ``obs`` that the benchmark needs, beside plate and well.

        Raises
        ------
        ContractError
            If a column is not there.
        """
        needed = [*_ORDER[:2], *columns]
        lost = [column for column in dict.fromkeys(needed) if column not in wells.obs]
        if lost:
            raise ContractError(f"no column {', '.join(lost)}", "corrected wells, obs", "run correct_plate again")
        kept = [*dict.fromkeys([*needed, *(column for column in _ORDER if column in wells.obs)])]
        obs = pd.DataFrame({column: text_of(wells.obs[column]) for column in kept})
        by = [column for column in _ORDER if column in obs]
        order_N = obs.sort_values(by, kind="stable").index.to_numpy(np.int64)
        x_ND = np.asarray(wells.X, dtype=np.float64)[order_N]
        obs = obs.iloc[order_N]
        finite_N: Mask = np.asarray(np.isfinite(x_ND).all(axis=1))
        bad = obs[~finite_N]
        names = (bad["Metadata_Plate"] + ":" + bad["Metadata_Well"]).tolist()
        notes = {"n_not_finite": len(bad), "not_finite": names[:_SHOWN]}
        return cls(x_ND[finite_N], obs[finite_N].reset_index(drop=True), notes, order_N[finite_N])

    def only(self, kept_N: Mask) -> Wells:
        """Return some of the wells."""
        obs = self.obs[kept_N].reset_index(drop=True)
        return Wells(self.x_ND[kept_N], obs, self.notes, self.place_N[kept_N])


def text_of(column: pd.Series) -> npt.NDArray[np.object_]:
    """Return a column as text without spaces around it, empty where there is no value."""
    values = column.astype(object)
    stripped = values.where(values.notna(), "").astype(str).str.strip()
    return np.asarray(stripped, dtype=object)
