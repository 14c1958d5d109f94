"""plates.tsv and what it names: read and validated, all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platemae.contracts import NAME
from platemae.errors import ConfigError, raise_all
from platemae.layouts import forms, read
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import Layout
from platemae.layouts.text import read_table

PLATE_COLUMNS = ("plate", "batch", "reader", "path", "layout")


@dataclass(frozen=True)
class Plate:
    """One row of plates.tsv, paths as written; ``cells`` is empty for plates that are not pooled."""

    plate: str
    batch: str
    reader: str
    path: str
    layout: str
    cells: str = ""


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
        problems += _unfit_cells(path, number, row, readers)
        if row["plate"] in seen and row["plate"]:
            what = f"the plate {row['plate']} stands in rows {seen[row['plate']]} and {number}"
            problems.append(ConfigError(what, _cell(path, number, "plate"), "give each plate an id of its own"))
        seen.setdefault(row["plate"], number)
        problems += _missing_files(path, number, row)
    raise_all(problems)
    if not rows:
        raise ConfigError("the table names no plate", str(path), "add a row a plate")
    return [Plate(**{c: row[c] for c in PLATE_COLUMNS}, cells=row.get("cells", "")) for _, row in rows]


def _unfit_cells(path: Path, number: int, row: Mapping[str, str], readers: Sequence[str]) -> Iterable[ConfigError]:
    """Yield the cells that are empty, no name, or name no reader."""
    for column in PLATE_COLUMNS:
        if not row[column]:
            remedy = "name the plate's layout table" if column == "layout" else "fill the cell"
            yield ConfigError(f"plate {row['plate'] or '?'} has no {column}", _cell(path, number, column), remedy)
    for column in ("plate", "batch"):
        if row[column] and not NAME.fullmatch(row[column]):
            what = f"{row[column]!r} cannot be a {column}: it becomes part of a path"
            yield ConfigError(what, _cell(path, number, column), "use letters, digits, . _ @ + -")
    if row["reader"] and row["reader"] not in readers:
        what = f"there is no reader {row['reader']}"
        yield ConfigError(what, _cell(path, number, "reader"), f"known: {', '.join(readers)}")


def _missing_files(path: Path, number: int, row: Mapping[str, str]) -> Iterable[ConfigError]:
    """Yield what is not there of a plate's layout and cells; its images are the ingest's business."""
    if row["layout"] and (why := forms.missing(resolve(row["layout"], path.parent))):
        what = f"plate {row['plate']} has no layout: {why}"
        yield ConfigError(what, _cell(path, number, "layout"), "write the layout, or correct the path")
    if row.get("cells") and not os.path.isfile(resolve(row["cells"], path.parent)):
        what = f"the cells of plate {row['plate']} are missing: {row['cells']}"
        yield ConfigError(what, _cell(path, number, "cells"), "correct the path; leave it empty for arrayed plates")


def layout_options(section: Mapping[str, Any], base: Path) -> LayoutOptions:
    """Return the section ``layouts`` of the configuration as readers of layouts take it, its paths resolved."""
    metadata = tuple(resolve(path, base) for path in section.get("metadata", ()))
    return LayoutOptions(**{**section, "metadata": metadata})


def read_layout(path: Path, plate: str = "", options: LayoutOptions | None = None) -> Layout:
    """Read the layout of a plate: well -> perturbation, gene, compound, concentration, control_type.

    Parameters
    ----------
    path
        A table, a folder of JUMP plate maps, or a Harmony assay layout.
    plate
        Plate id, for layouts of several plates.
    options
        How it is read; without them well-known columns and our own control types.

    Raises
    ------
    ConfigError
        All problems at once, with row and column.
    """
    return read.read_layout(path, plate, options or LayoutOptions())


def layout_files(plate: Plate, section: Mapping[str, Any], base: Path) -> list[Path]:
    """Return the files that say what is in a plate's wells and cells: what a rule lists as its inputs."""
    cells = [resolve(plate.cells, base)] if plate.cells else []
    metadata = [resolve(path, base) for path in section.get("metadata", ())]
    return [*forms.files(resolve(plate.layout, base), plate.plate), *metadata, *cells]


def check_layouts(
    plates: Sequence[Plate], base: Path, options: LayoutOptions | None = None, *, needs_controls: bool = True
) -> None:
    """Check every layout, and that the whole run has a negative control.

    The controls of a pooled plate are cells, which its ingest checks: a run with such a plate needs no control well.

    Parameters
    ----------
    plates, base, options
        Plates, the folder of plates.tsv, and how layouts are read.
    needs_controls
        Whether anything of the configuration is fitted on negative controls.

    Raises
    ------
    ConfigError
        All problems of all layouts at once.
    """
    layouts = read.open_layouts(options or LayoutOptions())
    for layout in dict.fromkeys(plate.layout for plate in plates):
        layouts.add(resolve(layout, base), [plate.plate for plate in plates if plate.layout == layout])
    raise_all(layouts.all_problems())
    wells = (labels for layout in layouts.of_plate.values() for labels in layout.values())
    pooled = any(plate.cells for plate in plates)
    if needs_controls and not pooled and not any(labels["control_type"] == "negcon" for labels in wells):
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
    table = read_table(path, remedy)
    missing = [column for column in needed if column not in table.header]
    if missing:
        raise ConfigError(
            f"columns are missing: {', '.join(missing)}", f"{path}, row 1", "the table is tab separated, with a header"
        )
    return [
        (number, dict(zip(table.header, (cell.strip() for cell in cells), strict=True)))
        for number, cells in table.rows()
    ]


def _cell(path: Path, row: int, column: str) -> str:
    return f"{path}, row {row}, column {column}"
