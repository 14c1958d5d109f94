"""CellProfiler's ``load_data.csv``, as JUMP and the Cell Painting Gallery write it: a row a field, columns a channel.

https://broadinstitute.github.io/cellpainting-gallery/data_structure.html; columns of positions and pixel size as
pe2loaddata copies them from Harmony's index: metres, y upwards.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.readers.assemble import assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
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
)

PLATE, WELL, FIELD = "Metadata_Plate", "Metadata_Well", "Metadata_Site"
PLACE = ("Metadata_Row", "Metadata_Col")
POSITION = ("Metadata_PositionY", "Metadata_PositionX")
PIXEL_SIZE = "Metadata_ImageResolutionX"
METRES_BELOW = 0.1
"""Positions that all lie below are metres (a well is at most 0.04 wide); micrometres otherwise."""

REMOTE = ("s3:", "gs:", "http:", "https:", "ftp:")


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    The table lies in the folder or at the entry's ``metadata``; rows of other plates are left out. An image is the file
    at the named path where that lies below the folder, else (the table was written on another machine) the file of its
    name anywhere below the folder.

    Raises
    ------
    MissingError
        When there is no table.
    InputError
        All at once: rows without a well, names that two files bear, files that two rows claim, images
        that lie elsewhere.
    """
    path = table_path(folder, entry)
    table = of_plate(read_table(path), PLATE, path, folder, entry, sole="plate" not in entry)
    channels = _channels(table.column_names)
    need(table, [] if channels else ["FileName_... (or URL_...)"], path)
    need(table, [] if WELL in table.column_names else PLACE, path)
    columns = [WELL, *PLACE, FIELD, *POSITION, PIXEL_SIZE, *(c for pair in channels.values() for c in pair if c)]
    listed = rows(table, columns)
    files = list_files(folder)
    images = _images(listed, channels, path, _Finder.of(folder, files))
    described = [str(path.relative_to(folder))] if path.is_relative_to(folder) else []
    size = _pixel_size(listed, path)
    return assemble(folder, images, list(channels), entry, pixel_size_um=size, files=files, metadata=described)


def _channels(columns: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return channel -> its columns of folder (may be none) and of name; illumination functions are no channels."""
    known = set(columns)
    found: dict[str, tuple[str, str]] = {}
    for column in columns:
        kind, _, channel = column.partition("_")
        if channel.startswith("Illum") or not channel:
            continue
        if kind == "FileName":
            found[channel] = (f"PathName_{channel}" if f"PathName_{channel}" in known else "", column)
        elif kind == "URL" and f"FileName_{channel}" not in known:
            found[channel] = ("", column)
    return found


@dataclass(frozen=True)
class _Finder:
    """The files of a plate by path and by name, which of them rows have claimed, and images that lie elsewhere."""

    folder: Path
    root: str
    names: frozenset[str]
    by_base: Mapping[str, Sequence[str]]
    claimed: dict[str, str] = field(default_factory=dict)
    remote: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, files: Iterable[RawFile]) -> _Finder:
        by_base: dict[str, list[str]] = {}
        for file in files:
            by_base.setdefault(file.name.rsplit("/", 1)[-1], []).append(file.name)
        names = frozenset(name for names in by_base.values() for name in names)
        return cls(folder, f"{folder.absolute().as_posix()}/", names, by_base)

    def claim(self, text: str, at: str) -> Plane | None:
        """Return the plane that a table calls ``text``; None when its file is not there."""
        name = self._find(text, at)
        if name is None:
            if text.lower().startswith(REMOTE):
                self.remote.append(text)
            return None
        if name in self.claimed:
            remedy = "give every image a row of its own; keep the plate's own images alone in its folder"
            raise InputError(f"a file is named twice: {name}, before in {self.claimed[name]}", at, remedy)
        self.claimed[name] = at
        return Plane(self.folder / name)

    def _find(self, text: str, at: str) -> str | None:
        plain = posixpath.normpath(text.replace("\\", "/"))
        if plain.startswith(self.root):
            name = plain[len(self.root) :]
            return name if name in self.names else None
        if not plain.startswith("/") and ":" not in plain.split("/", 1)[0]:
            inside(plain, at)
            return plain if plain in self.names else None
        named = self.by_base.get(plain.rsplit("/", 1)[-1], ())
        if len(named) > 1:
            what = f"{len(named)} files bear the name of an image that lies elsewhere: {', '.join(named[:3])}"
            raise InputError(what, at, "keep the images of one plate in its folder, or correct the paths of the table")
        return named[0] if named else None


def _images(listed: Sequence[Row], channels: Mapping[str, tuple[str, str]], path: Path, finder: _Finder) -> list[Image]:
    images: list[Image] = []
    problems: list[PlatemaeError] = []
    unit = _unit(listed)
    for row in listed:
        try:
            images += _of_row(row, channels, unit, finder, where(path, row))
        except PlatemaeError as problem:
            problems.append(problem)
        except ValueError as error:
            problems.append(InputError(str(error), where(path, row), "correct the table"))
    if finder.remote and not finder.claimed:
        remedy = "copy the images into the plate's folder (`aws s3 sync --no-sign-request`), their names as they are"
        what = f"{len(finder.remote)} images lie elsewhere, such as {finder.remote[0][:200]}"
        problems.insert(0, InputError(what, str(path), remedy))
    raise_all(few(problems, path))
    return images


def _of_row(row: Row, channels: Mapping[str, tuple[str, str]], unit: float, finder: _Finder, at: str) -> list[Image]:
    """Return the images of a field."""
    well, site = well_of(row, WELL, PLACE), label(row.get(FIELD) or "0")
    y, x = (number(row.get(column, "")) for column in POSITION)
    y_um, x_um = None if y is None else -y * unit, None if x is None else x * unit
    return [
        Image(well, site, channel, finder.claim(_joined(row.get(folder, ""), row[name]), at), y_um=y_um, x_um=x_um)
        for channel, (folder, name) in channels.items()
        if row[name]
    ]


def _joined(folder: str, name: str) -> str:
    text = f"{folder.rstrip('/')}/{name}" if folder else name
    if text.lower().startswith("file:"):
        text = unquote(text[5:])
        return "/" + text.lstrip("/") if text.startswith("/") else text
    return text


def _unit(listed: Iterable[Row]) -> float:
    """Return the micrometres of the table's unit of position."""
    values = [
        abs(number(row.get(column, "")) or 0.0) for row in listed for column in POSITION if _is_number(row, column)
    ]
    return 1e6 if max(values, default=0.0) < METRES_BELOW else 1.0


def _is_number(row: Row, column: str) -> bool:
    try:
        return number(row.get(column, "")) is not None
    except ValueError:
        return False


def _pixel_size(listed: Iterable[Row], path: Path) -> float | None:
    """Return the pixel size in micrometres, where the table has Harmony's column of it."""
    texts = {row[PIXEL_SIZE] for row in listed if row.get(PIXEL_SIZE)}
    try:
        sizes = {round(float(text) * (1e6 if float(text) < 1e-3 else 1.0), 6) for text in texts}
    except (ValueError, OverflowError):
        raise InputError(f"{PIXEL_SIZE} is no number", str(path), "correct the table") from None
    if len(sizes) > 1 or not all(0 < size < 1e3 for size in sizes):
        what = f"{PIXEL_SIZE} has several or impossible values: {', '.join(map(str, sorted(sizes)[:5]))}"
        raise InputError(what, str(path), "give images of another size a plate of their own")
    return sizes.pop() if sizes else None
