"""Layout tables: a row a well, of one plate or of several (RxRx1 and RxRx3 hold a whole data set)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from platemae.errors import ConfigError, few
from platemae.layouts.columns import Columns
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group, Row, layout_columns, read, table_rows
from platemae.layouts.text import Table, read_table


def groups(path: Path, plates: Sequence[str], options: LayoutOptions) -> list[Group]:
    """Return the rows of a table: one group for all plates, or one a plate where the table names plates.

    Raises
    ------
    ConfigError
        When it cannot be read as a table.
    """
    table = read_table(path, "write the layout table: a row a well")
    columns, problems = layout_columns(table, options.columns)
    if problems:
        return [Group(str(path), tuple(plates), (), tuple(problems))]
    if "plate" not in columns:
        return [Group(str(path), tuple(plates), tuple(table_rows(table, columns)))]
    return _of_plates(table, columns, plates)


def _of_plates(table: Table, columns: Columns, plates: Sequence[str]) -> list[Group]:
    """Return the rows of each plate; those of others, most of a data set's table, are passed over."""
    naming: Columns = {role: columns[role] for role in ("plate", "experiment", "wellid") if role in columns}
    is_rxrx = len(naming) == 3
    called = {_rxrx_name(plate) if is_rxrx else plate: plate for plate in plates}
    others: dict[str, None] = {}

    def name_of(values: Mapping[str, str]) -> str:
        return f"{values['experiment']}_{values['plate']}" if is_rxrx else values["plate"]

    def wanted(cells: Sequence[str]) -> bool:
        name = name_of(read(cells, naming))
        if name not in called:
            others[name] = None
        return name in called

    found: dict[str, list[Row]] = {plate: [] for plate in plates}
    for row in table_rows(table, columns, wanted):
        found[called[name_of(row.values)]].append(row)
    source, where = str(table.path), f"{table.path}, row 1"
    return [
        Group(source, (plate,), tuple(rows), () if rows else (_absent(plate, list(others), where),))
        for plate, rows in found.items()
    ]


def _rxrx_name(plate: str) -> str:
    """Return a plate's name in RxRx tables, which number the plates of each experiment.

    Plate 2 of ``HUVEC-01`` is ``HUVEC-01_2``, as in their column ``well_id``; ``HUVEC-01_Plate2``, as their folders
    say, is understood too.
    """
    return re.sub(r"_Plate(?=\d+$)", "_", plate)


def _absent(plate: str, others: list[str], where: str) -> ConfigError:
    what = f"no row is of plate {plate}; the table names {few(others) or 'none'}"
    remedy = "call the plate so in plates.tsv, or set layouts: columns: plate ('' where the column names no plate)"
    return ConfigError(what, where, remedy)
