"""Operetta and Opera Phenix: the ``Index.idx.xml`` that Harmony (V4 to V6 and later) writes beside the images.

V4 and V5 repeat every fact in each image; from V6 on the facts that a channel's images share stand in its map entry.
Tags are compared without their name space, which changes with each version.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.detect import METADATA, metadata_of
from platemae.readers.files import inside, list_files
from platemae.readers.names import field_label, field_order
from platemae.readers.xml import attribute, local, stream
from platemae.wells import join_well

Facts = Mapping[str, str]
"""Texts of the children of an image or of a channel's entry, by name; a length's unit as ``name Unit``."""

_LENGTHS = ("ImageResolutionX", "PositionX", "PositionY")
_TEXTS = ("id", "State", "URL", "Row", "Col", "FieldID", "PlaneID", "TimepointID", "ChannelID", "ChannelName")
_UNIT_OF = {name: f"{name} Unit" for name in _LENGTHS}
_MICROMETRES = {"m": 1e6, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3}
_DESCRIBING = (".xml", ".txt", ".csv", ".json", ".log")


class _Known(dict[str, str]):
    """Tag -> its name without name space where it is a fact that is read, else empty; looked at once a tag."""

    def __missing__(self, tag: str) -> str:
        name = local(tag)
        self[tag] = name if name in _TEXTS or name in _LENGTHS else ""
        return self[tag]


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    Wells, fields, planes, times and channels are those of the index; an image whose state is not ``Ok`` counts as
    missing. Channels come in the order of their ids, by their names, with the id where names repeat. Positions and
    pixel size are in metres there (unless a unit says otherwise), y upwards; here in micrometres, y downwards.

    Raises
    ------
    MissingError
        When folder or index is missing.
    InputError
        When the index is no XML or empty; all images at once that name no well, no file, or one outside the index's
        folder; and as :func:`platemae.readers.assemble.assemble`.
    """
    files = list_files(folder)
    index = _index(folder)
    listed, entries = _read(index)
    channels = _channels(listed, entries)
    images = _images(listed, channels, folder, index, files)
    found = assemble(
        folder,
        images,
        list(channels.values()),
        entry,
        pixel_size_um=_pixel_size([*listed, *entries.values()]),
        files=files,
        metadata=[file.name for file in files if file.name.lower().endswith(_DESCRIBING)],
    )
    return replace(found, notes=found.notes + _notes(listed))


def _index(folder: Path) -> Path:
    found = metadata_of("operetta", folder)
    if not found:
        what = f"the index of a plate is missing: none of {', '.join(METADATA['operetta'])} is there"
        raise MissingError(what, str(folder), "copy it from the instrument, or correct `path` of plates.tsv")
    return found[0]


def _read(index: Path) -> tuple[list[Facts], dict[str, dict[str, str]]]:
    """Return the facts of all images, and what the maps say of each channel id."""
    images: list[Facts] = []
    entries: dict[str, dict[str, str]] = {}
    known = _Known()
    for element in stream(index, {"Image", "Entry"}):
        if local(element.tag) == "Entry":
            entries.setdefault(attribute(element, "ChannelID") or "", {}).update(_facts(element, known))
        elif len(element):  # those without children are references from a well to its images
            images.append(_facts(element, known))
    if not images:
        raise InputError("the index of a plate lists no image", str(index), "copy it again from the instrument")
    return images, entries


def _facts(element: Element, known: _Known) -> dict[str, str]:
    facts: dict[str, str] = {}
    for child in element:  # three million of them on a large plate
        name = known[child.tag]
        if name:
            facts[name] = (child.text or "").strip()
            if name in _LENGTHS:
                facts[_UNIT_OF[name]] = child.get("Unit") or "m"
    return facts


def _channels(images: Iterable[Facts], entries: Mapping[str, Facts]) -> dict[str, str]:
    """Return channel id -> name, in order of the ids; only channels that have images."""
    named: dict[str, str] = {}
    for facts in images:
        channel = facts.get("ChannelID")
        if channel and not named.get(channel):
            named[channel] = facts.get("ChannelName") or entries.get(channel, {}).get("ChannelName") or ""
    often = Counter(named.values())
    return {
        channel: f"{name} ch{channel}".strip() if often[name] > 1 or not name else name
        for channel, name in sorted(named.items(), key=lambda item: field_order(item[0]))
    }


def _images(
    listed: Sequence[Facts], channels: Mapping[str, str], folder: Path, index: Path, files: Iterable[RawFile]
) -> list[Image]:
    there = {file.name for file in files}
    prefix = index.parent.relative_to(folder).as_posix() + "/" if index.parent != folder else ""
    at, images = str(index), list[Image]()
    problems: list[PlatemaeError] = []
    for facts in listed:
        where = f"{at}, image {facts.get('id') or '?'}"
        try:
            name = prefix + inside(_needed(facts, "URL"), where)
            images.append(_image(facts, channels, folder / name if name in there and _is_ok(facts) else None))
        except InputError as error:
            problems.append(error)
        except ValueError as error:
            problems.append(InputError(f"an image of the index is wrong: {error}", where, "copy the index again"))
    more = len(problems) - LISTED
    raise_all(problems[:LISTED] + ([InputError(f"{more} more such images", str(index))] if more > 0 else []))
    return images


def _image(facts: Facts, channels: Mapping[str, str], path: Path | None) -> Image:
    x_um, y_um = _micrometres(facts, "PositionX"), _micrometres(facts, "PositionY")
    return Image(
        join_well(_needed(facts, "Row"), _needed(facts, "Col")),
        field_label(_needed(facts, "FieldID")),
        channels[_needed(facts, "ChannelID")],
        None if path is None else Plane(path),
        z=int(facts.get("PlaneID") or 1),
        time=int(facts.get("TimepointID") or 0),
        y_um=None if x_um is None or y_um is None else 0.0 - y_um,
        x_um=None if y_um is None else x_um,
    )


def _pixel_size(facts: Iterable[Facts]) -> float | None:
    sizes = (_micrometres(place, "ImageResolutionX") for place in facts)
    return next((size for size in sizes if size is not None and size > 0), None)


def _micrometres(facts: Facts, name: str) -> float | None:
    """Return a length in micrometres; None where it is absent or no number."""
    try:
        value = float(facts.get(name, "")) * _MICROMETRES[facts[_UNIT_OF[name]]]
    except (ValueError, KeyError):
        return None
    return value if math.isfinite(value) else None


def _needed(facts: Facts, name: str) -> str:
    text = facts.get(name)
    if not text:
        raise ValueError(f"it has no {name}")
    return text


def _is_ok(facts: Facts) -> bool:
    return (facts.get("State") or "Ok") == "Ok"


def _notes(listed: Iterable[Facts]) -> tuple[str, ...]:
    bad = [facts["State"] for facts in listed if not _is_ok(facts)]
    return (f"images that are not Ok and count as missing: {len(bad)}, such as one {bad[0][:40]!r}",) if bad else ()
