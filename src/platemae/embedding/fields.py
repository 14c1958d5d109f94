"""Which fields of a plate count: those that passed quality control."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS
from platemae.store.parquet import read_parquet

PASSED = "pass"
"""The verdict of a field that is kept."""


def read_fields(path: Path) -> pd.DataFrame:
    """Read the fields table of a plate, a row a field.

    Raises
    ------
    PlatemaeError
        When it is missing, torn or lacks columns.
    """
    return read_parquet(path, FIELDS_COLUMNS)


def read_qc(path: Path) -> pd.DataFrame:
    """Read the QC table of a plate, a row a field and channel.

    Raises
    ------
    PlatemaeError
        When it is missing, torn or lacks columns.
    """
    return read_parquet(path, QC_COLUMNS)


def passed_qc(qc: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the fields that passed."""
    return qc[qc["verdict"] == PASSED]


def passed_fields(fields: pd.DataFrame, qc: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a fields table whose fields passed, joined by well and field name, sorted by both."""
    kept = passed_qc(qc)[["well", "field"]].drop_duplicates()
    return fields.merge(kept, on=["well", "field"], how="inner").sort_values(["well", "field"], ignore_index=True)
