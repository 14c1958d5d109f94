"""OME-TIFFs: one a field or one a well, with companion files or without; channels and planes as their OME-XML says."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import tifffile

from platemae.errors import ConfigError, InputError, PlatemaeError, raise_all
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane
from platemae.readers.files import below, list_files
from platemae.readers.names import field_label
from platemae.readers.ome_xml import Ome, OmeImage, parse_ome
from platemae.readers.pattern import compile_pattern
from platemae.readers.tiff import DAMAGE
from platemae.readers.xml import MAX_BYTES
from platemae.wells import join_well, parse_well

TIFF_SUFFIXES = (".tif", ".tiff")
COMPANION = ".companion.ome"


@dataclass(frozen=True)
class _Found:
    """An image of an OME-XML with the field that it shows, and its planes by name of file, None where that is gone."""

    well: str
    label: str
    order: tuple[int, str, int]
    image: OmeImage
    files: tuple[str | None, ...]
    yx_um: tuple[float, float] | None


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    The well of an image is that of the plate section (SPW), where its file has one; else what the groups of the entry's
    ``pattern`` say (well, or row and column, optionally field) of the file's name. Of a file with several images, each
    is a field. Positions of the plate section count as written, others from the middle of the well's fields.

    Raises
    ------
    ConfigError
        When a pattern is needed and there is none, or it lacks a group.
    InputError
        All at once: files that cannot be read, metadata that makes no sense, names that are no wells.
    """
    files = list_files(folder)
    there = [file.name for file in files]
    known = frozenset(there)
    pattern = entry.get("pattern")
    where = f"readers: {entry['name']}"
    regex = compile_pattern(pattern, where, channel=False) if pattern else None
    found: list[_Found] = []
    problems: list[PlatemaeError] = []
    for name, ome, pages in _described(folder, there, problems):
        for number, image in enumerate(ome.images):
            try:
                planes = _files(folder, name, image, known, pages)
                found.append(_placed(name, ome, image, number, planes, regex, where))
            except PlatemaeError as problem:
                problems.append(problem)
            except ValueError as error:
                problems.append(InputError(str(error), f"{folder}/{name}", "correct the pattern of the reader"))
    more = len(problems) - LISTED
    raise_all(problems[:LISTED] + ([InputError(f"{more} more such files", str(folder))] if more > 0 else []))
    images = list(_images(folder, found))
    channels = list(dict.fromkeys(channel for f in found for channel in f.image.channels))
    size = None if entry.get("pixel_size_um") else _common_size(found, folder)
    metadata = [name for name in there if name.endswith(COMPANION)]
    return assemble(folder, images, channels, entry, pixel_size_um=size, files=files, metadata=metadata)


def _described(
    folder: Path, names: Iterable[str], problems: list[PlatemaeError]
) -> Iterator[tuple[str, Ome, int | None]]:
    """Yield the files with OME-XML of their own and their number of pages; companions first.

    A file whose planes another one's XML has named is passed over: it repeats the same XML.
    """
    covered: set[str] = set()
    wanted = [n for n in names if n.endswith(COMPANION) or n.lower().endswith(TIFF_SUFFIXES)]
    for name in sorted(wanted, key=lambda n: (not n.endswith(COMPANION), n)):
        if name in covered:
            continue
        try:
            data, pages = _read(folder / name)
            ome = parse_ome(data, str(folder / name))
        except PlatemaeError as problem:
            problems.append(problem)
            continue
        if ome is not None and ome.images:
            parent = posixpath.dirname(name)
            covered |= {posixpath.normpath(posixpath.join(parent, p.file)) for i in ome.images for p in i.planes}
            yield name, ome, pages


def _read(path: Path) -> tuple[bytes, int | None]:
    """Return the XML of a companion file, or the description of a TIFF's first page and the number of its pages."""
    try:
        if path.name.endswith(COMPANION):
            with path.open("rb") as file:
                return file.read(MAX_BYTES), None
        with tifffile.TiffFile(path) as tiff:
            return tiff.pages.first.description.encode("utf-8", "replace"), len(tiff.pages)
    except DAMAGE as error:
        raise InputError(f"a TIFF cannot be read: {error}", str(path), "copy it again from the instrument") from None


def _files(
    folder: Path, name: str, image: OmeImage, there: frozenset[str], pages: int | None
) -> tuple[str | None, ...]:
    """Return the file of each plane, None where the file or the page of it is not there."""
    files: dict[str, str | None] = {"": name}
    for file in {plane.file for plane in image.planes} - {""}:
        path = below(folder, posixpath.join(posixpath.dirname(name), file.replace("\\", "/")), f"{folder}/{name}")
        relative = posixpath.relpath(path, folder)
        files[file] = relative if relative in there else None
    lacking = pages or 0
    return tuple(
        None if pages is not None and files[p.file] == name and p.page >= lacking else files[p.file]
        for p in image.planes
    )


def _placed(
    name: str,
    ome: Ome,
    image: OmeImage,
    number: int,
    files: tuple[str | None, ...],
    regex: re.Pattern[str] | None,
    where: str,
) -> _Found:
    sample = ome.samples.get(image.id)
    if sample is not None:
        return _Found(sample.well, "", (sample.index, name, number), image, files, sample.yx_um)
    if regex is None:
        what = f"the OME-XML of {name} does not say the well of an image"
        raise ConfigError(what, f"{where}, pattern", "set it, with groups well (or row and column), maybe field")
    named = next((file for file in files if file is not None), name)
    match = regex.fullmatch(named if "/" in regex.pattern else named.rsplit("/", 1)[-1])
    if match is None:
        raise ValueError(f"the file name does not match the pattern {regex.pattern!r}")
    groups = match.groupdict()
    well = parse_well(groups["well"]) if groups.get("well") else join_well(groups["row"], groups["column"])
    label = field_label(groups.get("field") or "")
    several = len(ome.images) > 1
    label = "-".join(part for part in (label, str(number) if several else "") if part) or "0"
    return _Found(well, label, (0, name, number), image, files, None)


def _images(folder: Path, found: Sequence[_Found]) -> Iterator[Image]:
    wells: dict[str, list[_Found]] = {}
    for f in found:
        wells.setdefault(f.well, []).append(f)
    for well, fields in wells.items():
        origin = _middle(fields)
        for rank, f in enumerate(sorted(fields, key=lambda f: f.order)):
            y_um, x_um = _position(f, origin)
            for plane, file in zip(f.image.planes, f.files, strict=True):
                at = Plane(folder / file, (plane.page,)) if file is not None else None
                channel = f.image.channels[plane.c]
                yield Image(well, f.label or str(rank), channel, at, plane.z, plane.t, y_um, x_um)


def _middle(fields: Iterable[_Found]) -> tuple[float, float]:
    """Return the mean stage position of a well's fields: stages count from a corner of the plate, or from anywhere."""
    places = [f.image.yx_um for f in fields if f.image.yx_um is not None]
    return sum(y for y, _ in places) / max(len(places), 1), sum(x for _, x in places) / max(len(places), 1)


def _position(f: _Found, origin: tuple[float, float]) -> tuple[float, float] | tuple[None, None]:
    if f.yx_um is not None:
        return f.yx_um
    if f.image.yx_um is None:
        return None, None
    return f.image.yx_um[0] - origin[0], f.image.yx_um[1] - origin[1]


def _common_size(found: Iterable[_Found], folder: Path) -> float | None:
    sizes = [f.image.pixel_size_um for f in found if f.image.pixel_size_um is not None]
    if sizes and not isclose(min(sizes), max(sizes), rel_tol=1e-3):
        what = f"fields have pixels of {min(sizes)} to {max(sizes)} micrometres"
        raise InputError(what, str(folder), "give images of another size a plate of their own")
    return sizes[0] if sizes else None
