"""How steadily a training went: gradient norms, loss spikes, divergence.

Read from the rows of its history, each of which covers a few steps (``TrainSettings.log_every``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

WINDOW, LEAST, MADS = 50, 5, 6.0
"""A spike lies ``MADS`` deviations above the median of up to ``WINDOW``, and at least ``LEAST``, rows before."""
_TO_DEVIATION = 1.4826
"""Median absolute deviations of a normal distribution to one standard deviation."""


def stability(history: Sequence[Mapping[str, Any]], diverged_at: int | None = None) -> dict[str, float | int]:
    """Return ``grad_norm_median``, ``grad_norm_max`` (before clipping), ``loss_spikes``; ``diverged_at`` where it did.

    Parameters
    ----------
    history
        Rows of ``training.monitor``; the median is over rows' means, the largest over all steps. Without rows of steps
        there is nothing to say.
    diverged_at
        Steps that were taken before the loss was no longer finite; None where it stayed finite.
    """
    found: dict[str, float | int] = {} if diverged_at is None else {"diverged_at": diverged_at}
    rows = [row for row in history if row.get("grad_norm_max") is not None]
    if not rows:
        return found
    return {
        "grad_norm_median": float(np.median([row["grad_norm"] for row in rows])),
        "grad_norm_max": float(max(row["grad_norm_max"] for row in rows)),
        "loss_spikes": count_spikes([row["loss_max"] for row in rows]),
    } | found


def count_spikes(losses: Sequence[float]) -> int:
    """Count the loss spikes of a series: rows far above those before them, neighbours as one.

    A row counts whose largest loss of a step exceeds median + 6 MAD (scaled to a standard deviation) of the same
    numbers of the 50 rows before it, 5 at least. A loss that falls lies below its past, so a fast start is no spike.

    Parameters
    ----------
    losses
        The largest loss of a step in each row.
    """
    values, count, before = np.asarray(losses, dtype=np.float64), 0, False
    for place in range(LEAST, len(values)):
        past = values[max(0, place - WINDOW) : place]
        median = np.median(past)
        high = bool(values[place] > median + MADS * _TO_DEVIATION * np.median(np.abs(past - median)))
        count += high and not before
        before = high
    return count
