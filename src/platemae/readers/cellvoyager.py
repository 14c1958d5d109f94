"""CellVoyager (CV7000, CV8000, CQ1): ``MeasurementData.mlf``, a record an image, and ``MeasurementDetail.mrf``.

The detail gives the pixel size and names the settings file (``.mes``), which gives the channels' names.
"""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.files import inside, list_files
from platemae.readers.formats import SUFFIXES
from platemae.readers.names import field_label, field_order
from platemae.readers.xml import local, stream
from platemae.wells import join_well

RECORDS = "MeasurementData.mlf"
DETAIL = "MeasurementDetail.mrf"
_CORRECTIONS = ("SC_", "DC_")  # shading and dark frames of the cameras


@dataclass(frozen=True)
class Record:
    """A record of the measurement: the attributes of its element, and the name of a file or the reason of a failure."""

    facts: Mapping[str, str]
    text: str

    @property
    def failed(self) -> bool:
        """Whether the instrument notes that it took no image."""
        return self.facts.get("Type") == "ERR"

    @property
    def placed(self) -> bool:
        """Whether the record says which image it is; a failed autofocus names the well alone."""
        return all(self.facts.get(key) for key in ("Row", "Column", "FieldIndex", "Ch"))


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    Channels are those of the records, in order of their numbers, by the target or fluorophore of the settings file,
    else ``C01``. A record of a failure counts as a missing image where it says which one; a failed autofocus names
    just its well, so it promises nothing and stands in the notes. An image that was processed over depths is a
    projection. Where each well belongs to one of several timelines, time points are counted from 1 in each of them.
    A file that is not there under its name may be there in another format.

    Raises
    ------
    MissingError
        When folder or records are missing.
    InputError
        When a metadata file is no XML; all records at once that name no well, no file, or one outside the folder; and
        as :func:`platemae.readers.assemble.assemble`.
    """
    files = list_files(folder)
    records = _read(folder)
    detail, settings = _detail(folder, {file.name for file in files})
    channels = _channels(records, settings)
    images = _images(_last(records), channels, folder, files)
    found = assemble(
        folder,
        images,
        list(channels.values()),
        entry,
        pixel_size_um=next((size for channel in channels if (size := _pixel_size(detail.get(channel, {})))), None),
        files=files,
        metadata=[file.name for file in files if _describes(file.name)],
    )
    return replace(found, notes=found.notes + _notes(records))


def _read(folder: Path) -> list[Record]:
    path = folder / RECORDS
    found = (
        Record(_attributes(element), (element.text or "").strip()) for element in stream(path, {"MeasurementRecord"})
    )
    records = [record for record in found if record.failed or record.facts.get("Type", "IMG") == "IMG"]
    if not any(not record.failed for record in records):
        what = f"the records of a plate list no image, and {len(records)} failures"
        raise InputError(what, str(path), "copy them again from the instrument")
    return records


def _attributes(element: Element) -> dict[str, str]:
    return {key.rpartition("}")[2]: value for key, value in element.attrib.items()}


def _detail(folder: Path, names: Collection[str]) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return what detail and settings file say of each channel number; nothing where they are not there."""
    path = folder / DETAIL
    root = next(stream(path, {"MeasurementDetail"}), None) if DETAIL in names else None
    if root is None:
        return {}, {}
    detail = _by_number(child for child in root if local(child.tag) == "MeasurementChannel")
    setting = _attributes(root).get("MeasurementSettingFileName")
    file = inside(setting, str(path)) if setting else ""
    return detail, _by_number(stream(folder / file, {"Channel"})) if file in names else {}


def _by_number(channels: Iterable[Element]) -> dict[str, dict[str, str]]:
    found = (_attributes(channel) for channel in channels)
    return {facts["Ch"]: facts for facts in found if facts.get("Ch")}


def _channels(records: Iterable[Record], settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return channel number -> name; the number where there is no name, and with it where names repeat."""
    numbers = sorted({record.facts["Ch"] for record in records if record.facts.get("Ch")}, key=field_order)
    names = {}
    for number in numbers:
        facts = settings.get(number, {})
        names[number] = facts.get("Target") or facts.get("Fluorophore") or ""
    often = Counter(names.values())
    return {
        number: f"{name} C{number:0>2}".strip() if often[name] > 1 or not name else name
        for number, name in names.items()
    }


def _last(records: Iterable[Record]) -> list[Record]:
    """Return the records of images, without failures that a later record of the same image made good."""
    good = {_place(record) for record in records if not record.failed}
    return [r for r in records if not r.failed or (r.placed and _place(r) not in good)]


def _place(record: Record) -> tuple[str | None, ...]:
    return tuple(record.facts.get(key) for key in ("Row", "Column", "FieldIndex", "Ch", "ZIndex", "TimePoint"))


def _images(
    records: Sequence[Record], channels: Mapping[str, str], folder: Path, files: Iterable[RawFile]
) -> list[Image]:
    there = {file.name: folder / file.name for file in files}
    path_of_records, images = folder / RECORDS, list[Image]()
    problems: list[PlatemaeError] = []
    for number, record in enumerate(records, 1):
        where = f"{path_of_records}, image record {number}"
        try:
            path = None if record.failed else _path(inside(record.text, where), there)
            images.append(_image(record.facts, channels, path))
        except InputError as error:
            problems.append(error)
        except ValueError as error:
            problems.append(InputError(f"a record is wrong: {error}", where, "copy the records again"))
    more = len(problems) - LISTED
    raise_all(problems[:LISTED] + ([InputError(f"{more} more such records", str(folder))] if more > 0 else []))
    return _in_turn(images, [record.facts.get("TimelineIndex", "") for record in records])


def _path(name: str, there: Mapping[str, Path]) -> Path | None:
    """Return the path of an image that is there; facilities convert TIFF to PNG and leave the records as they are."""
    if name in there:
        return there[name]
    stem = posixpath.splitext(name)[0]
    return next((there[stem + suffix] for suffix in SUFFIXES if stem + suffix in there), None)


def _image(facts: Mapping[str, str], channels: Mapping[str, str], path: Path | None) -> Image:
    for key in ("Row", "Column", "FieldIndex", "Ch"):
        if not facts.get(key):
            raise ValueError(f"it has no {key}")
    x_um, y_um = _number(facts.get("X")), _number(facts.get("Y"))
    return Image(
        join_well(facts["Row"], facts["Column"]),
        field_label(facts["FieldIndex"]),
        channels[facts["Ch"]],
        None if path is None else Plane(path),
        z=None if facts.get("ZImageProcessing") else int(facts.get("ZIndex") or 1),
        time=int(facts.get("TimePoint") or 1),
        y_um=None if x_um is None or y_um is None else 0.0 - y_um,
        x_um=None if y_um is None else x_um,
    )


def _in_turn(images: Sequence[Image], timelines: Sequence[str]) -> list[Image]:
    """Return the images with time points counted from 1 in each timeline, where every well has a timeline of its own.

    The instrument counts on from one timeline to the next, so that wells of the second would have no first time point.
    """
    times: dict[str, set[int]] = {}
    wells: dict[str, set[str]] = {}
    for image, timeline in zip(images, timelines, strict=True):
        times.setdefault(timeline, set()).add(image.time)
        wells.setdefault(image.well, set()).add(timeline)
    if len(times) < 2 or any(len(found) > 1 for found in wells.values()):
        return list(images)
    turns = {(line, time): turn for line, found in times.items() for turn, time in enumerate(sorted(found), 1)}
    return [replace(i, time=turns[line, i.time]) for i, line in zip(images, timelines, strict=True)]


def _pixel_size(facts: Mapping[str, str]) -> float | None:
    size = _number(facts.get("HorizontalPixelDimension"))
    return size if size is not None and size > 0 else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _describes(name: str) -> bool:
    """Return whether a file belongs to the measurement without being one of its images."""
    return not name.lower().endswith(SUFFIXES) or name.rpartition("/")[2].startswith(_CORRECTIONS)


def _notes(records: Iterable[Record]) -> tuple[str, ...]:
    failures = [record.text for record in records if record.failed]
    if not failures:
        return ()
    return (f"the instrument notes {len(failures)} failures, such as {failures[0][:120] or 'one without a reason'!r}",)
