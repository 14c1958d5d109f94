"""The ``.HTD`` file of MetaXpress: which wells, sites, wavelengths, depths and times a plate was to be imaged at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.wells import join_well

MAX_BYTES = 2**20
"""Largest HTD file: that of a 1536-well plate takes 10 kB."""

_LINE = re.compile(r'"(?P<key>\w{1,40})"\s*,\s*(?P<value>.*)')
_REMEDY = "copy it again from the instrument"


@dataclass(frozen=True)
class Protocol:
    """What an HTD file lists.

    Parameters
    ----------
    wells
        Wells to be imaged.
    site_grid
        Numbers of the sites to be imaged, counted over the whole grid row by row; ``(1,)`` for a plate without sites.
    waves
        Wavelength number -> its name, those that were to be collected.
    n_depths, n_times
        Steps of a stack and time points; 1 where there is no stack or series.
    """

    wells: tuple[str, ...]
    site_grid: tuple[int, ...]
    waves: Mapping[int, str]
    n_depths: int
    n_times: int


def read_htd(path: Path) -> Protocol:
    """Return what an HTD file lists. Its text is Latin-1: descriptions hold µ and umlauts.

    Raises
    ------
    MissingError
        When there is no such file.
    InputError
        When it is no HTD file, or all at once: no well, no site, no wavelength, a count that is no number.
    """
    lines = _lines(path)
    problems: list[PlatemaeError] = []
    wells = tuple(_wells(lines, path, problems))
    sites = tuple(_sites(lines)) if _flag(lines, "Sites") else (1,)
    waves = _waves(lines) if _flag(lines, "Waves") else {1: lines.get("WaveName1", "").strip(' "') or "w1"}
    for found, what in ((wells, "well"), (sites, "site"), (waves, "wavelength")):
        if not found and not problems:
            problems.append(InputError(f"the HTD file selects no {what}", str(path), _REMEDY))
    stack = _flag(lines, "ZSeries")
    n_depths = _count(lines, "ZSteps", path, problems) if stack else 1
    n_times = _count(lines, "TimePoints", path, problems)
    raise_all(problems)
    return Protocol(wells, sites, waves, n_depths, n_times)


def _lines(path: Path) -> dict[str, str]:
    """Return key -> the rest of its line, as written."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"an HTD file is larger than {MAX_BYTES >> 10} kB", str(path), _REMEDY)
        text = path.read_text(encoding="latin-1")
    except FileNotFoundError:
        raise MissingError("the HTD file of a plate is missing", str(path), _REMEDY) from None
    except OSError as error:
        raise InputError(f"an HTD file cannot be read: {error.strerror}", str(path), _REMEDY) from None
    matches = (_LINE.fullmatch(line.strip()) for line in text.split("\n"))
    lines = {match["key"]: match["value"] for match in matches if match}
    if "HTSInfoFile" not in lines:
        raise InputError("a file is no HTD file: it does not begin with HTSInfoFile", str(path), _REMEDY)
    return lines


def _wells(lines: Mapping[str, str], path: Path, problems: list[PlatemaeError]) -> Iterator[str]:
    for row, line in _numbered(lines, "WellsSelection"):
        for column in _selected(line):
            try:
                yield join_well(str(row), str(column))
            except ValueError as error:
                problems.append(InputError(f"the HTD file selects what is no well: {error}", str(path), _REMEDY))
                return


def _sites(lines: Mapping[str, str]) -> Iterator[int]:
    before = 0
    for _, line in _numbered(lines, "SiteSelection"):
        yield from (before + column for column in _selected(line))
        before += len(line.split(","))


def _waves(lines: Mapping[str, str]) -> dict[int, str]:
    names = dict(_numbered(lines, "WaveName"))
    collected = dict(_numbered(lines, "WaveCollect"))
    return {n: name.strip(' "') or f"w{n}" for n, name in names.items() if collected.get(n, "1").strip() != "0"}


def _numbered(lines: Mapping[str, str], key: str) -> list[tuple[int, str]]:
    """Return the lines ``key1``, ``key2`` ... in order of their numbers."""
    found = ((name.removeprefix(key), line) for name, line in lines.items() if name.startswith(key))
    return sorted((int(number), line) for number, line in found if number.isdecimal())


def _selected(line: str) -> list[int]:
    return [number for number, flag in enumerate(line.split(","), 1) if flag.strip().upper() == "TRUE"]


def _flag(lines: Mapping[str, str], key: str) -> bool:
    return lines.get(key, "").strip().upper() == "TRUE"


def _count(lines: Mapping[str, str], key: str, path: Path, problems: list[PlatemaeError]) -> int:
    text = lines.get(key, "1").strip()
    if not text.isdecimal() or len(text) > 6:
        problems.append(InputError(f"{key} of the HTD file is no number: {text[:40]!r}", str(path), _REMEDY))
        return 1
    return max(int(text), 1)
