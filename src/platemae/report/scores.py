"""Score rows of all models and corrections: reading, grouping, and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import SCORE_COLUMNS, check_columns
from platemae.errors import ContractError
from platemae.layout import Results

GROUP_COLUMNS = ("benchmark", "source", "metric", "threshold")
"""Rows that agree in these measure the same thing and may be compared."""

CURVE = "_curve"
"""How the metric of a curve's points ends."""

INTERVALS = ("value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high")
"""A value and what bounds it, from resampled units and from resampled plates."""

NUMBERS = (*INTERVALS, "n", "chance")


@dataclass(frozen=True)
class Group:
    """Score rows that may be compared: one benchmark, source, metric and threshold.

    Parameters
    ----------
    benchmark, source, metric, threshold
        What was measured; empty text where it does not apply.
    rows
        The rows, in the order of models and corrections; the index tells their places in all scores.
    """

    benchmark: str
    source: str
    metric: str
    threshold: str
    rows: pd.DataFrame

    @property
    def title(self) -> str:
        """Benchmark, source and metric in one line."""
        source = "" if self.source in ("", self.benchmark) else f" · {self.source}"
        threshold = f" at {self.threshold}" if self.threshold else ""
        return f"{self.benchmark}{source} · {self.metric.replace('_', ' ')}{threshold}"


def read_scores(results: Results, models: Sequence[str], corrections: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Read the scores of every model under every correction.

    Returns
    -------
    scores
        ``SCORE_COLUMNS``, a row a measured number, models and corrections in the given order.
    missing
        ``model / correction`` of each score file that is not there.

    Raises
    ------
    ContractError
        When a file lacks a column, or holds rows of another model or correction than its path says.
    """
    frames, missing = [], []
    for model in models:
        for correction in corrections:
            path = results.scores(model, correction)
            if not path.is_file():
                missing.append(f"{model} / {correction}")
                continue
            frame = pd.read_parquet(path)
            check_columns(frame.columns, SCORE_COLUMNS, str(path))
            if not ((frame["model"] == model) & (frame["correction"] == correction)).all():
                raise ContractError("scores of another model or correction", str(path), "run score_map again")
            frames.append(frame[list(SCORE_COLUMNS)])
    filled = [frame for frame in frames if len(frame)]
    scores = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(SCORE_COLUMNS))
    for column in NUMBERS:
        scores[column] = pd.to_numeric(scores[column]).astype(float)
    return scores, missing


def groups(scores: pd.DataFrame) -> Iterator[Group]:
    """Yield the groups of comparable rows, in the order of their first row; points of a curve are in none."""
    scores = scores[~on_curve(scores)]
    keys = scores[list(GROUP_COLUMNS)].map(plain)
    joined = pd.Series(list(keys.itertuples(index=False, name=None)), index=scores.index, dtype=object)
    for benchmark, source, metric, threshold in dict.fromkeys(joined):
        same = joined == (benchmark, source, metric, threshold)
        yield Group(benchmark, source, metric, threshold, scores[same])


def on_curve(scores: pd.DataFrame) -> pd.Series:
    """Return which rows are points of a curve, which is drawn rather than told in a table a point."""
    return scores["metric"].astype(str).str.endswith(CURVE)


def plain(value: Any) -> str:
    """Return a cell as text; a missing one is empty."""
    if value is None or value is pd.NA or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return str(value)


def number(value: float, digits: int = 3) -> str:
    """Return a number with a fixed count of decimals; a missing one is empty."""
    return f"{value:.{digits}f}" if np.isfinite(value) else ""


def whole(value: float) -> str:
    """Return a count with separators of thousands; a missing one is empty."""
    return f"{value:,.0f}" if np.isfinite(value) else ""


def with_interval(value: float, low: float, high: float) -> str:
    """Return ``value [low, high]``, without the interval where there is none."""
    if not np.isfinite(value):
        return ""
    interval = f" [{number(low)}, {number(high)}]" if np.isfinite(low) and np.isfinite(high) else ""
    return number(value) + interval


def counted(values: Iterable[float]) -> str:
    """Return sample sizes in words: ``n = 120`` or ``n = 80 to 120``; empty when none is known."""
    known = sorted({int(value) for value in values if np.isfinite(value)})
    if not known:
        return ""
    return f"n = {known[0]}" if len(known) == 1 else f"n = {known[0]} to {known[-1]}"
