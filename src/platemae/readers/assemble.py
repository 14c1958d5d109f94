"""From a list of images to the inventory of a plate: what every reader has in common.

Time points: one is chosen. Depths: a plane, or all of them for a projection while the pixels are read. A projection
that the instrument wrote beside a stack is left out, so that nothing is counted twice; alone it stands for the channel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platemae.errors import ConfigError, InputError, PlatemaeError, raise_all
from platemae.readers.base import ChannelInfo, FieldRecord, Image, Inventory, Plane, RawFile
from platemae.readers.names import field_order
from platemae.stains import stain_of
from platemae.wells import well_order

LISTED = 10
"""Problems that an error lists before it only counts them."""

Place = tuple[str, str, str]
"""Well, field and channel of an image, the channel by its name in the store."""


def assemble(
    folder: Path,
    images: Sequence[Image],
    channels: Sequence[str],
    entry: Mapping[str, Any],
    *,
    pixel_size_um: float | None,
    files: Iterable[RawFile],
    metadata: Iterable[str] = (),
    counted: bool = True,
) -> Inventory:
    """Join images to fields.

    Parameters
    ----------
    folder
        Folder of the plate.
    images
        In any order.
    channels
        The instrument's names of its channels, in its order.
    entry
        The entry of the configuration's ``readers``: ``channels`` renames, selects and orders; ``z``, ``time_point``
        and ``pixel_size_um`` as documented in the configuration.
    pixel_size_um
        As the instrument says; the entry's own value goes first.
    files
        All files of the folder.
    metadata
        Names of the metadata files among them, which belong to no field and are no surprise.
    counted
        Whether ``images`` comes from metadata that promises each of them.

    Raises
    ------
    ConfigError
        When the entry names a channel that the plate lacks, or the pixel size is unknown.
    InputError
        All at once: no image at all, two images for one place, no image of the chosen time point or depth.
    """
    where = f"readers: {entry['name']}"
    names, infos = _channels(channels, entry.get("channels") or [], where)
    size = _pixel_size(entry, pixel_size_um, where)
    if not images:
        raise InputError("the plate has no image", str(folder), "copy the images, or correct the reader")
    kept = [image for image in images if image.channel in names]
    time, times = _time(kept, entry.get("time_point"), folder)
    chosen = [image for image in kept if image.time == time]
    stacks = _stacks(chosen, names)
    raise_all(_duplicates(stacks, folder))
    records = _records(stacks, [info.name for info in infos], entry.get("z", "max"), folder)
    used, unknown = _sorted_out(files, records, images, metadata, folder)
    depths = {len({image.z for image in stack if image.z is not None}) for stack in stacks.values()}
    return Inventory(
        records,
        infos,
        size,
        used,
        unknown,
        promised=len(chosen) if counted else None,
        found=sum(image.plane is not None for image in chosen),
        n_z=max(depths | {1}),
        n_times=times,
        notes=(f"{times} time points; {time} is used",) if times > 1 else (),
    )


def _channels(
    found: Sequence[str], wanted: Sequence[Mapping[str, str]], where: str
) -> tuple[dict[str, str], tuple[ChannelInfo, ...]]:
    """Return the instrument's name -> name in the store, and the channels in the order of the store."""
    if not wanted:
        names = {source: safe_name(source) for source in found}
        if len(set(names.values())) < len(names):
            raise ConfigError(
                f"channels cannot be told apart by name: {', '.join(found)}", where, "name them under `channels`"
            )
        return names, tuple(ChannelInfo(name, stain_of(source) or source) for source, name in names.items())
    lacking = [channel["source"] for channel in wanted if channel["source"] not in found]
    if lacking:
        what = f"the plate has no channel {', '.join(map(repr, lacking))}; it has {', '.join(map(repr, found))}"
        raise ConfigError(what, f"{where}, channels", "correct `source`")
    names = {channel["source"]: channel["name"] for channel in wanted}
    if len(names) < len(wanted) or len(set(names.values())) < len(wanted):
        what = f"two of the channels {', '.join(c['name'] for c in wanted)} share a name or a source"
        raise ConfigError(what, f"{where}, channels", "give each channel a name and a source of its own")
    return names, tuple(ChannelInfo(channel["name"], channel["stain"]) for channel in wanted)


def safe_name(text: str) -> str:
    """Return an instrument's name of a channel as a name: ``Fluorescein (FITC)`` becomes ``Fluorescein_FITC``."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in ".-+") else "_" for c in text)
    return "_".join(part for part in kept.split("_") if part).lstrip("._-+")[:100] or "channel"


def _pixel_size(entry: Mapping[str, Any], found: float | None, where: str) -> float:
    size = entry.get("pixel_size_um") or found
    if size is None:
        raise ConfigError(
            "the pixel size is unknown: the plate's metadata does not say it", f"{where}, pixel_size_um", "set it"
        )
    return float(size)


def _time(images: Sequence[Image], wanted: int | None, folder: Path) -> tuple[int, int]:
    """Return the chosen time point (the first by default), and how many there are."""
    times = sorted({image.time for image in images})
    if wanted is not None and wanted not in times:
        what = f"no image is of time point {wanted}; there are {', '.join(map(str, times[:LISTED]))}"
        raise InputError(what, str(folder), "set `time_point` of the reader to one of them")
    return (times[0] if wanted is None else wanted) if times else 0, len(times)


def _stacks(images: Iterable[Image], names: Mapping[str, str]) -> dict[Place, list[Image]]:
    """Return the images of each place in order of depth; a projection only where there is no stack."""
    stacks: dict[Place, list[Image]] = {}
    for image in images:
        stacks.setdefault((image.well, image.field, names[image.channel]), []).append(image)
    for place, stack in stacks.items():
        planes = [image for image in stack if image.z is not None]
        stacks[place] = sorted(planes, key=lambda image: image.z or 0) or stack
    return stacks


def _duplicates(stacks: Mapping[Place, Sequence[Image]], folder: Path) -> list[PlatemaeError]:
    problems: list[PlatemaeError] = []
    for (well, field, channel), stack in sorted(stacks.items()):
        depths: dict[int | None, list[Image]] = {}
        for image in stack:
            depths.setdefault(image.z, []).append(image)
        for z, images in depths.items():
            if len(images) > 1:
                at = f", z {z}" if len(depths) > 1 else ""
                named = ", ".join(_file(image.plane, folder) for image in images[:3])
                what = f"{len(images)} files for well {well}, field {field}, channel {channel}{at}: {named}"
                remedy = "keep one of them, or narrow what the reader takes"
                problems.append(InputError(what, str(folder), remedy))
    more = len(problems) - LISTED
    return problems[:LISTED] + ([InputError(f"{more} more such places", str(folder))] if more > 0 else [])


def _file(plane: Plane | None, folder: Path) -> str:
    if plane is None:
        return "a missing file"
    return str(plane.path.relative_to(folder) if plane.path.is_relative_to(folder) else plane.path)


def _records(
    stacks: Mapping[Place, Sequence[Image]], names: Sequence[str], z: str | int, folder: Path
) -> tuple[FieldRecord, ...]:
    fields = sorted({place[:2] for place in stacks}, key=lambda f: (well_order(f[0]), field_order(f[1])))
    records = []
    for well, field in fields:
        found = {name: _at_depth(stacks.get((well, field, name), ()), z) for name in names}
        planes = {name: tuple(i.plane for i in stack if i.plane is not None) for name, stack in found.items()}
        gaps = tuple(name for name, stack in found.items() if any(i.plane is None for i in stack) and planes[name])
        placed = [i for name in names for i in stacks.get((well, field, name), ()) if i.y_um is not None]
        y_um, x_um = (placed[0].y_um, placed[0].x_um) if placed else (None, None)
        projection = z if isinstance(z, str) else "max"
        records.append(FieldRecord(well, field, planes, projection, gaps, y_um, x_um))
    if records and all(not planes for record in records for planes in record.planes.values()):
        raise InputError("no image of the plate is there", str(folder), "copy the images, or choose another `z`")
    return tuple(records)


def _sorted_out(
    files: Iterable[RawFile],
    records: Iterable[FieldRecord],
    images: Iterable[Image],
    metadata: Iterable[str],
    folder: Path,
) -> tuple[tuple[RawFile, ...], tuple[str, ...]]:
    """Return the files that become the store, and the names of those that nothing tells of, both in order."""
    # Names, not paths: with a hundred thousand files this is most of the time that an inventory takes.
    start = len(str(folder / "_")) - 1
    used = {str(plane.path)[start:] for record in records for planes in record.planes.values() for plane in planes}
    # Images of other channels, times and depths belong to the plate, though not to its store.
    known = used | {*metadata} | {str(image.plane.path)[start:] for image in images if image.plane is not None}
    listed = sorted(files, key=lambda file: file.name)
    kept = tuple(file for file in listed if file.name in used)
    return kept, tuple(file.name for file in listed if file.name not in known)


def _at_depth(stack: Sequence[Image], z: str | int) -> Sequence[Image]:
    """Return the planes that ``z`` asks for; a channel that has a single plane gives that one."""
    if isinstance(z, str) or len(stack) <= 1:
        return stack
    return [image for image in stack if image.z == z]
