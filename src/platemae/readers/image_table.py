"""Any plate by a table of its images: a row an image, with well, field, channel and path."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.readers.array_files import folders_with_chunks, with_array_files
from platemae.readers.assemble import assemble
from platemae.readers.base import Image, Inventory, Plane
from platemae.readers.files import inside, list_files
from platemae.readers.table import (
    Row,
    few,
    label,
    need,
    number,
    of_plate,
    read_table,
    rows,
    table_path,
    well_of,
    where,
    whole,
)

NEEDED = ("well", "field", "channel", "path")
OPTIONAL = ("z", "time", "page", "y_um", "x_um")


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    The table is ``images.csv`` (or .tsv, .parquet) in the folder, or at the entry's ``metadata``. Columns: well, field,
    channel, path; optionally plate (rows of others are left out), z (``max`` marks a projection), time, page (a page of
    a TIFF, or the leading indices of a Zarr array, such as ``0 3``), y_um and x_um. Paths start at the table's folder;
    those of a table outside the plate's folder start at the plate's folder.

    Raises
    ------
    MissingError
        When there is no table.
    InputError
        All at once: rows that make no sense, paths that leave the folder, two images for one place.
    """
    path = table_path(folder, entry)
    table = of_plate(read_table(path), "plate", path, folder, entry, sole="plate" not in entry)
    need(table, NEEDED, path)
    name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""
    start = name.rpartition("/")[0]
    files = list_files(folder)
    there = {file.name for file in files} | folders_with_chunks(files)
    images: list[Image] = []
    problems: list[PlatemaeError] = []
    for row in rows(table, [*NEEDED, *OPTIONAL]):
        try:
            images.append(_image(row, folder, start, there, where(path, row)))
        except PlatemaeError as problem:
            problems.append(problem)
        except ValueError as error:
            problems.append(InputError(str(error), where(path, row), "correct the table"))
    raise_all(few(problems, path))
    channels = list(dict.fromkeys(image.channel for image in images))
    found = assemble(folder, images, channels, entry, pixel_size_um=None, files=files, metadata=[name])
    return with_array_files(found, {i.plane.path for i in images if i.plane is not None}, folder, files)


def _image(row: Row, folder: Path, start: str, there: set[str], at: str) -> Image:
    if not row["channel"]:
        raise ValueError("an image has no channel")
    name = posixpath.join(start, inside(row["path"], at))
    index = tuple(whole(part) for part in row.get("page", "").replace(",", " ").split())
    if any(part < 0 for part in index):
        raise ValueError(f"page {row['page']!r} is negative")
    z = None if row.get("z") == "max" else whole(row.get("z", ""))
    y_um, x_um = number(row.get("y_um", "")), number(row.get("x_um", ""))
    plane = Plane(folder / name, index) if name in there else None
    well, site = well_of(row, "well"), label(row["field"] or "0")
    return Image(well, site, row["channel"], plane, z, whole(row.get("time", "")), y_um, x_um)


def table_of_zarr(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a table for a folder with one Zarr array (site, channel, y, x), as the JUMP demo writes it.

    Parameters
    ----------
    folder
        Holds ``images.zarr/images``, ``channels.csv`` (idx, channel) and ``sites.csv`` (idx, Plate, Well, Site).

    Raises
    ------
    MissingError
        When one of the tables is missing.
    InputError
        When one lacks a column.
    """
    channels = _read_rows(folder / "channels.csv", ("idx", "channel"))
    sites = _read_rows(folder / "sites.csv", ("idx", "Plate", "Well", "Site"))
    return [
        {
            "plate": site["Plate"],
            "well": site["Well"],
            "field": site["Site"],
            "channel": channel["channel"],
            "path": "images.zarr/images",
            "page": f"{site['idx']} {channel['idx']}",
        }
        for site in sites
        for channel in channels
    ]


def _read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    if not path.is_file():
        raise MissingError("a table that describes a Zarr array is missing", str(path), "copy it beside the array")
    table = read_table(path)
    need(table, columns, path)
    return rows(table, columns)
