"""Pooled plates: a table that says which perturbation each cell carries, and where the cell lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as pq

from platemae.contracts import CELLS_COLUMNS, PERTURBATION_COLUMNS
from platemae.errors import ConfigError, few, raise_all
from platemae.layouts.columns import LABEL_ROLES, find_columns, value
from platemae.layouts.concentration import concentration
from platemae.layouts.labels import Labeller
from platemae.layouts.metadata import read_metadata
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import CONTROL, Row, control_characters
from platemae.layouts.text import read_table
from platemae.wells import parse_well

POOLED = "pooled"
"""Perturbation of the wells whose cells carry perturbations of their own, as the layout writes it."""

NEEDED = ("well", "field", "cell", "y", "x", "perturbation")
_SAID = (*LABEL_ROLES, "concentration", "unit")
_ROLES = ("plate", *NEEDED, *(role for role in _SAID if role != "perturbation"))


@dataclass(frozen=True)
class _Source:
    """The table as it was read: a column a role, all text, and ``line``; and the names of its columns."""

    path: Path
    table: pd.DataFrame
    names: Mapping[str, str]

    def problem(self, wrong: pd.Series, what: str, role: str, remedy: str) -> list[ConfigError]:
        """Return one error for all rows that are ``wrong``; ``what`` has a place for their number."""
        rows = self.table[wrong]
        if rows.empty:
            return []
        first = zip(*(rows[role].head(5) for role in ("line", "well", "field", "cell")), strict=True)
        at = [f"row {line} (well {w[:20]}, field {f[:20]}, cell {c[:20]})" for line, w, f, c in first]
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        where = f"{self.path}, column {self.names.get(role, role)}"
        return [ConfigError(f"{what.format(len(rows))}: {', '.join(at)}{more}", where, remedy)]


def read_cells(
    path: Path, plate: str, fields: pd.DataFrame, shape: tuple[int, int], options: LayoutOptions
) -> pd.DataFrame:
    """Read and check the cells of a pooled plate.

    Parameters
    ----------
    path
        CSV, TSV or parquet with columns well, field, cell, y, x, perturbation, maybe plate, gene, compound,
        concentration and control_type. A position counts pixels from the centre of the field's first one.
    plate
        Plate id: of a table of several plates its rows are taken.
    fields
        The fields of the plate, as in the fields table.
    shape
        Height and width of a field, pixels.
    options
        Names of columns, control labels and metadata, as for layouts.

    Returns
    -------
    A row a cell with ``contracts.CELLS_COLUMNS``, in the order of the fields and of the positions.

    Raises
    ------
    ConfigError
        All problems at once: columns, wells and fields that the plate does not have or that are not pooled, positions
        outside the field, double cells, labels that mean no control type.
    """
    source = _of_plate(_open(path, options.columns), plate)
    table, problems = source.table, []
    table["well"] = _mapped(table["well"], _well)
    table["field"] = _mapped(table["field"], _field)
    places = {(row.well, row.field): number for number, row in enumerate(fields.itertuples())}
    rank = np.array([places.get(place, -1) for place in zip(table["well"], table["field"], strict=True)], dtype=int)
    known = pd.Series(rank >= 0, index=table.index)
    problems += _place_problems(source, known, fields, rank)
    problems += _position_problems(source, shape)
    problems += _cell_problems(source, known)
    labels, wrong = _labels(source, options)
    raise_all(problems + wrong)
    said = fields.iloc[rank].reset_index(drop=True)[["plate", "batch", "well", "field", "group"]]
    cells = pd.concat([said, table[["cell", "y", "x"]].reset_index(drop=True), labels], axis=1)
    order = np.lexsort((cells["x"], cells["y"], rank))
    return cells.iloc[order].reset_index(drop=True)[list(CELLS_COLUMNS)]


def count_cells(path: Path, plate: str, options: LayoutOptions) -> int:
    """Return how many rows a table has for a plate; nothing of them is checked, and the table is read once a process.

    Parameters
    ----------
    path, plate, options
        As in `read_cells`.

    Raises
    ------
    ConfigError
        When the table cannot be read, or has no row for the plate.
    """
    counts = _rows_of_plates(path, tuple(sorted(options.columns.items())))
    of_one = counts.get(_WHOLE, counts.get(plate, 0))
    if not of_one:
        raise ConfigError(f"no cell is of plate {plate}", str(path), "call the plate so in plates.tsv")
    return of_one


_WHOLE = ""
"""Stands for the plate of a table that has no column of plates."""


@cache
def _rows_of_plates(path: Path, given: tuple[tuple[str, str], ...]) -> dict[str, int]:
    table = _open(path, dict(given), ("plate", "well")).table
    if "plate" not in table:
        return {_WHOLE: len(table)}
    return {str(name): int(count) for name, count in table["plate"].value_counts().items() if name}


# -- reading ----------------------------------------------------------------------------------------------------------


def _open(path: Path, given: Mapping[str, str], only: Sequence[str] = _ROLES) -> _Source:
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    header, read = _open_parquet(path) if is_parquet else _open_text(path)
    where = f"{path}, row 1"
    columns, problems = find_columns(header, {r: n for r, n in given.items() if n in header}, _ROLES, where)
    missing = [role for role in NEEDED if role not in columns]
    if missing and not problems:
        what = f"columns are missing: {', '.join(missing)}; there are {few(header) or 'none'}"
        problems.append(ConfigError(what, where, "name them so, or under layouts: columns"))
    raise_all(problems)
    table = read({role: places for role, places in columns.items() if role in only})
    names = {role: header[places[0]] for role, places in columns.items()}
    return _Source(path, table, names)


def _open_text(path: Path) -> tuple[list[str], Callable[[Mapping[str, tuple[int, ...]]], pd.DataFrame]]:
    source = read_table(path, "correct column `cells` of plates.tsv")

    def read(columns: Mapping[str, tuple[int, ...]]) -> pd.DataFrame:
        found: dict[str, list[Any]] = {role: [] for role in (*columns, "line")}
        seen: dict[str, str] = {}  # wells, fields and guides repeat: one text each in memory
        for line, cells in source.rows():
            found["line"].append(line)
            for role, places in columns.items():
                text = _first(cells, places)
                found[role].append(seen.setdefault(text, text) if role not in ("y", "x", "cell") else text)
        return pd.DataFrame(found)

    return list(source.header), read


def _first(cells: list[str], places: tuple[int, ...]) -> str:
    return next((text for text in (value(cells[i]) for i in places) if text), "")


def _open_parquet(path: Path) -> tuple[list[str], Callable[[Mapping[str, tuple[int, ...]]], pd.DataFrame]]:
    try:
        header = [str(name) for name in pq.read_schema(path).names]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from None

    def read(columns: Mapping[str, tuple[int, ...]]) -> pd.DataFrame:
        wanted = sorted({header[i] for places in columns.values() for i in places})
        try:
            raw = pq.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
            table = pd.DataFrame({role: _filled(raw, [header[i] for i in p]) for role, p in columns.items()})
        except (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
            raise _unreadable(path, error) from None
        return table.assign(line=np.arange(1, len(table) + 1))

    return header, read


def _unreadable(path: Path, error: Exception) -> ConfigError:
    first = (str(error).splitlines() or [""])[0][:200]
    return ConfigError(f"a table of cells cannot be read: {first}", str(path), "write it again")


def _filled(raw: pd.DataFrame, names: list[str]) -> pd.Series:
    """Return the first column that is not blank, as text."""
    columns = [_mapped(raw[name].astype(object), _text) for name in names]
    found = columns[0]
    for column in columns[1:]:
        found = found.where(found != "", column)
    return found


def _text(item: Any) -> str:
    if item is None or item is pd.NA or (isinstance(item, float) and np.isnan(item)):
        return ""
    whole = isinstance(item, float) and item.is_integer()
    return value(str(int(item)) if whole else str(item))


def _mapped(column: pd.Series, function: Callable[[Any], Any]) -> pd.Series:
    """Return the function of each value; each distinct one is asked once."""
    codes, uniques = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(np.array([function(item) for item in uniques], dtype=object)[codes], index=column.index)


def _well(text: str) -> str:
    try:
        return parse_well(text)
    except ValueError:
        return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _field(text: str) -> str:
    return text.lstrip("0") or "0" if text.isdecimal() else text


def _of_plate(source: _Source, plate: str) -> _Source:
    table = source.table
    if "plate" in table:
        mine = table["plate"] == plate
        if not mine.any():
            names = few(sorted(set(table["plate"]))) or "none"
            what = f"no cell is of plate {plate}; the table names {names}"
            raise ConfigError(what, f"{source.path}, column {source.names['plate']}", "call the plate so in plates.tsv")
        table = table[mine].reset_index(drop=True)
    if table.empty:
        raise ConfigError("the table names no cell", str(source.path), "write a row a cell")
    return _Source(source.path, table, source.names)


# -- checks -----------------------------------------------------------------------------------------------------------


def _place_problems(source: _Source, known: pd.Series, fields: pd.DataFrame, rank: np.ndarray) -> list[ConfigError]:
    wells = set(fields["well"])
    strange = ~source.table["well"].isin(wells)
    arrayed = known & pd.Series((fields["perturbation"] != POOLED).to_numpy()[rank], index=known.index)
    return [
        *source.problem(strange, "{} cells are in wells that the plate lacks", "well", "correct the wells"),
        *source.problem(~known & ~strange, "{} cells are in fields that their well lacks", "field", "correct them"),
        *source.problem(
            arrayed,
            "{} cells are in wells that the layout does not call pooled",
            "well",
            f"give these wells the perturbation `{POOLED}` and control_type `treatment` in the layout",
        ),
    ]


def _position_problems(source: _Source, shape: tuple[int, int]) -> list[ConfigError]:
    """Turn positions into numbers and return what is wrong with them."""
    problems: list[ConfigError] = []
    for role, size in (("y", shape[0]), ("x", shape[1])):
        text = source.table[role]
        number = _mapped(text, _number).astype(np.float64)
        finite = pd.Series(np.isfinite(number), index=text.index)
        problems += source.problem(~finite, f"{{}} cells have no number as {role}", role, "write pixels")
        outside = finite & ~((number >= 0) & (number < size))
        what = f"{{}} cells lie outside their field, which is {shape[0]} x {shape[1]} pixels"
        problems += source.problem(outside, what, role, "write y (down) and x (right) in pixels, not micrometres")
        source.table[role] = number
    return problems


def _cell_problems(source: _Source, known: pd.Series) -> list[ConfigError]:
    table = source.table
    nameless = table["cell"] == ""
    double = known & ~nameless & table.duplicated(["well", "field", "cell"], keep=False)
    return [
        *source.problem(nameless, "{} cells have no id", "cell", "number the cells of each field"),
        *source.problem(
            table["cell"].str.contains(CONTROL),
            "{} cells have an id with a line break, tab or other control character",
            "cell",
            "number the cells of each field",
        ),
        *source.problem(double, "{} cells share an id in their field", "cell", "give each cell of a field its own id"),
    ]


def _labels(source: _Source, options: LayoutOptions) -> tuple[pd.DataFrame, list[ConfigError]]:
    """Return perturbation columns of each cell, and what is wrong with them; equal rows are looked up once."""
    metadata, problems = read_metadata(options)
    labeller = Labeller(options, metadata)
    said = [role for role in _SAID if role in source.table]
    codes, uniques = pd.factorize(pd.MultiIndex.from_frame(source.table[said]))
    counts, first = np.bincount(codes, minlength=len(uniques)), _first_lines(codes, source.table["line"])
    found: list[dict[str, str]] = []
    for values, count, line in zip(uniques, counts, first, strict=True):
        row = Row(f"{source.path}, row {line}", dict(zip(said, values, strict=True)), source.names)
        problems += control_characters(row)
        labels = labeller.label(row.values, int(count))
        if labels["control_type"] == "treatment" and not labels["perturbation"]:
            what, remedy = f"{count} treated cells have no perturbation", "name it, or leave the cells out"
            problems.append(ConfigError(what, row.cell("perturbation"), remedy))
        problems += _attempt(labels, partial(concentration, row))
        found.append(labels)
    problems += labeller.problems(str(source.path), "cell")
    table = pd.DataFrame(found, columns=list(PERTURBATION_COLUMNS))
    return table.iloc[codes].reset_index(drop=True), problems[:50]


def _first_lines(codes: np.ndarray, lines: pd.Series) -> np.ndarray:
    _, first = np.unique(codes, return_index=True)
    return lines.to_numpy()[first]


def _attempt(labels: dict[str, str], call: Callable[[], str]) -> list[ConfigError]:
    try:
        labels["concentration"] = call()
    except ConfigError as error:
        return [error]
    return []
