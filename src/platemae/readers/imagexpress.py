"""ImageXpress: the ``.HTD`` file of MetaXpress, and TIFFs named by well, site and wavelength.

Names are ``{plate}_{well}[_s{site}][_w{wavelength}][GUID].TIF``; the database adds the GUID, the export does not. Time
points and depths are folders, ``TimePoint_2/ZStep_3``. A projection lies in ``ZStep_0`` (export), or above the
``ZStep`` folders (database).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.readers.assemble import LISTED, assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.detect import METADATA, metadata_of
from platemae.readers.files import list_files
from platemae.readers.formats import SUFFIXES
from platemae.readers.htd import Protocol, read_htd
from platemae.readers.metamorph import pixel_size
from platemae.wells import parse_well

MAX_IMAGES = 2**22
"""Most images that an HTD file may promise: 384 wells, 16 sites, 6 channels, 30 depths take a quarter."""

_NAME = re.compile(  # the prefix is as short as can be, or the wavelength w1 would pass for a well
    r"(?:.*?_)??(?P<well>[A-Za-z]{1,2}\d{1,2})(?:_s(?P<site>\d{1,5}))?(?:_w(?P<wave>\d{1,2}))?(?P<thumb>_thumb)?"
    r"_?(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?\.\w+"
)
_TIME = re.compile(r"TimePoint_(\d{1,6})", re.IGNORECASE)
_DEPTH = re.compile(r"ZStep_(\d{1,6})", re.IGNORECASE)
_HEADERS = 5  # images whose header is asked for the pixel size before it counts as unknown


class Series(NamedTuple):
    """What an image shows of a site: wavelength, depth (None: a projection) and time point."""

    wave: int
    z: int | None
    time: int


class _File(NamedTuple):
    name: str
    well: str
    site: int
    series: Series


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what ``folder`` holds; of its images only a header is read, for the pixel size.

    The HTD file lists wells, sites, wavelengths, depths and times, but not which wavelength was taken at which depth
    and time: DAPI as a stack and FITC as one plane is common, and exports leave channels out. So a combination of
    wavelength, depth and time that lies in the folder for any well is promised for every selected well and site; one
    that lies there for none is not promised, and the inventory's notes name it. What lies there beyond the
    selection is taken as well.

    Raises
    ------
    MissingError
        When folder or HTD file is missing.
    InputError
        When there are two HTD files, or the one cannot be understood or promises absurdly much; when names of images
        name no well; and as
        :func:`platemae.readers.assemble.assemble`.
    """
    files = list_files(folder)
    path = _htd(folder)
    protocol = read_htd(path)
    named, thumbnails = _named(files, folder, min(protocol.waves))
    series = sorted({file.series for file in named}, key=lambda s: (s.wave, s.time, s.z or 0))
    waves = dict.fromkeys([*protocol.waves, *(each.wave for each in series)])
    channels = _channels({wave: protocol.waves.get(wave, f"w{wave}") for wave in waves if _occurs(wave, series)})
    found = assemble(
        folder,
        [*_images(named, protocol, series, channels, folder, path)],
        list(channels.values()),
        entry,
        pixel_size_um=None if entry.get("pixel_size_um") else _pixel_size(named, folder),
        files=files,
        metadata=[file.name for file in files if file.name.lower().endswith(".htd")] + thumbnails,
    )
    return replace(found, notes=found.notes + tuple(_notes(protocol, series, path.name)))


def _htd(folder: Path) -> Path:
    found = metadata_of("imagexpress", folder)
    if not found:
        what = f"the HTD file of a plate is missing: none of {', '.join(METADATA['imagexpress'])} is there"
        raise MissingError(what, str(folder), "copy it from the instrument, or correct `path` of plates.tsv")
    beside = sorted(path.name for path in found[0].parent.iterdir() if path.suffix.lower() == ".htd")
    if len(beside) > 1:
        what = f"a folder has {len(beside)} HTD files, such as {' and '.join(beside[:2])}"
        raise InputError(
            what, str(found[0].parent), "let `path` name the folder of one plate, or remove the other file"
        )
    return found[0]


def _named(files: Iterable[RawFile], folder: Path, only_wave: int) -> tuple[list[_File], list[str]]:
    """Return the files that their names make images, and the names of thumbnails."""
    images = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    stacked = any(_DEPTH.search(file.name) for file in images)
    named: list[_File] = []
    thumbnails: list[str] = []
    problems: list[PlatemaeError] = []
    for file in images:
        parent, _, last = file.name.rpartition("/")
        match = _NAME.fullmatch(last)
        if match is None:
            continue
        if match["thumb"]:
            thumbnails.append(file.name)
            continue
        try:
            series = Series(int(match["wave"] or only_wave), _depth(parent, stacked), _time(parent))
            named.append(_File(file.name, parse_well(match["well"]), int(match["site"] or 1), series))
        except ValueError as error:
            problems.append(InputError(str(error), f"{folder}/{file.name}", "move the file out of the plate's folder"))
    raise_all(problems[:LISTED])
    return named, thumbnails


def _time(parent: str) -> int:
    match = _TIME.search(parent)
    return int(match[1]) if match else 1


def _depth(parent: str, stacked: bool) -> int | None:
    """Return the depth of the images in a folder; outside ``ZStep`` folders lie projections, where there are any."""
    match = _DEPTH.search(parent)
    if match is None:
        return None if stacked else 1
    return int(match[1]) or None


def _occurs(wave: int, series: Iterable[Series]) -> bool:
    return any(each.wave == wave for each in series)


def _channels(waves: Mapping[int, str]) -> dict[int, str]:
    """Return wavelength number -> name of the channel, with the number where names repeat."""
    often = [*waves.values()]
    return {wave: f"{name} w{wave}" if often.count(name) > 1 else name for wave, name in waves.items()}


def _images(
    named: Sequence[_File],
    protocol: Protocol,
    series: Sequence[Series],
    channels: Mapping[int, str],
    folder: Path,
    path: Path,
) -> Iterator[Image]:
    """Yield the images that are there, then those that are promised and are not."""
    sites = _sites(protocol, {file.site for file in named})
    if len(protocol.wells) * len(sites) * len(series) > MAX_IMAGES:
        raise InputError(f"the HTD file promises more than {MAX_IMAGES} images", str(path), "copy it again")
    for file in named:
        yield _image(file.well, file.site, file.series, channels, Plane(folder / file.name))
    there = {(file.well, file.site, file.series) for file in named}
    for well, site, each in product(protocol.wells, sites, series):
        if (well, site, each) not in there:
            yield _image(well, site, each, channels, None)


def _image(well: str, site: int, series: Series, channels: Mapping[int, str], plane: Plane | None) -> Image:
    return Image(well, str(site), channels[series.wave], plane, series.z, series.time)


def _sites(protocol: Protocol, found: set[int]) -> list[int]:
    """Return the numbers of the selected sites as the files count them: one after another, or over the whole grid."""
    in_turn = range(1, len(protocol.site_grid) + 1)
    over_grid = not found <= set(in_turn) and found <= set(protocol.site_grid)
    return list(protocol.site_grid if over_grid else in_turn)


def _pixel_size(named: Sequence[_File], folder: Path) -> float | None:
    sizes = (pixel_size(folder / file.name) for file in named[:_HEADERS])
    return next((size for size in sizes if size is not None), None)


def _notes(protocol: Protocol, series: Sequence[Series], name: str) -> Iterator[str]:
    lacking = [channel for wave, channel in protocol.waves.items() if not _occurs(wave, series)]
    if lacking:
        yield f"{name} lists the channels {', '.join(lacking)}, of which no image is there"
    n_depths, n_times = len({s.z for s in series} - {None}), len({s.time for s in series})
    if n_depths < protocol.n_depths:
        yield f"{name} lists {protocol.n_depths} depths, of which {n_depths} are there"
    if n_times < protocol.n_times:
        yield f"{name} lists {protocol.n_times} time points, of which {n_times} are there"
