"""From measures to a verdict on each field, with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import QC_COLUMNS

PASS, FAIL = "pass", "fail"


def judge(
    measures: pd.DataFrame, limits: Mapping[str, Any], missing: Mapping[tuple[str, str], Sequence[str]]
) -> pd.DataFrame:
    """Return the QC table of a plate.

    Parameters
    ----------
    measures
        A row a field and channel: plate, well, field, channel, and the values of
        :class:`platemae.qc.measures.Measures`.
    limits
        ``min_focus``, ``max_saturation``, ``min_foreground`` of the configuration.
    missing
        Channels without an image, by (well, field).

    Returns
    -------
    Columns ``QC_COLUMNS``. Saturation is the share of pixels at the largest value of the channel on the whole plate:
    the top of the range whatever the depth of the camera. A lone bright pixel is the largest value, too, but a
    negligible share.
    """
    table = measures.copy()
    plate_top = table.groupby("channel")["top"].transform("max")
    clipped = (table["top"] == plate_top) & (plate_top > 0)
    table["saturation"] = table["top_share"].where(clipped, 0.0)
    relative = table["focus"] / _usual_focus(table, limits["min_foreground"])
    found = _findings(table, relative.fillna(0.0), limits)
    reasons = [
        "; ".join([*_gaps(missing.get(place, ())), *found.get(place, [])])
        for place in zip(table["well"], table["field"], strict=True)
    ]
    table["reason"] = reasons
    table["verdict"] = [FAIL if reason else PASS for reason in reasons]
    return table[list(QC_COLUMNS)]


def passed_fields(qc: pd.DataFrame) -> set[tuple[str, str]]:
    """Return (well, field) of the fields that passed."""
    kept = qc[qc["verdict"] == PASS]
    return set(zip(kept["well"], kept["field"], strict=True))


def has_passed(fields: pd.DataFrame, qc: pd.DataFrame) -> np.ndarray:
    """Return for each row of a fields table whether the field passed."""
    passed = passed_fields(qc)
    places = zip(fields["well"], fields["field"], strict=True)
    return np.array([place in passed for place in places], dtype=bool)


def _usual_focus(table: pd.DataFrame, min_foreground: float) -> pd.Series:
    """Return for each row the plate's median focus of its channel, over fields that show something.

    Empty wells have no detail; where they are many, they must not set the standard. The layout is not asked, so that
    editing a label changes no verdict.
    """
    seen = table[table["foreground"] >= min_foreground]
    medians = seen.groupby("channel")["focus"].median()
    return table["channel"].map(medians)


def _findings(
    table: pd.DataFrame, relative_focus: pd.Series, limits: Mapping[str, Any]
) -> dict[tuple[str, str], list[str]]:
    """Return what is wrong with each field, (well, field) -> a sentence a measure that names channels and values.

    Focus is not asked of a channel that shows nothing.
    """
    dark = table["foreground"] < limits["min_foreground"]
    blurred = (relative_focus < limits["min_focus"]) & ~dark
    saturated = table["saturation"] > limits["max_saturation"]
    found: dict[tuple[str, str], list[str]] = {}
    for failed, values, title in (
        (blurred, relative_focus, f"focus below {limits['min_focus']:g} of the plate's median"),
        (saturated, table["saturation"], f"saturation above {limits['max_saturation']:g}"),
        (dark, table["foreground"], f"foreground below {limits['min_foreground']:g}"),
    ):
        named = table.loc[failed, ["well", "field", "channel"]].assign(value=values[failed])
        for (well, field), rows in named.groupby(["well", "field"], sort=False):
            pairs = zip(rows["channel"], rows["value"], strict=True)
            text = ", ".join(f"{channel} {value:.4f}" for channel, value in pairs)
            found.setdefault((str(well), str(field)), []).append(f"{title}: {text}")
    return found


def _gaps(channels: Sequence[str]) -> list[str]:
    return [f"missing image: {', '.join(channels)}"] if channels else []
