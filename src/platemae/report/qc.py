"""QC rows as the page shows them: fields by verdict, and measures laid out on the plate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.layout import MANIFESTS
from platemae.report.origin import Cell, counted
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


def failed_share(plate: str, counts: Mapping[str, Any]) -> tuple[float, Cell]:
    """Return which share of a plate's fields failed, and its text; wells that the layout calls empty are left out.

    Parameters
    ----------
    plate, counts
        Its name and the counts of qc_plate.
    """
    used = ("failed", "failed_in_empty_wells", "fields", "fields_in_empty_wells")
    failed, aside, fields, empty = (counts.get(name, 0) for name in used)
    if fields <= empty:
        return 0.0, Cell("")
    share, made = (failed - aside) / (fields - empty), MANIFESTS["qc_plate"].format(plate=plate)
    if not empty:
        return share, counted(f"{share:.1%}", made, "failed", "fields", how="ratio")
    return share, counted(f"{share:.1%}", made, *used, how="share")
