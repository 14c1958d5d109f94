"""Published numbers beside measured ones."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.contracts import NAME, check_columns
from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.report.scores import plain

PUBLISHED = Path(__file__).with_name("published.csv")
"""The published numbers: cells that a source states, and no other."""

PUBLISHED_COLUMNS = (
    "table",
    "row",
    "column",
    "value",
    "printed",
    "paper",
    "dataset",
    "correction",
    "benchmark",
    "source",
    "metric",
    "threshold",
    "provenance",
    "reliability",
    "note",
)
"""``table``, ``row`` and ``column`` name a cell; ``benchmark`` is a kind, ``source`` what it is measured on;
``printed`` is the value as it stands in print, ``provenance`` who states it (A abstracts, E EFAAR's notebooks, I
issues: primary; N1, N2 reading notes, S summaries: secondary)."""
CELL = ("table", "row", "column")
NEEDED = (*CELL, "value", "source", "metric")
"""Columns that a table of one's own must have; the others may be left out."""
RELIABILITY = ("primary", "secondary", "")
OPTIONAL_KEYS = ("correction", "threshold")
"""A published row that leaves one of these open is compared with every measured one."""

MEASURED_COLUMNS = (
    "measured_benchmark",
    "measured_model",
    "measured_correction",
    "measured_threshold",
    "measured",
    "ci_low",
    "ci_high",
    "n",
    "chance",
    "overlap",
    "difference",
)


def read_published(path: Path = PUBLISHED, own: Path | None = None) -> pd.DataFrame:
    """Read the published numbers; text stays text, ``value`` is a number.

    Parameters
    ----------
    path
        Ours.
    own
        A table of the user's: a cell of the same table, row and column goes before ours.

    Raises
    ------
    ContractError
        When a column is missing.
    MissingError
        When the user's table is not there.
    InputError
        Naming all its wrong cells.
    """
    ours = _read(path, PUBLISHED_COLUMNS)
    if own is None:
        return ours
    if not own.is_file():
        raise MissingError("the table of published numbers is not there", str(own), "correct report.published")
    try:
        theirs = _read(own, NEEDED)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        remedy = f"give a CSV with the columns {', '.join(NEEDED)}"
        raise InputError(f"not a table: {error}", str(own), remedy) from None
    cells = [tuple(row) for row in theirs[list(CELL)].to_numpy()]
    replaced = [tuple(row) in set(cells) for row in ours[list(CELL)].to_numpy()]
    return pd.concat([ours[~np.array(replaced, dtype=bool)], theirs], ignore_index=True)


def _read(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    check_columns(table.columns, needed, str(path))
    table = table.reindex(columns=list(PUBLISHED_COLUMNS), fill_value="")
    values = pd.to_numeric(table["value"], errors="coerce")
    raise_all(_problems(table, values, str(path)))
    return table.assign(value=values)


def _problems(table: pd.DataFrame, values: pd.Series, path: str) -> list[PlatemaeError]:
    """Return what is wrong with each row; the header is line 1."""
    found: list[PlatemaeError] = []
    twice = table.duplicated([*CELL, *OPTIONAL_KEYS, "paper"])
    for line, row, value, again in zip(range(2, len(table) + 2), table.to_dict("records"), values, twice, strict=True):
        where = f"{path}, line {line}"
        if not np.isfinite(value):
            remedy = "leave out cells that are not known"
            found.append(InputError(f"the value {row['value']!r} is no number", where, remedy))
        if not NAME.fullmatch(str(row["table"])):
            found.append(
                InputError(f"a table cannot be called {row['table']!r}", where, "use letters, digits, _ and -")
            )
        if row["reliability"] not in RELIABILITY:
            what = f"reliability is {row['reliability']!r}"
            found.append(InputError(what, where, "primary, secondary, or nothing"))
        if again:
            found.append(InputError("the cell is there twice", where, "keep one row a cell"))
    return found


def beside_measured(
    published: pd.DataFrame, scores: pd.DataFrame, kinds: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Join measured rows to published ones of the same source and metric.

    A metric belongs to one kind of benchmark, whatever a configuration calls it. Correction and threshold must agree
    too where the published row states them; a published row without source has no partner.

    Spelling is compared without case and punctuation (``hu.MAP`` is ``humap``), and without what a source is of
    (``category:intensity`` is ``intensity``, ``Metadata_Perturbation`` is ``perturbation``). A published row with
    several measured partners is repeated; one without keeps empty cells. ``kinds`` tells of each correction what it is,
    whatever a configuration calls it; a correction without a kind is compared by its name.

    Returns
    -------
    pandas.DataFrame
        The published columns, then ``MEASURED_COLUMNS``; ``difference`` is measured minus published.
    """
    known = kinds or {}
    meant = scores.assign(correction=scores["correction"].map(lambda name: known.get(name, name)))
    rows = []
    for row in published.to_dict("records"):
        partners = [_measured(partner, row["value"]) for partner in scores[_same(meant, row)].to_dict("records")]
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
    bare = re.sub(r"^(category:|metadata_)", "", plain(value).lower())
    return re.sub(r"[^a-z0-9.]|(?<![0-9])[.]", "", bare)


def _measured(partner: Mapping[Hashable, Any], published: float) -> dict[str, Any]:
    value = partner["value"]
    return {
        "measured_benchmark": partner["benchmark"],
        "measured_model": partner["model"],
        "measured_correction": partner["correction"],
        "measured_threshold": partner["threshold"],
        "measured": value,
        **{column: partner[column] for column in ("ci_low", "ci_high", "n", "chance", "overlap")},
        "difference": value - published,
    }
