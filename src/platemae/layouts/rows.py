"""Rows of a layout, whatever its form: what they say of a well, and where they say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from platemae.errors import ConfigError
from platemae.layouts.columns import LAYOUT_ROLES, Columns, find_columns, has_well, no_well, value
from platemae.layouts.text import Table

LISTED = 20
"""Rows, wells or names that errors give before they only count them."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that move or end a line."""


@dataclass(frozen=True)
class Row:
    """One row of a layout.

    Parameters
    ----------
    place
        File and row, for errors.
    values
        Role -> text; roles without a column are absent.
    names
        Role -> name of its column.
    """

    place: str
    values: Mapping[str, str]
    names: Mapping[str, str]

    def get(self, role: str) -> str:
        """Return the text of a role, empty where there is none."""
        return self.values.get(role, "")

    def cell(self, role: str) -> str:
        """Return where a role stands, for errors."""
        return f"{self.place}, column {self.names.get(role, role)}"


@dataclass(frozen=True)
class Group:
    """Rows that one or more plates share, and what is wrong with their source."""

    source: str
    plates: tuple[str, ...]
    rows: tuple[Row, ...]
    problems: tuple[ConfigError, ...] = ()


def layout_columns(table: Table, given: Mapping[str, str]) -> tuple[Columns, list[ConfigError]]:
    """Return the columns of a layout table, and what is wrong with its header."""
    columns, problems = find_columns(table.header, given, LAYOUT_ROLES, f"{table.path}, row 1")
    if not problems and not has_well(columns):
        problems.append(no_well(table.header, f"{table.path}, row 1"))
    return columns, problems


def table_rows(table: Table, columns: Columns, wanted: Callable[[Sequence[str]], bool] | None = None) -> Iterator[Row]:
    """Yield the rows of a table, or those alone whose cells are ``wanted``: a data set's table has many plates."""
    names = {role: table.header[places[0]] for role, places in columns.items()}
    for line, cells in table.rows():
        if wanted is None or wanted(cells):
            yield Row(f"{table.path}, row {line}", read(cells, columns), names)


def read(cells: Sequence[str], columns: Columns) -> dict[str, str]:
    """Return the value of each role: of several columns the first that is not blank."""
    return {role: next(filter(None, (value(cells[i]) for i in places)), "") for role, places in columns.items()}


def control_characters(row: Row) -> list[ConfigError]:
    """Return an error for each cell with a line break, a tab or the like: such a name tears tables."""
    held = [role for role, text in row.values.items() if CONTROL.search(text)]
    what, remedy = "a cell holds a line break, tab or other control character: {!r}", "write each name in one line"
    return [ConfigError(what.format(row.get(role)[:80]), row.cell(role), remedy) for role in held]


def cut(problems: list[ConfigError], what: str) -> list[ConfigError]:
    """Return the first problems of one file; the others are only counted."""
    more = len(problems) - LISTED
    return problems[:LISTED] + ([ConfigError(f"{more} more problems", what)] if more > 0 else [])
