"""Published numbers beside measured ones."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from platemae.contracts import check_columns
from platemae.report.scores import plain

PUBLISHED = Path(__file__).with_name("published.csv")
"""The published numbers: cells that a source states, and no other."""

PUBLISHED_COLUMNS = (
    "paper",
    "model",
    "dataset",
    "correction",
    "benchmark",
    "source",
    "metric",
    "threshold",
    "value",
    "provenance",
    "note",
)
OPTIONAL_KEYS = ("correction", "threshold")
"""A published row that leaves one of these open is compared with every measured one."""

MEASURED_COLUMNS = (
    "measured_model",
    "measured_correction",
    "measured_threshold",
    "measured",
    "ci_low",
    "ci_high",
    "n",
    "difference",
)


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Read the published numbers; text stays text, ``value`` is a number.

    Raises
    ------
    ContractError
        When a column is missing.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    check_columns(table.columns, PUBLISHED_COLUMNS, str(path))
    table["value"] = pd.to_numeric(table["value"])
    return table[list(PUBLISHED_COLUMNS)]


def beside_measured(published: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Join measured rows to published ones of the same source and metric.

    A metric belongs to one kind of benchmark, whatever a configuration calls it. Correction and threshold must agree
    too where the published row states them; a published row without source has no partner.

    Spelling is compared without case and punctuation (``hu.MAP`` is ``humap``). A published row with several measured
    partners is repeated; one without keeps empty cells.

    Returns
    -------
    pandas.DataFrame
        The published columns, then ``MEASURED_COLUMNS``; ``difference`` is measured minus published.
    """
    rows = []
    for row in published.to_dict("records"):
        partners = [_measured(partner, row["value"]) for partner in scores[_same(scores, row)].to_dict("records")]
        rows += [row | partner for partner in partners or [dict.fromkeys(MEASURED_COLUMNS)]]
    return pd.DataFrame(rows, columns=[*PUBLISHED_COLUMNS, *MEASURED_COLUMNS])


def _same(scores: pd.DataFrame, row: Mapping[Hashable, Any]) -> pd.Series:
    same = pd.Series(bool(row["source"]), index=scores.index)
    for column in ("source", "metric", *OPTIONAL_KEYS):
        wanted = _key(row[column])
        if wanted or column not in OPTIONAL_KEYS:
            same &= scores[column].map(_key) == wanted
    return same


def _key(value: object) -> str:
    return re.sub(r"[^a-z0-9.]|(?<![0-9])[.]", "", plain(value).lower())


def _measured(partner: Mapping[Hashable, Any], published: float) -> dict[str, Any]:
    value = partner["value"]
    return {
        "measured_model": partner["model"],
        "measured_correction": partner["correction"],
        "measured_threshold": partner["threshold"],
        "measured": value,
        **{column: partner[column] for column in ("ci_low", "ci_high", "n")},
        "difference": value - published,
    }
