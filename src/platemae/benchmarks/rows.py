"""The tidy table of scores: one row a number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import SCORE_COLUMNS

ROW_COLUMNS = tuple(column for column in SCORE_COLUMNS if column not in ("model", "correction", "overlap"))
"""What a benchmark knows; :func:`stamp` adds the rest."""


@dataclass(frozen=True)
class ScoreRow:
    """One number with what is needed to judge it.

    Parameters
    ----------
    benchmark, source, metric
        What was measured, on which annotation.
    threshold
        Cut of the metric, such as 0.05 for recall in the 5 % tails; NaN for none.
    value
        The number; NaN where it could not be measured, with the reason in ``detail``.
    ci_low, ci_high
        95 % interval from resampling genes, perturbations or wells, as the benchmark says; NaN for none.
    plate_ci_low, plate_ci_high
        95 % interval from resampling plates (`platemae.benchmarks.plates`); NaN for none.
    n
        Pairs or perturbations behind the value.
    chance
        What random vectors give; NaN where there is no such line.
    detail
        Counts and settings, JSON-able.
    """

    benchmark: str
    source: str
    metric: str
    threshold: float = np.nan
    value: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    plate_ci_low: float = np.nan
    plate_ci_high: float = np.nan
    n: int = 0
    chance: float = np.nan
    detail: Mapping[str, Any] = field(default_factory=dict)


def score_table(rows: Iterable[ScoreRow]) -> pd.DataFrame:
    """Return rows as a table with :data:`ROW_COLUMNS`; ``detail`` becomes JSON text."""
    records = [{**asdict(row), "detail": json.dumps(dict(row.detail), sort_keys=True)} for row in rows]
    return pd.DataFrame.from_records(records, columns=list(ROW_COLUMNS))


def stamp(table: pd.DataFrame, model: str, correction: str, overlap: str) -> pd.DataFrame:
    """Add what a benchmark does not know: model, correction, and what training saw of the scored plates."""
    return table.assign(model=model, correction=correction, overlap=overlap)[list(SCORE_COLUMNS)]
