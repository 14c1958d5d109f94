"""RxRx1 and RxRx3 folders, ``{experiment}/Plate{n}/{well}_s{site}_w{channel}.png``, with their ``metadata.csv``.

https://github.com/recursionpharma/rxrx-datasets: RxRx1 lists sites, RxRx3 wells of one site each; RxRx3 has JPEG
2000 too, and names of channels without the ``w``. RxRx2 has the form of RxRx1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.readers.assemble import assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.files import list_files
from platemae.readers.table import few, label, need, read_table, rows, table_path, well_of, where
from platemae.wells import parse_well

IMAGE = re.compile(r"([A-Z]{1,2}\d{1,2})_s(\d{1,4})_w?(\d{1,2})\.(?:png|jp2|tiff?)", re.IGNORECASE)
PLATE_FOLDER = re.compile(r"Plate0*(\d+)")

STAINS = {
    "1": ("DNA", "Hoechst"),
    "2": ("ER", "Concanavalin A"),
    "3": ("Actin", "Phalloidin"),
    "4": ("RNA", "SYTO 14"),
    "5": ("Mito", "MitoTracker"),
    "6": ("Golgi", "WGA"),
}
"""Channel -> name and stain: Recursion's six-channel Cell Painting, https://www.rxrx.ai/rxrx1."""

RXRX3_UM = 0.65
"""Pixel size that RxRx3 and RxRx3-core state; RxRx1 states none."""


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    ``metadata.csv`` lies in the folder, up to three folders above, or at the entry's ``metadata``; it says which wells
    and sites there should be, and the folder's name, ``{experiment}/Plate{n}``, which rows are the plate's.

    Raises
    ------
    MissingError
        When there is no ``metadata.csv``.
    InputError
        All at once: a folder that is not named so, or that the metadata lacks; rows that name no well.
    """
    path = table_path(folder, entry)
    match = PLATE_FOLDER.fullmatch(folder.name)
    if match is None:
        remedy = "name the folders {experiment}/Plate{n}, as RxRx does"
        raise InputError("the name of the folder does not say which plate it is", str(folder), remedy)
    sites, is_rxrx3 = promised_sites(path, folder.absolute().parent.name, int(match[1]))
    files = list_files(folder)
    images, notes = _images(folder, files, sites)
    channels = sorted({image.channel for image in images}, key=int)
    images += _missing(images, sites, channels)
    described = [path.relative_to(folder).as_posix()] if path.is_relative_to(folder) else []
    size = RXRX3_UM if is_rxrx3 else None
    entry = with_stains(entry, channels)
    found = assemble(folder, images, channels, entry, pixel_size_um=size, files=files, metadata=described)
    return replace(found, notes=(*found.notes, *notes))


def promised_sites(path: Path, experiment: str, plate: int) -> tuple[list[tuple[str, str]], bool]:
    """Return well and site of all that a ``metadata.csv`` lists for a plate, and whether it is that of RxRx3.

    Raises
    ------
    InputError
        When it is no such table, lacks the plate, or names no wells.
    """
    table = read_table(path)
    is_rxrx3 = "experiment_name" in table.column_names
    columns = ["experiment_name", "plate", "address"] if is_rxrx3 else ["experiment", "plate", "well", "site"]
    need(table, columns, path)
    own = table.filter(pc.equal(table[columns[0]], experiment))
    own = own.filter(pc.is_in(own["plate"], pa.array([f"{plate}", f"{plate}.0", f"Plate{plate}"])))
    if not own.num_rows:
        what = f"the table has no row of experiment {experiment}, plate {plate}"
        raise InputError(what, str(path), "correct the names of the folders, or take the metadata of this data set")
    sites: dict[tuple[str, str], None] = {}
    problems: list[PlatemaeError] = []
    for row in rows(own, columns):
        try:
            sites[well_of(row, columns[2]), label(row.get("site") or "1")] = None
        except ValueError as error:
            problems.append(InputError(str(error), where(path, row), "correct the table"))
    raise_all(few(problems, path))
    return list(sites), is_rxrx3


def with_stains(entry: Mapping[str, Any], channels: Iterable[str]) -> dict[str, Any]:
    """Return the entry with Recursion's stains where it names no channels."""
    named = [
        {"source": c, "name": STAINS.get(c, (c, c))[0], "stain": STAINS.get(c, (c, f"channel {c}"))[1]}
        for c in channels
    ]
    return {**entry, "channels": entry.get("channels") or named}


def _images(folder: Path, files: Iterable[RawFile], sites: Sequence[tuple[str, str]]) -> tuple[list[Image], list[str]]:
    """Return the images in the folder itself, and what is odd about them."""
    images: list[Image] = []
    problems: list[PlatemaeError] = []
    for file in files:
        match = IMAGE.fullmatch(file.name)
        if match is None:
            continue
        try:
            well = parse_well(match[1])
        except ValueError as error:
            problems.append(InputError(str(error), f"{folder}/{file.name}", "remove the file"))
            continue
        images.append(Image(well, str(int(match[2])), str(int(match[3])), Plane(folder / file.name)))
    raise_all(few(problems, folder))
    known = {well for well, _ in sites}
    strangers = sorted({image.well for image in images} - known)
    note = f"the metadata lists no well {', '.join(strangers[:5])} ({len(strangers)} such wells have images)"
    return images, [note] if strangers else []


def _missing(images: Iterable[Image], sites: Iterable[tuple[str, str]], channels: Sequence[str]) -> list[Image]:
    """Return the images that the metadata promises and the folder lacks."""
    there = {(image.well, image.field, image.channel) for image in images}
    wanted = ((well, site, channel) for well, site in sites for channel in channels or STAINS)
    return [Image(*place, plane=None) for place in wanted if place not in there]
