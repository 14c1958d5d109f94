"""Which fields go on: the three verdicts, and what the gate lets pass."""

from __future__ import annotations

import numpy as np
import pandas as pd

PASS, WARN, FAIL = "pass", "warn", "fail"
"""Verdicts of a field: nothing found; beyond a warn limit, and kept; beyond a limit, and left out by most gates."""


def kept_fields(fields: pd.DataFrame, qc: pd.DataFrame, exclude_failed: bool = True) -> np.ndarray:
    """Return for each row of a fields table whether it goes on, booleans.

    Parameters
    ----------
    fields
        ``FIELDS_COLUMNS``.
    qc
        ``QC_COLUMNS`` of the same plate.
    exclude_failed
        Whether failed fields are left out; else all fields go on, those without a verdict too.
    """
    if not exclude_failed:
        return np.ones(len(fields), dtype=bool)
    sound = qc[qc["verdict"] != FAIL]
    known = set(zip(sound["well"], sound["field"], strict=True))
    return np.array([place in known for place in zip(fields["well"], fields["field"], strict=True)], dtype=bool)
