"""The pattern reader: a regular expression over file names says well, field and channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from platemae.errors import ConfigError, InputError, PlatemaeError, raise_all
from platemae.readers.base import ChannelInfo, FieldRecord, Inventory, RawFile
from platemae.readers.files import list_files
from platemae.readers.names import field_label, field_order, join_well, parse_well, split_well
from platemae.readers.tiff import load_record

LISTED = 10
"""Files that an error lists before it only counts them."""

Place = tuple[str, str, str]
"""Well, field and channel name of a file."""


class PatternReader:
    """Reads folders of TIFFs, one plane a file, whose names say what they hold."""

    def inventory(self, folder: Path, entry: Mapping[str, Any]) -> Inventory:
        """Return what ``folder`` holds, without reading a pixel.

        The pattern must match the whole of a file's path below the folder (``/`` between its parts); a pattern
        without ``/`` is held against the file name alone.

        Raises
        ------
        ConfigError
            When the pattern is no regular expression, or lacks a group.
        InputError
            All at once: names that are no wells, unknown channels, two files for one place, no file matched.
        """
        channels = {str(channel["source"]): str(channel["name"]) for channel in entry["channels"]}
        where = f"readers: {entry['name']}"
        infos = tuple(ChannelInfo(channel["name"], channel["stain"]) for channel in entry["channels"])
        return match_files(folder, entry["pattern"], channels, infos, float(entry["pixel_size_um"]), where)

    def load(self, record: FieldRecord) -> np.ndarray:
        """Return the pixels of a field, (C, Y, X) in the source dtype; a missing channel is zeros.

        Raises
        ------
        InputError
            Naming the file that cannot be read.
        """
        return load_record(record)


def match_files(
    folder: Path,
    pattern: str,
    channels: Mapping[str, str],
    infos: tuple[ChannelInfo, ...],
    pixel_size_um: float,
    where: str,
) -> Inventory:
    """Join the files of a folder to wells, fields and channels by their names.

    Parameters
    ----------
    folder
        Folder of one plate.
    pattern
        Regular expression with groups channel, well (or row and column), optionally field.
    channels
        Text of the group channel -> name of the channel in the store.
    infos
        Channels in the order of the store.
    pixel_size_um
        Edge of a pixel in micrometres.
    where
        What errors about the pattern name.

    Raises
    ------
    PlatemaeError
        As :meth:`PatternReader.inventory`.
    """
    regex = _compile(pattern, where)
    _check_channels(channels, infos, where)
    files = list_files(folder)
    places: dict[Place, list[RawFile]] = {}
    unmatched: list[str] = []
    problems: list[PlatemaeError] = []
    strangers: dict[str, list[str]] = {}
    for file in files:
        match = regex.fullmatch(file.name if "/" in pattern else file.name.rsplit("/", 1)[-1])
        if match is None:
            unmatched.append(file.name)
        elif match["channel"] not in channels:
            strangers.setdefault(match["channel"], []).append(file.name)
        else:
            try:
                places.setdefault((*_well_and_field(match), channels[match["channel"]]), []).append(file)
            except ValueError as error:
                problems.append(InputError(str(error), f"{folder}/{file.name}", "correct the pattern of the reader"))
    problems = problems[:LISTED] + _unknown_channels(strangers, channels, where) + _duplicates(places, folder)
    if not places and not problems:
        problems.append(_nothing_matched(folder, pattern, unmatched, where))
    raise_all(problems)
    matched = tuple(sorted((file for found in places.values() for file in found), key=lambda file: file.name))
    records = _records(folder, places, [info.name for info in infos])
    return Inventory(records, infos, pixel_size_um, matched, tuple(unmatched))


def _compile(pattern: str, where: str) -> re.Pattern[str]:
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the pattern is no regular expression: {error}", f"{where}, pattern", "correct it") from None
    groups = set(regex.groupindex)
    if "channel" not in groups or not ("well" in groups or {"row", "column"} <= groups):
        raise ConfigError(
            f"the pattern has the groups {', '.join(sorted(groups)) or 'none'}",
            f"{where}, pattern",
            "name the groups (?P<channel>...), (?P<well>...) or (?P<row>...) and (?P<column>...), maybe (?P<field>...)",
        )
    return regex


def _check_channels(channels: Mapping[str, str], infos: tuple[ChannelInfo, ...], where: str) -> None:
    if len(set(channels.values())) < len(infos) or len({info.name for info in infos}) < len(infos):
        names = ", ".join(info.name for info in infos)
        what = f"two of the channels {names} share a name or a source"
        raise ConfigError(what, f"{where}, channels", "give each channel a name and a source of its own")


def _well_and_field(match: re.Match[str]) -> tuple[str, str]:
    groups = match.groupdict()
    well = parse_well(groups["well"]) if groups.get("well") else join_well(groups["row"], groups["column"])
    return well, field_label(groups.get("field") or "0")


def _unknown_channels(
    strangers: Mapping[str, list[str]], channels: Mapping[str, str], where: str
) -> list[PlatemaeError]:
    remedy = "add the channel to the reader, or narrow its pattern to the channels that you want"
    return [
        InputError(
            f"unknown channel {label!r} in {len(names)} files such as {names[0]}; expected: {', '.join(channels)}",
            f"{where}, channels",
            remedy,
        )
        for label, names in sorted(strangers.items())
    ]


def _duplicates(places: Mapping[Place, list[RawFile]], folder: Path) -> list[PlatemaeError]:
    problems: list[PlatemaeError] = [
        InputError(
            f"{len(files)} files for well {well}, field {field}, channel {channel}: "
            + ", ".join(file.name for file in files[:3]),
            str(folder),
            "keep one of them, or narrow the pattern of the reader",
        )
        for (well, field, channel), files in sorted(places.items())
        if len(files) > 1
    ]
    return problems[:LISTED]


def _nothing_matched(folder: Path, pattern: str, unmatched: list[str], where: str) -> InputError:
    seen = f"{len(unmatched)} files such as {unmatched[0]}" if unmatched else "the folder is empty"
    return InputError(f"no file matches the pattern {pattern!r}: {seen}", f"{folder} ({where})", "correct the pattern")


def _records(folder: Path, places: Mapping[Place, list[RawFile]], names: list[str]) -> tuple[FieldRecord, ...]:
    fields = sorted({place[:2] for place in places}, key=lambda f: (*_row_and_column(f[0]), field_order(f[1])))
    records = []
    for well, field in fields:
        found = {name: places.get((well, field, name)) for name in names}
        paths = {name: folder / files[0].name if files else None for name, files in found.items()}
        records.append(FieldRecord(well, field, paths))
    return tuple(records)


def _row_and_column(well: str) -> tuple[int, str, int]:
    row, column = split_well(well)
    return len(row), row, column
