"""The pattern reader: a regular expression over file names says well, field and channel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platemae.errors import ConfigError, InputError, PlatemaeError, raise_all
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.files import list_files
from platemae.readers.names import field_label
from platemae.wells import join_well, parse_well


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds, without reading a pixel.

    The pattern must match the whole of a file's path below the folder (``/`` between its parts); a pattern without
    ``/`` is held against the file name alone.

    Raises
    ------
    ConfigError
        When the pattern is no regular expression, or lacks a group.
    InputError
        All at once: names that are no wells, unknown channels, two files for one place, no file matched.
    """
    where = f"readers: {entry['name']}"
    files = list_files(folder)
    images = match_files(folder, files, entry["pattern"], [c["source"] for c in entry["channels"]], where)
    channels = [channel["source"] for channel in entry["channels"]]
    return assemble(folder, images, channels, entry, pixel_size_um=None, files=files, counted=False)


def match_files(
    folder: Path, files: Iterable[RawFile], pattern: str, channels: Sequence[str], where: str
) -> list[Image]:
    """Read well, field and channel from the names of files.

    Parameters
    ----------
    folder
        Folder of one plate.
    files
        Its files.
    pattern
        Regular expression with groups channel, well (or row and column), optionally field, z and time.
    channels
        What the group channel may be.
    where
        What errors about the pattern name.

    Raises
    ------
    PlatemaeError
        As :func:`inventory`.
    """
    regex = compile_pattern(pattern, where)
    images: list[Image] = []
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
                images.append(_image(match, Plane(folder / file.name)))
            except ValueError as error:
                problems.append(InputError(str(error), f"{folder}/{file.name}", "correct the pattern of the reader"))
    problems = problems[:LISTED] + _unknown_channels(strangers, channels, where)
    if not images and not problems:
        problems.append(_nothing_matched(folder, pattern, unmatched, where))
    raise_all(problems)
    return images


def compile_pattern(pattern: str, where: str, *, channel: bool = True) -> re.Pattern[str]:
    """Return a compiled pattern that names a well, and, where it must, a channel.

    Raises
    ------
    ConfigError
        When it is no regular expression, or lacks a group.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the pattern is no regular expression: {error}", f"{where}, pattern", "correct it") from None
    groups = set(regex.groupindex)
    if (channel and "channel" not in groups) or not ("well" in groups or {"row", "column"} <= groups):
        raise ConfigError(
            f"the pattern has the groups {', '.join(sorted(groups)) or 'none'}",
            f"{where}, pattern",
            f"name the groups {'(?P<channel>...), ' if channel else ''}(?P<well>...) or (?P<row>...) and "
            "(?P<column>...), maybe field, z, time",
        )
    return regex


def _image(match: re.Match[str], plane: Plane) -> Image:
    groups = match.groupdict()
    well = parse_well(groups["well"]) if groups.get("well") else join_well(groups["row"], groups["column"])
    z, time = int(groups.get("z") or 0), int(groups.get("time") or 0)
    return Image(well, field_label(groups.get("field") or "0"), groups["channel"], plane, z, time)


def _unknown_channels(strangers: Mapping[str, list[str]], channels: Sequence[str], where: str) -> list[PlatemaeError]:
    remedy = "add the channel to the reader, or narrow its pattern to the channels that you want"
    return [
        InputError(
            f"unknown channel {label!r} in {len(names)} files such as {names[0]}; expected: {', '.join(channels)}",
            f"{where}, channels",
            remedy,
        )
        for label, names in sorted(strangers.items())
    ]


def _nothing_matched(folder: Path, pattern: str, unmatched: list[str], where: str) -> InputError:
    seen = f"{len(unmatched)} files such as {unmatched[0]}" if unmatched else "the folder is empty"
    return InputError(f"no file matches the pattern {pattern!r}: {seen}", f"{folder} ({where})", "correct the pattern")
