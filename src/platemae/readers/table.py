"""Tables of images or wells (CSV, TSV, gzip, parquet), read with distrust: size bounded, every cell as text."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from platemae.errors import InputError, MissingError, PlatemaeError
from platemae.readers.assemble import LISTED
from platemae.readers.detect import metadata_of
from platemae.wells import join_well, parse_well

MAX_BYTES = 2**30
"""Largest table, decompressed: RxRx3's 2.2 million wells take 0.3 GiB."""

ROW = "#row"
"""Key of a row's number in its file (the header is row 1), for errors."""

Row = Mapping[str, str]


def table_path(folder: Path, entry: Mapping[str, Any]) -> Path:
    """Return the table of a plate: the entry's ``metadata``, else the one that lies in its folder.

    Raises
    ------
    MissingError
        When there is none.
    """
    named = entry.get("metadata")
    found = [Path(named)] if named else metadata_of(entry["kind"], folder)
    if not found or not found[0].is_file():
        where = str(found[0]) if found else str(folder)
        remedy = "copy it into the plate's folder, or name it under `metadata` of the reader"
        raise MissingError("the table that describes the plate is missing", where, remedy)
    return found[0]


def read_table(path: Path) -> pa.Table:
    """Return a table with all its columns as text, empty where a cell is; and the column :data:`ROW`.

    Raises
    ------
    InputError
        When it is no table, torn, not UTF-8, larger than 1 GiB, or names a column twice.
    """
    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError, pa.ArrowException, ValueError) as error:
        raise _wrong(path, f"cannot be read: {error}") from None
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _wrong(path, f"has two columns {', '.join(twice[:5])}")
    columns = [pc.utf8_trim_whitespace(pc.fill_null(column, "")) for column in table.columns]
    numbers = pc.cast(pa.array(range(2, table.num_rows + 2), pa.int64()), pa.string())
    return pa.table([*columns, numbers], names=[*names, ROW])


def _read_csv(path: Path) -> pa.Table:
    data = _bytes(path)
    line = data.split(b"\n", 1)[0].decode("utf-8-sig")
    delimiter = max(",\t;", key=line.count)
    names = next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    return pa_csv.read_csv(
        io.BytesIO(data),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    ).cast(pa.schema([(name, pa.string()) for name in names]))


def _bytes(path: Path) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    return data


def _read_parquet(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        if sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
        schema = file.schema_arrow
        plain = [field.name for field in schema if not pa.types.is_nested(field.type) and field.type != pa.binary()]
        table = file.read(columns=plain)
    return table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))


def need(table: pa.Table, columns: Iterable[str], path: Path) -> None:
    """Check that a table has columns.

    Raises
    ------
    InputError
        Naming all that are missing.
    """
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        found = ", ".join(name for name in table.column_names[:20] if name != ROW)
        raise _wrong(path, f"lacks the columns {', '.join(missing)}; it has {found}")


def of_plate(
    table: pa.Table, column: str, path: Path, folder: Path, entry: Mapping[str, Any], *, sole: bool = False
) -> pa.Table:
    """Return the rows of one plate: those that name its id, or else its folder.

    Parameters
    ----------
    table
        As :func:`read_table` gave it.
    column
        Where it names plates; a table without this column describes one plate.
    path
        Where the table lies.
    folder
        Folder of the plate.
    entry
        The reader's entry, with the plate's id under ``plate``.
    sole
        Whether a table of one plate is taken whatever it calls the plate.

    Raises
    ------
    InputError
        When no row is of this plate.
    """
    if column not in table.column_names or table.num_rows == 0:
        return table
    names = dict.fromkeys(str(name) for name in (entry.get("plate"), folder.name) if name)
    for name in names:
        found = table.filter(pc.equal(table[column], name))
        if found.num_rows:
            return found
    plates = pc.unique(table[column]).to_pylist()
    if sole and len(plates) == 1:
        return table
    what = f"has no row of plate {' or '.join(names)}; it has {', '.join(plates[:5])}"
    raise _wrong(path, what, "give the plate in plates.tsv the id that the table gives it")


def rows(table: pa.Table, columns: Sequence[str]) -> list[Row]:
    """Return the rows, with those of ``columns`` that the table has, and :data:`ROW`."""
    kept = [column for column in dict.fromkeys(columns) if column in table.column_names]
    found: list[Row] = table.select([*kept, ROW]).to_pylist()
    return found


def where(path: Path, row: Row) -> str:
    """Return how an error names a row."""
    return f"{path}, row {row[ROW]}"


def few(problems: Sequence[PlatemaeError], path: Path) -> list[PlatemaeError]:
    """Return the first problems of a table's rows, and one that counts the rest."""
    more = len(problems) - LISTED
    return [*problems[:LISTED], *([InputError(f"{more} more rows like these", str(path))] if more > 0 else [])]


def well_of(row: Row, well: str, place: tuple[str, str] = ("", "")) -> str:
    """Return the well that a row names in column ``well``, else in the columns of row and column ``place``.

    Raises
    ------
    ValueError
        When it names none.
    """
    if row.get(well):
        return parse_well(row[well])
    return join_well(*(_integral(row.get(column, "")) for column in place))


def label(text: str) -> str:
    """Return a cell that pandas may have made a float, ``1.0``, as it was: ``1``; numbers without leading zeros."""
    text = _integral(text)
    return str(int(text)) if text.isdecimal() and len(text) < 20 else text


def whole(text: str, otherwise: int = 0) -> int:
    """Return a cell as an integer; ``otherwise`` when it is empty.

    Raises
    ------
    ValueError
        When it is none.
    """
    if not text:
        return otherwise
    if len(text) > 18:
        raise ValueError(f"{text[:30]!r} is no whole number")
    return int(_integral(text))


def number(text: str) -> float | None:
    """Return a cell as a number; None when it is empty or not finite.

    Raises
    ------
    ValueError
        When it is none.
    """
    value = float(text) if text else math.nan
    return value if math.isfinite(value) else None


def _integral(text: str) -> str:
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text


def _wrong(path: Path, what: str, remedy: str = "write the table again, UTF-8, with a header") -> InputError:
    return InputError(f"the table {what}", str(path), remedy)
