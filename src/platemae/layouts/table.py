"""Layout tables: a row a well, of one plate or of several (RxRx1 and RxRx3 hold a whole data set)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from platemae.errors import ConfigError
from platemae.layouts.columns import Columns
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group, Row, few, table_rows
from platemae.layouts.text import read_table


def groups(path: Path, plates: Sequence[str], options: LayoutOptions) -> list[Group]:
    """Return the rows of a table: one group for all plates, or one a plate where the table names plates.

    Raises
    ------
    ConfigError
        When it cannot be read as a table.
    """
    table = read_table(path, "write the layout table: a row a well")
    rows, columns, problems = table_rows(table, options.columns)
    if problems:
        return [Group(str(path), tuple(plates), (), tuple(problems))]
    if "plate" not in columns:
        return [Group(str(path), tuple(plates), tuple(rows))]
    of_plate: dict[str, list[Row]] = {plate: [] for plate in plates}
    others: dict[str, None] = {}
    for row in rows:
        for name in plate_names(row.values, columns):
            if name in of_plate:
                of_plate[name].append(row)
                break
        else:
            others[plate_names(row.values, columns)[0]] = None
    source = str(path)
    return [
        Group(source, (plate,), tuple(found), () if found else (_absent(plate, list(others), f"{path}, row 1"),))
        for plate, found in of_plate.items()
    ]


def plate_names(values: Mapping[str, str], columns: Columns) -> tuple[str, ...]:
    """Return what a plate may be called in plates.tsv.

    RxRx tables number the plates of each experiment: plate 2 of ``HUVEC-01`` is ``HUVEC-01_2``, as in their column
    ``well_id``; ``HUVEC-01_Plate2``, as their folders say, is understood too.
    """
    plate = values["plate"]
    if "experiment" in columns and "wellid" in columns:
        experiment = values["experiment"]
        return f"{experiment}_{plate}", f"{experiment}_Plate{plate}"
    return (plate,)


def _absent(plate: str, others: list[str], where: str) -> ConfigError:
    what = f"no row is of plate {plate}; the table names {few(others) or 'none'}"
    remedy = "call the plate so in plates.tsv, or set layouts: columns: plate ('' where the column names no plate)"
    return ConfigError(what, where, remedy)
