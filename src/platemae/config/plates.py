"""plates.tsv and the layout tables: read and validated, all problems at once."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path

from platemae.contracts import CONTROL_TYPES, NAME, PERTURBATION_COLUMNS
from platemae.errors import ConfigError, raise_all

PLATE_COLUMNS = ("plate", "batch", "reader", "path", "layout")
WELL = re.compile(r"^([A-Z]{1,2})0*([1-9]\d?)$")
"""A well is written A1 or A01; rows go to AF, as on 1536-well plates."""


@dataclass(frozen=True)
class Plate:
    """One row of plates.tsv, paths as written."""

    plate: str
    batch: str
    reader: str
    path: str
    layout: str


def normalise_well(text: str) -> str:
    """Return a well as row letters and two-digit column: ``b3`` becomes ``B03``.

    Raises
    ------
    ValueError
        When ``text`` names no well.
    """
    match = WELL.match(text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is no well")
    return f"{match[1]}{int(match[2]):02d}"


def read_plates(path: Path, readers: list[str]) -> list[Plate]:
    """Read plates.tsv.

    Parameters
    ----------
    path
        The table, tab separated, with a header.
    readers
        Names of the reader entries in the configuration.

    Raises
    ------
    ConfigError
        All problems at once, with row (the header is row 1) and column.
    """
    rows = _read_table(path, PLATE_COLUMNS, "make it by hand, or with `platemae synthesize-screen DIR`")
    problems: list[ConfigError] = []
    seen: dict[str, int] = {}
    for number, row in rows:
        for column in PLATE_COLUMNS:
            if not row[column]:
                remedy = "name the plate's layout table" if column == "layout" else "fill the cell"
                problems.append(
                    ConfigError(f"plate {row['plate'] or '?'} has no {column}", _cell(path, number, column), remedy)
                )
        for column in ("plate", "batch"):
            if row[column] and not NAME.match(row[column]):
                problems.append(
                    ConfigError(
                        f"{row[column]!r} cannot be a {column}: it becomes part of a path",
                        _cell(path, number, column),
                        "use letters, digits, . _ @ + -",
                    )
                )
        if row["plate"] in seen and row["plate"]:
            problems.append(
                ConfigError(
                    f"the plate {row['plate']} stands in rows {seen[row['plate']]} and {number}",
                    _cell(path, number, "plate"),
                    "give each plate an id of its own",
                )
            )
        seen.setdefault(row["plate"], number)
        if row["reader"] and row["reader"] not in readers:
            problems.append(
                ConfigError(
                    f"there is no reader {row['reader']}", _cell(path, number, "reader"), f"known: {', '.join(readers)}"
                )
            )
        if row["layout"] and not resolve(row["layout"], path.parent).is_file():
            problems.append(
                ConfigError(
                    f"plate {row['plate']} has no layout: {row['layout']} is missing",
                    _cell(path, number, "layout"),
                    "write the layout table",
                )
            )
    raise_all(problems)
    if not rows:
        raise ConfigError("the table names no plate", str(path), "add a row a plate")
    return [Plate(**{column: row[column] for column in PLATE_COLUMNS}) for _, row in rows]


def read_layout(path: Path) -> dict[str, dict[str, str]]:
    """Read a layout table: well -> perturbation, gene, compound, concentration, control_type.

    Raises
    ------
    ConfigError
        All problems at once, with row and column.
    """
    rows = _read_table(path, ("well", "perturbation", "control_type"), "write a row a well")
    problems: list[ConfigError] = []
    layout: dict[str, dict[str, str]] = {}
    for number, row in rows:
        try:
            well = normalise_well(row["well"])
        except ValueError as error:
            problems.append(ConfigError(str(error), _cell(path, number, "well"), "write wells as A01"))
            continue
        if well in layout:
            problems.append(
                ConfigError(f"the well {well} stands twice", _cell(path, number, "well"), "keep one row a well")
            )
        if row["control_type"] not in CONTROL_TYPES:
            problems.append(
                ConfigError(
                    f"unknown control type {row['control_type']!r}",
                    _cell(path, number, "control_type"),
                    f"allowed: {', '.join(CONTROL_TYPES)}",
                )
            )
        if row["control_type"] == "treatment" and not row["perturbation"]:
            problems.append(
                ConfigError(
                    f"the treated well {well} has no perturbation",
                    _cell(path, number, "perturbation"),
                    "name it, or mark the well empty",
                )
            )
        if row.get("concentration") and not _is_number(row["concentration"]):
            problems.append(
                ConfigError(
                    f"{row['concentration']!r} is no concentration",
                    _cell(path, number, "concentration"),
                    "write a number",
                )
            )
        layout[well] = {column: row.get(column, "") for column in PERTURBATION_COLUMNS}
    raise_all(problems)
    return layout


def check_layouts(plates: list[Plate], base: Path) -> None:
    """Check every layout table, and that the whole run has a negative control.

    Raises
    ------
    ConfigError
        All problems of all tables at once.
    """
    problems: list[ConfigError] = []
    negatives = 0
    for layout in dict.fromkeys(plate.layout for plate in plates):
        try:
            wells = read_layout(resolve(layout, base))
        except ConfigError as error:
            problems.append(error)
            continue
        negatives += sum(well["control_type"] == "negcon" for well in wells.values())
    raise_all(problems)
    if negatives == 0:
        raise ConfigError(
            "no well of the whole run is a negative control",
            str(base),
            "mark the untreated wells `negcon` in column control_type of the layouts",
        )


def resolve(path: str, base: Path) -> Path:
    """Return a path of plates.tsv: absolute, below $PLATEMAE_DATA when written so, else below the table's folder."""
    marker = "$PLATEMAE_DATA"
    if path.startswith(marker):
        root = os.environ.get("PLATEMAE_DATA")
        if not root:
            raise ConfigError("PLATEMAE_DATA is not set", path, "export PLATEMAE_DATA=/folder/of/the/raw/data")
        return Path(root, path[len(marker) :].lstrip("/"))
    return base / path


def metadata_path(metadata: str, plate: str, base: Path) -> Path:
    """Return where the table of a reader's ``metadata`` lies; ``{plate}`` in it becomes the plate's id."""
    return resolve(metadata.replace("{plate}", plate), base)


def _read_table(path: Path, needed: tuple[str, ...], remedy: str) -> list[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError("a table is missing", str(path), remedy) from None
    except UnicodeDecodeError:
        raise ConfigError("a table is not UTF-8 text", str(path), "save it as UTF-8, tab separated") from None
    lines = text.splitlines()
    reader = csv.DictReader(lines, delimiter="," if path.suffix == ".csv" else "\t", restval="")
    missing = [column for column in needed if column not in (reader.fieldnames or [])]
    if missing:
        raise ConfigError(
            f"columns are missing: {', '.join(missing)}", f"{path}, row 1", "the table is tab separated, with a header"
        )
    return [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}) for row in reader]


def _cell(path: Path, row: int, column: str) -> str:
    return f"{path}, row {row}, column {column}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
