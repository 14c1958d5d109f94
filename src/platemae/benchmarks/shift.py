"""How far each plate stands apart: the offset of its wells and their spread, after a correction.

The same measure under every correction, ``none`` among them, is what a correction did to each plate. It looks at the
corrected wells themselves, so it holds for any kind of correction and needs nothing of how one was fitted.

Shapes: N wells, D dimensions, Q plates.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.wells import EMPTY, NEGCON
from platemae.contracts import SHIFT_COLUMNS

FloatArray = npt.NDArray[np.float64]

WELLS = "wells"
"""Source of all wells but empty ones; ``negcon`` are the negative controls among them."""

RESOLUTION = float(np.finfo(np.float32).eps)
"""A feature that varies within plates by less than this share of its mean is constant up to rounding."""


def plate_shifts(x_ND: npt.NDArray[np.floating], obs: pd.DataFrame) -> pd.DataFrame:
    """Measure offset and spread of every plate, on negative controls and on all wells but empty ones.

    With n_q wells and mean m_q on plate q, m the mean of all N wells of Q plates, and the variance within plates
    w_d^2 = sum_q sum_{i in q} (x_id - m_qd)^2 / (N - Q):

    - ``shift`` = sqrt(mean_d (m_qd - m_d)^2 / w_d^2), in standard deviations within plates;
    - ``chance`` = sqrt(1 / n_q - 1 / N), the root of its expected square where plates do not differ: few wells have an
      uncertain mean;
    - ``spread`` = sqrt(mean_d s_qd^2 / w_d^2), s_q^2 the plate's own variance (ddof 1); 1 where plates spread alike.

    Features that are constant within plates are left out, and so are wells that are not finite.

    Parameters
    ----------
    x_ND
        (N, D) corrected wells of all plates.
    obs
        Their ``Metadata_Plate`` and ``Metadata_Control_Type``.

    Returns
    -------
    ``SHIFT_COLUMNS``, a row a source and plate. Numbers are missing where fewer than two plates have wells, where no
    plate has two, and of a plate without wells; the spread also of a plate with one.
    """
    plate_N, plates = pd.factorize(obs["Metadata_Plate"].astype(str).to_numpy(), sort=True)
    kind_N = obs["Metadata_Control_Type"].astype(str).to_numpy()
    tables = []
    for source, kept_N in ((NEGCON, kind_N == NEGCON), (WELLS, kind_N != EMPTY)):
        n_Q, mean_QD, scatter_QD = _moments(x_ND, np.where(kept_N, plate_N, -1), len(plates))
        tables.append(_shifts(n_Q, mean_QD, scatter_QD).assign(plate=plates, source=source))
    return pd.concat(tables, ignore_index=True)[list(SHIFT_COLUMNS)]


def _moments(
    x_ND: npt.NDArray[np.floating], plate_N: npt.NDArray[np.int64], n_plates: int
) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray]:
    """Return count, mean and sum of squared deviations a plate, one plate in float64 at a time; -1 is no plate."""
    ends = np.cumsum(np.bincount(plate_N + 1, minlength=n_plates + 1))
    order_N = np.argsort(plate_N, kind="stable")
    n_Q = np.zeros(n_plates, dtype=np.int64)
    mean_QD, scatter_QD = np.zeros((2, n_plates, x_ND.shape[1]))
    for plate in range(n_plates):
        own_ND = np.asarray(x_ND[order_N[ends[plate] : ends[plate + 1]]], dtype=np.float64)
        own_ND = own_ND[np.isfinite(own_ND).all(axis=1)]
        n_Q[plate] = len(own_ND)
        if len(own_ND):
            mean_QD[plate] = own_ND.mean(axis=0)
            scatter_QD[plate] = ((own_ND - mean_QD[plate]) ** 2).sum(axis=0)
    return n_Q, mean_QD, scatter_QD


def _shifts(n_Q: npt.NDArray[np.int64], mean_QD: FloatArray, scatter_QD: FloatArray) -> pd.DataFrame:
    n_wells, n_plates = int(n_Q.sum()), int((n_Q > 0).sum())
    missing_Q = np.full(len(n_Q), np.nan)
    table = pd.DataFrame({"n": n_Q, "shift": missing_Q, "chance": missing_Q, "spread": missing_Q})
    if n_plates < 2 or n_wells == n_plates:
        return table
    mean_D = (n_Q[:, None] * mean_QD).sum(axis=0) / n_wells
    within_D = np.sqrt(scatter_QD.sum(axis=0) / (n_wells - n_plates))
    varies_D = within_D > RESOLUTION * np.abs(mean_D)
    if not varies_D.any():
        return table
    held = n_Q > 0
    offset_QD = (mean_QD - mean_D)[:, varies_D] / within_D[varies_D]
    table.loc[held, "shift"] = np.sqrt((offset_QD**2).mean(axis=1))[held]
    table.loc[held, "chance"] = np.sqrt(1 / n_Q[held] - 1 / n_wells)
    held = n_Q > 1
    var_QD = scatter_QD[held][:, varies_D] / (n_Q[held] - 1)[:, None]
    table.loc[held, "spread"] = np.sqrt((var_QD / within_D[varies_D] ** 2).mean(axis=1))
    return table
