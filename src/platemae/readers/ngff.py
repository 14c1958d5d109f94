"""OME-Zarr plates, NGFF 0.4 (Zarr v2) and 0.5 (Zarr v3), platemae's own stores among them.

https://ngff.openmicroscopy.org/0.4/#hcs-layout and https://ngff.openmicroscopy.org/0.5/#hcs-layout. Of a pyramid the
full resolution is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from math import isclose, isfinite, prod
from pathlib import Path
from typing import Any

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.readers.array_files import folders_with_chunks, with_array_files
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane
from platemae.readers.files import below, list_files
from platemae.readers.names import field_label
from platemae.wells import join_well

MAX_JSON = 2**26
"""Largest metadata file, bytes."""

MAX_PLANES = 100_000
"""Planes of one field; more are a false shape."""

MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_REMEDY = "copy the plate again, or write it again as OME-Zarr 0.4 or 0.5"
_NONSENSE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class _Field:
    """What the metadata of a field says: its planes, its channels with their stains, where known, and pixel size."""

    group: Path
    acquisition: int
    images: tuple[Image, ...]
    channels: Mapping[str, str | None]
    pixel_size_um: float | None


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    Channels are the labels of ``omero``; a store of platemae has stains too. Several acquisitions of a well count as
    time points. A field without any chunk is missing: its copy may still be running.

    Raises
    ------
    InputError
        All at once: metadata that is missing or makes no sense, paths that leave the folder, several pixel sizes.
    """
    files = list_files(folder)
    filled = folders_with_chunks(files)
    fields: list[_Field] = []
    problems: list[PlatemaeError] = []
    with _understood(folder, problems):
        for well, group in _wells(folder):
            with _understood(group, problems):
                for place, acquisition in _members(group):
                    with _understood(place, problems):
                        fields.append(_field(folder, well, place, acquisition, filled))
    more = len(problems) - LISTED
    raise_all(problems[:LISTED] + ([InputError(f"{more} more groups like these", str(folder))] if more > 0 else []))
    images = _timed(fields)
    stains = {name: stain for field in fields for name, stain in field.channels.items()}
    entry = {**entry, "channels": entry.get("channels") or _named(stains)}
    size = None if entry.get("pixel_size_um") else _common_size(fields, folder)
    metadata = [file.name for file in files if file.name.endswith("zarr.json")]
    found = assemble(folder, images, list(stains), entry, pixel_size_um=size, files=files, metadata=metadata)
    found = replace(found, notes=found.notes + _notes(folder))
    return with_array_files(found, [field.group for field in fields], folder, files)


def _notes(folder: Path) -> tuple[str, ...]:
    """Return a warning where a store of ours holds 8 bits of each pixel: what is copied from it is not the source's."""
    ours = _attributes(folder).get("platemae")
    if not (isinstance(ours, dict) and ours.get("source_ranges")):
        return ()
    return ("the plate was stored with 8 bits of each source pixel; features of cells measured on it are coarse",)


@contextmanager
def _understood(group: Path, problems: list[PlatemaeError]) -> Iterator[None]:
    """Add what goes wrong with a group to ``problems``, so that all are reported together."""
    try:
        yield
    except PlatemaeError as problem:
        problems.append(problem)
    except _NONSENSE as error:
        what = f"the metadata of a Zarr group cannot be understood: {type(error).__name__} {error}"
        problems.append(InputError(what[:500], str(group), _REMEDY))


def _attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a group, of either Zarr format."""
    path = next((p for p in (group / "zarr.json", group / ".zattrs") if p.is_file()), None)
    if path is None:
        raise InputError("a group of an OME-Zarr plate is missing", str(group), _REMEDY)
    content = _read_json(path)
    return dict(content["attributes"] if path.name == "zarr.json" else content)


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JSON + 1)
    except FileNotFoundError:
        raise MissingError("metadata of an OME-Zarr plate is missing", str(path), _REMEDY) from None
    except OSError as error:
        raise InputError(f"metadata cannot be read: {error.strerror}", str(path), _REMEDY) from None
    if len(data) > MAX_JSON:
        raise InputError(f"a metadata file is larger than {MAX_JSON >> 20} MiB", str(path), _REMEDY)
    return json.loads(data)


def _wells(folder: Path) -> list[tuple[str, Path]]:
    attributes = _attributes(folder)
    plate = attributes.get("ome", attributes)["plate"]
    names = [[str(line["name"]) for line in plate[key]] for key in ("rows", "columns")]
    wells: dict[str, Path] = {}
    for listed in plate["wells"]:
        path = below(folder, str(listed["path"]), str(folder))
        row, column = str(listed["path"]).split("/")
        indices = listed.get("rowIndex"), listed.get("columnIndex")
        if None not in indices and [row, column] != [line[_natural(i)] for line, i in zip(names, indices, strict=True)]:
            raise ValueError(f"the path {row}/{column} of a well contradicts its rowIndex and columnIndex")
        well = join_well(row, column)
        if well in wells:
            raise ValueError(f"the plate lists the well {well} twice")
        wells[well] = path
    return list(wells.items())


def _members(group: Path) -> list[tuple[Path, int]]:
    """Return the fields of a well: group and acquisition."""
    attributes = _attributes(group)
    listed = attributes.get("ome", attributes)["well"]["images"]
    members = {below(group, str(i["path"]), str(group)): _natural(i.get("acquisition") or 0) for i in listed}
    if len(members) < len(listed):
        raise ValueError("the well lists a field twice")
    return list(members.items())


def _field(folder: Path, well: str, group: Path, acquisition: int, filled: set[str]) -> _Field:
    attributes = _attributes(group)
    ome, ours = attributes.get("ome", attributes), attributes.get("platemae") or {}
    multiscale = ome["multiscales"][0]
    axes = multiscale.get("axes") or list("tczyx")  # what 0.1 and 0.2 mean without saying it
    names = [str(axis["name"] if isinstance(axis, dict) else axis) for axis in axes]
    array = below(group, str(multiscale["datasets"][0]["path"]), str(group))
    shape = _shape(array)
    doubtful = len(names) != len(shape) or len(set(names)) != len(names)
    if doubtful or names[-2:] != ["y", "x"] or not set(names[:-2]) <= set("tcz"):
        raise ValueError(f"axes {', '.join(names)} for an array of shape {shape}")
    if prod(shape[:-2]) > MAX_PLANES:
        raise ValueError(f"an array of shape {shape} has {prod(shape[:-2])} planes")
    channels = _channels(ome, ours, dict(zip(names, shape, strict=True)).get("c", 1))
    label = field_label(str(ours.get("field") or group.name))
    is_there = array.relative_to(folder).as_posix() in filled
    size = _pixel_size(multiscale, axes)
    center = _center(multiscale, shape, size) if ours and size else (None, None)
    images = []
    for index in product(*map(range, shape[:-2])):
        at = dict(zip(names, index, strict=False))
        plane, name = Plane(array, index) if is_there else None, list(channels)[at.get("c", 0)]
        images.append(Image(well, label, name, plane, at.get("z", 0), at.get("t", 0), *center))
    return _Field(group, acquisition, tuple(images), channels, size)


def _shape(array: Path) -> tuple[int, ...]:
    path = next((p for p in (array / "zarr.json", array / ".zarray") if p.is_file()), array / "zarr.json")
    shape = tuple(_natural(size) for size in _read_json(path)["shape"])
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"an array of shape {shape}")
    return shape


def _channels(ome: Mapping[str, Any], ours: Mapping[str, Any], n: int) -> dict[str, str | None]:
    """Return the names of a field's channels, each with its stain where platemae wrote it."""
    found: list[tuple[str, str | None]]
    if ours.get("channels"):
        found = [(str(c["name"]), str(c["stain"])) for c in ours["channels"]]
    elif (ome.get("omero") or {}).get("channels"):
        found = [(str(c.get("label") or i), None) for i, c in enumerate(ome["omero"]["channels"])]
    else:
        found = [(str(i), None) for i in range(n)]
    if len(found) != n:
        raise ValueError(f"{len(found)} channels are named, the array has {n}")
    names = [name for name, _ in found]
    return {name if names.count(name) == 1 else f"{name}-{i}": stain for i, (name, stain) in enumerate(found)}


def _pixel_size(multiscale: Mapping[str, Any], axes: Sequence[Any]) -> float | None:
    """Return the pixel size in micrometres; None where no scale or unit is given."""
    transforms = [*multiscale["datasets"][0].get("coordinateTransformations", [])]
    transforms += multiscale.get("coordinateTransformations") or []
    scales = [transform["scale"] for transform in transforms if transform["type"] == "scale"]
    units = [str(axis["unit"]) for axis in axes[-2:] if isinstance(axis, dict) and axis.get("unit")]
    if not scales or len(units) < 2:
        return None
    unknown = [unit for unit in units if unit not in MICROMETRES]
    if unknown:
        raise ValueError(f"the unit {unknown[0]!r} of an axis is none of {', '.join(MICROMETRES)}")
    y, x = (prod(float(s[i]) for s in scales) * MICROMETRES[unit] for i, unit in zip((-2, -1), units, strict=True))
    if not (0 < y < 1e6 and isclose(y, x, rel_tol=1e-3)):
        raise ValueError(f"a pixel of {y} x {x} micrometres is no square")
    return x


def _center(
    multiscale: Mapping[str, Any], shape: Sequence[int], size: float
) -> tuple[float, float] | tuple[None, None]:
    """Return row and column of a field's centre from that of its well, micrometres.

    Stores of platemae alone say it so: NGFF does not say where the origin of a translation lies.
    """
    transforms = multiscale["datasets"][0]["coordinateTransformations"]
    corner = next((t["translation"][-2:] for t in transforms if t["type"] == "translation"), None)
    if corner is None:
        return None, None
    y, x = (float(first) + (n - 1) / 2 * size for first, n in zip(corner, shape[-2:], strict=True))
    if not (isfinite(y) and isfinite(x)):
        raise ValueError(f"a field lies at {y}, {x} micrometres")
    return y, x


def _timed(fields: Sequence[_Field]) -> list[Image]:
    """Return all images, the time points of each acquisition after those of the one before."""
    rank = {acquisition: i for i, acquisition in enumerate(sorted({field.acquisition for field in fields}))}
    times = 1 + max((image.time for field in fields for image in field.images), default=0)
    return [replace(i, time=rank[field.acquisition] * times + i.time) for field in fields for i in field.images]


def _named(stains: Mapping[str, str | None]) -> list[dict[str, str]]:
    """Return the channels as an entry names them, where all stains are known."""
    known = {name: stain for name, stain in stains.items() if stain is not None}
    return [{"source": n, "name": n, "stain": s} for n, s in known.items()] if len(known) == len(stains) else []


def _common_size(fields: Sequence[_Field], folder: Path) -> float | None:
    sizes = [field.pixel_size_um for field in fields if field.pixel_size_um is not None]
    if sizes and not isclose(min(sizes), max(sizes), rel_tol=1e-3):
        what = f"fields have pixels of {min(sizes)} to {max(sizes)} micrometres"
        raise InputError(what, str(folder), "give images of another size a plate of their own")
    return sizes[0] if sizes else None


def _natural(value: Any) -> int:
    """Return a number of JSON that must be an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{str(value)[:50]!r} is no count")
    return value
