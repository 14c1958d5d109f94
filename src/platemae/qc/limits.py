"""Where a warning begins: limits from the configuration, or from the plate's own spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

WATCHED = ("focus", "saturation", "background", "foreground", "mean", "slope", "laplacian", "zeros", "cells")
"""Measures that can have warn limits; ``cells`` belongs to the field, the others to a channel."""

LEAST_FIELDS = 12
"""Fields a channel below which a plate's spread says nothing about what is unusual."""

TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""

Limits = dict[tuple[str, str], tuple[float, float]]
"""(measure, channel) -> lowest and highest value without a warning; the channel of ``cells`` is empty."""


def robust_deviation(values: np.ndarray) -> float:
    """Return the median absolute deviation, scaled to the standard deviation of a normal distribution."""
    return float(np.median(np.abs(values - np.median(values)))) * TO_DEVIATION


def warn_limits(sound: pd.DataFrame, settings: Mapping[str, Any]) -> Limits:
    """Return the warn limits of a plate.

    Parameters
    ----------
    sound
        QC rows of the fields that did not fail.
    settings
        ``limits`` (robust or fixed), ``mads`` and ``warn`` of the configuration.

    Returns
    -------
    Robust limits are the plate's median of the channel and ``mads`` deviations to both sides. A plate's job sees its
    own plate alone, and so plates do not wait for each other. What does not vary, or is known of fewer than
    ``LEAST_FIELDS`` fields, has no limit.
    """
    columns = _columns(sound)
    if settings["limits"] == "fixed":
        return {(m, c): _open_ended(settings["warn"][m]) for m, c, _ in columns if m in settings["warn"]}
    return {
        (measure, channel): _around(values, settings["mads"])
        for measure, channel, values in columns
        if len(values) >= LEAST_FIELDS and robust_deviation(values) > 0
    }


def _around(values: np.ndarray, mads: float) -> tuple[float, float]:
    middle, width = float(np.median(values)), mads * robust_deviation(values)
    return middle - width, middle + width


def _open_ended(ends: Sequence[float | None]) -> tuple[float, float]:
    low, high = ends
    return -np.inf if low is None else low, np.inf if high is None else high


def unusual(sound: pd.DataFrame, limits: Limits) -> dict[tuple[str, str], list[str]]:
    """Return what lies beyond the warn limits, (well, field) -> a sentence a measure that names channels and values."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for (measure, channel), (low, high) in limits.items():
        rows = sound[sound["channel"] == channel] if channel else _per_field(sound)
        beyond = rows[(rows[measure] < low) | (rows[measure] > high)]
        for well, field, value in zip(beyond["well"], beyond["field"], beyond[measure], strict=True):
            text = f"{channel} {value:.4g} ({low:.4g} to {high:.4g})".strip()
            found.setdefault((str(well), str(field)), {}).setdefault(measure, []).append(text)
    return {
        place: [f"{measure} unusual: {', '.join(texts)}" for measure, texts in measures.items()]
        for place, measures in found.items()
    }


def _per_field(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop_duplicates(["well", "field"])


def _columns(sound: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """Return measure, channel and the known values of each column that can have limits."""
    columns = [
        (measure, str(channel), rows[measure].dropna().to_numpy())
        for measure in WATCHED
        if measure != "cells"
        for channel, rows in sound.groupby("channel", sort=False)
    ]
    return [*columns, ("cells", "", _per_field(sound)["cells"].dropna().to_numpy())]
