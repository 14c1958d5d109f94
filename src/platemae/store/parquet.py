"""Parquet tables between stages: written whole or not at all, checked when read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow

from platemae.contracts import check_columns
from platemae.errors import ContractError, MissingError


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write to a temporary sibling and rename; what a killed writer of the same table left is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.tmp-*"):
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        table.to_parquet(temporary, index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)  # of a disk that is full


def read_parquet(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table and check that it has ``columns``.

    Raises
    ------
    MissingError
        When there is none.
    ContractError
        When it cannot be read or lacks a column.
    """
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise MissingError("a table is missing", str(path), "run the stage that writes it") from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ContractError(f"a table cannot be read: {error}", str(path), "delete it and run again") from None
    check_columns(table.columns, columns, str(path))
    return table
