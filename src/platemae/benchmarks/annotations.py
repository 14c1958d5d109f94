"""Known relations between genes, read from ``entity1,entity2[,strength]`` tables."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from platemae.benchmarks.text_table import BLANK
from platemae.errors import InputError, MissingError

_MAX_STRENGTHS = 20
_HEADER = "the file must be comma-separated with a header entity1,entity2 (and optionally strength)"


class Relations(NamedTuple):
    """Undirected pairs, each once, and what was left out to get them.

    Parameters
    ----------
    pairs
        Columns entity1 < entity2 (text) and, where the file has it, strength (float).
    notes
        Counts: rows, blank, self_pairs, duplicates, pairs.
    """

    pairs: pd.DataFrame
    notes: dict[str, int]


def read_relations(path: Path) -> Relations:
    """Read a relation file.

    Parameters
    ----------
    path
        CSV text; further columns are ignored.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it cannot be read as such a table, lacks a column, holds no pair, or gives a pair two strengths.
    """
    table = _read_text(path)
    lost = [column for column in ("entity1", "entity2") if column not in table.columns]
    if lost:
        found = ", ".join(map(str, table.columns))
        raise InputError(f"no column {' and '.join(lost)} (found: {found})", str(path), _HEADER)
    names = table[["entity1", "entity2"]].apply(lambda column: column.str.strip())
    blank = names.isin(BLANK).any(axis=1)
    same = ~blank & (names["entity1"] == names["entity2"])
    kept = names[~blank & ~same]
    pairs = pd.DataFrame(np.sort(kept.to_numpy(dtype=object), axis=1), columns=["entity1", "entity2"])
    if "strength" in table.columns:
        pairs["strength"] = _strengths(table.loc[kept.index, "strength"], path)
    unique = pairs.drop_duplicates(ignore_index=True)
    _check_pairs(unique, path)
    counts = {"rows": len(table), "blank": int(blank.sum()), "self_pairs": int(same.sum())}
    return Relations(unique, {**counts, "duplicates": len(pairs) - len(unique), "pairs": len(unique)})


def _read_text(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise MissingError("the relation file is not there", str(path), "correct the path in relations")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"not a relation table: {error}", str(path), _HEADER) from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first columns for an index
        what = "not a relation table: the rows have more columns than the header"
        raise InputError(what, str(path), _HEADER)
    return table


def _strengths(text: pd.Series, path: Path) -> np.ndarray:
    values = pd.to_numeric(text, errors="coerce")
    bad = values.isna()
    if bad.any():
        where = f"{path}, row {values.index[bad][0] + 2}"
        raise InputError(f"strength '{text[bad].iloc[0]}' is not a number", where, "give every pair a number")
    if values.nunique() > _MAX_STRENGTHS:
        remedy = f"give at most {_MAX_STRENGTHS} levels, or rename the column if it is a confidence score"
        raise InputError(f"strength has {values.nunique()} different values", str(path), remedy)
    return values.to_numpy(dtype=np.float64)


def _check_pairs(pairs: pd.DataFrame, path: Path) -> None:
    if pairs.empty:
        raise InputError("not a single pair of two different entities", str(path), _HEADER)
    twice = pairs.duplicated(["entity1", "entity2"])
    if twice.any():
        first = pairs[twice].iloc[0]
        what = f"{first.entity1} and {first.entity2} have two strengths ({int(twice.sum())} such pairs)"
        raise InputError(what, str(path), "keep one strength a pair")
