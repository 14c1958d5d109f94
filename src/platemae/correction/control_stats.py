"""Sufficient statistics of control wells: all that a correction learns from.

Shapes: N wells, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from platemae.correction.checks import BLOCK, check_finite_rows, check_width
from platemae.correction.npz import load_npz, save_npz
from platemae.errors import ContractError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ControlStats:
    """Count, mean and scatter of the control wells of a plate, a batch or a run.

    Parameters
    ----------
    n
        Number of control wells, 0 included.
    mean
        (D,) mean; zeros where ``n`` is 0.
    scatter
        (D, D) sum of outer products of the deviations from the mean.
    unit
        Name of the plate or batch, for messages.
    """

    n: int
    mean: FloatArray
    scatter: FloatArray
    unit: str = ""

    @property
    def dims(self) -> int:
        """Number of embedding dimensions D."""
        return len(self.mean)

    @property
    def std(self) -> FloatArray:
        """(D,) population standard deviation (ddof 0), exactly 0 for a feature that is constant up to rounding.

        The rounding bound is that of scikit-learn's StandardScaler: var <= n eps var + (n mean eps)^2.
        """
        eps, n = np.finfo(np.float64).eps, max(self.n, 1)
        var_D = np.diag(self.scatter) / n
        constant_D = var_D <= n * eps * var_D + (n * self.mean * eps) ** 2
        return np.where(constant_D, 0.0, np.sqrt(np.maximum(var_D, 0.0)))

    @classmethod
    def from_rows(cls, x_ND: npt.NDArray[Any], unit: str = "", labels: Sequence[str] | None = None) -> ControlStats:
        """Summarise control wells in float64, by two passes over each block of rows.

        Parameters
        ----------
        x_ND
            (N, D) one row a control well; N may be 0.
        unit
            Name of the plate.
        labels
            Names of the rows, for messages.

        Raises
        ------
        InputError
            If a value is not finite.
        """
        check_finite_rows(x_ND, labels, unit)
        if not len(x_ND):
            return cls.empty(x_ND.shape[1], unit)
        return cls.merge((cls._of_block(x_ND[i : i + BLOCK], unit) for i in range(0, len(x_ND), BLOCK)), unit)

    @classmethod
    def _of_block(cls, x_BD: npt.NDArray[Any], unit: str) -> ControlStats:
        rows_BD = np.asarray(x_BD, dtype=np.float64)
        mean_D = rows_BD.mean(axis=0)
        dev_BD = rows_BD - mean_D
        return cls(len(rows_BD), mean_D, dev_BD.T @ dev_BD, unit)

    @classmethod
    def empty(cls, dims: int, unit: str = "") -> ControlStats:
        """Statistics of no control well at all."""
        return cls(0, np.zeros(dims), np.zeros((dims, dims)), unit)

    @classmethod
    def merge(cls, parts: Iterable[ControlStats], unit: str = "") -> ControlStats:
        """Statistics of the union of disjoint sets of wells, one part in memory at a time.

        Exact up to rounding: S = S_a + S_b + n_a n_b / n (m_b - m_a)(m_b - m_a)^T (Chan, Golub, LeVeque 1979).

        Parameters
        ----------
        parts
            Statistics of the plates; any order.
        unit
            Name of the union.

        Raises
        ------
        ContractError
            If there is no part, or if widths differ.
        """
        n, mean_D, scatter_DD = 0, np.zeros(0), np.zeros((0, 0))
        for part in parts:
            if len(mean_D):
                check_width(part.dims, len(mean_D), part.unit)
            if not n:
                n, mean_D, scatter_DD = part.n, part.mean, part.scatter.copy()
            elif part.n:
                total, delta_D = n + part.n, part.mean - mean_D
                scatter_DD += part.scatter + np.outer(delta_D, delta_D * (n * part.n / total))
                mean_D = mean_D + delta_D * (part.n / total)
                n = total
        if not len(mean_D):
            raise ContractError("no control statistics to merge", unit, "run summarize_controls for its plates")
        return cls(n, mean_D, scatter_DD, unit)

    def save(self, path: Path) -> None:
        """Write to an npz file, whole or not at all."""
        save_npz(path, {"n": np.array(self.n), "mean": self.mean, "scatter": self.scatter}, {"unit": self.unit})

    @classmethod
    def load(cls, path: Path) -> ControlStats:
        """Read what :meth:`save` wrote.

        Raises
        ------
        MissingError, ContractError
            If the file is gone or not whole.
        """
        arrays, meta = load_npz(path, ("n", "mean", "scatter"))
        return cls(int(arrays["n"]), arrays["mean"], arrays["scatter"], str(meta["unit"]))
