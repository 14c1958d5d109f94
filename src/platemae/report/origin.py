"""Where the numbers of the page come from, written beside them, so that a test can hold each against its table."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

SCORES = "tables/scores.csv"


@dataclass(frozen=True)
class Origin:
    """Cells of a table, as the attributes ``data-table``, ``data-row``, ``data-column`` and ``data-how``.

    Parameters
    ----------
    table
        File below the results folder; with ``*`` in it all files of that name.
    row
        Places of its rows, from 0, set apart by spaces; empty for all rows, or for a JSON file.
    column
        Names of its columns, or paths in a JSON file (``counts/edge/0``), set apart by ``;``.
    how
        What was done with them: nothing, ``median``, ``sum``, ``ratio`` (the first by the second), ``share`` (the
        first less the second, by the third less the fourth), ``difference`` (the first less the others) or
        ``balance`` (the sum of the first column less those of the others).
    """

    table: str
    row: str
    column: str
    how: str = ""


@dataclass(frozen=True)
class Cell:
    """Text with numbers, and where they come from."""

    text: str
    origin: Origin | None = None

    def __str__(self) -> str:
        return self.text


def cell(text: str, table: str, columns: Iterable[str], rows: Iterable[Hashable] = (), how: str = "") -> Cell:
    """Return text with its origin."""
    return Cell(text, Origin(table, " ".join(map(str, rows)), ";".join(columns), how))


def counted(text: str, manifest: str, *paths: str, how: str = "") -> Cell:
    """Return text with numbers of a manifest's counts; ``paths`` start there."""
    return cell(text, manifest, [f"counts/{path}" for path in paths], how=how)
