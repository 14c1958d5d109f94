"""QC rows as the page shows them: fields by verdict, and measures laid out on the plate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.wells import well_place

PASS, WARN, FAIL = "pass", "warn", "fail"
"""Verdicts, as the QC tables have them."""


def with_verdict(qc: pd.DataFrame, verdict: str) -> pd.DataFrame:
    """Return plate, well, field and reason of each field with this verdict, once a field."""
    found = qc[qc["verdict"] == verdict]
    return found[["plate", "well", "field", "reason"]].drop_duplicates(["plate", "well", "field"])


def reason_kind(reason: str) -> str:
    """Return a reason without its numbers: what stands before the colon, of each part."""
    return "; ".join(part.split(":")[0].strip() for part in reason.split(";"))


def layout(values: pd.Series, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return values indexed by well as an array of the plate, NaN where there is no well."""
    plate = np.full(shape, np.nan)
    for well, value in values.items():
        plate[well_place(str(well))] = value
    return plate
