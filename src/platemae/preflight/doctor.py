"""``platemae doctor``: all plates against their metadata, layouts and each other, and the disk; no pixels are read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.config import Config, read_config, stage_config
from platemae.config.checks import check_cells, check_images
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate, read_plates
from platemae.contracts import PERTURBATION_COLUMNS
from platemae.errors import InputError, PlatemaeError, number_of
from platemae.inputs import find_config, find_project, missing_file_problems, named_plate_problems, plate_table
from platemae.layout import Results
from platemae.preflight.across import channel_problems, control_problems, empty_map, too_few_wells
from platemae.preflight.cluster import cluster_lines
from platemae.readers.base import Inventory
from platemae.readers.formats import read_plane
from platemae.readers.look import look
from platemae.selection import select_rows, selection_columns
from platemae.sharing.root import check_writing
from platemae.store.eight_bit import EightBit
from platemae.wells import split_well


@dataclass(frozen=True)
class Checkup:
    """What is known of a plate before it is ingested.

    Parameters
    ----------
    plate
        Its id.
    line
        What it holds, in one line.
    problems
        What is wrong with it.
    channels
        Name and stain of each channel.
    store_bytes, store_files, store_folders
        What its store needs at most: pixels without compression; files and folders, each of which takes an inode.
    negcon
        Its imaged wells that are negative controls; None where the layout cannot be read.
    selected
        ``fit_on`` of a correction -> imaged wells that it selects, as far as the layout tells.
    wells
        Its imaged wells; None where the plate cannot be read.
    on_map
        Its imaged wells that are treated and name a row of the map; None where the layout cannot be read.
    """

    plate: str
    line: str
    problems: tuple[PlatemaeError, ...] = ()
    channels: tuple[tuple[str, str], ...] = ()
    store_bytes: int = 0
    store_files: int = 0
    store_folders: int = 0
    negcon: int | None = None
    selected: Mapping[str, int] = field(default_factory=dict)
    wells: int | None = None
    on_map: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is known of the plate, without its problems, as JSON takes it."""
        return {
            "plate": self.plate,
            "says": self.line,
            "channels": [{"name": name, "stain": stain} for name, stain in self.channels],
            "negcon_wells": self.negcon,
            "store_bytes": self.store_bytes,
            "store_inodes": self.store_files + self.store_folders,
        }


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`doctor` found: each plate, what plates have in common, and all the problems."""

    checkups: tuple[Checkup, ...]
    common: tuple[str, ...]
    problems: tuple[PlatemaeError, ...]

    def lines(self) -> list[str]:
        """Return what there is, a line a plate, and the verdict."""
        n = len(self.problems)
        verdict = f"{n} problem{'s' if n > 1 else ''}" if n else "no problem found"
        return [*(checkup.line for checkup in self.checkups), *self.common, verdict]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, as JSON takes it."""
        problems = [{"what": p.what, "where": p.where, "remedy": p.remedy} for p in self.problems]
        plates = [checkup.to_dict() for checkup in self.checkups]
        return {"plates": plates, "notes": list(self.common), "problems": problems}


def doctor(configfile: Path | None) -> Diagnosis:
    """Check a whole run before it starts.

    Raises
    ------
    ConfigError
        When configuration or plates.tsv cannot be read at all.
    """
    config, plates, base, results = read_project(configfile)
    checkups = check_plates(config, plates, base)
    lines, problems = check_run(config, plates, checkups, results)
    problems = [*(problem for checkup in checkups for problem in checkup.problems), *problems]
    problems += missing_file_problems(config, plates, base)
    return Diagnosis(tuple(checkups), (*lines, *cluster_lines()), tuple(problems))


def read_project(configfile: Path | None) -> tuple[Config, PlateTable, Path, Results]:
    """Return configuration, plates, the folder of plates.tsv and the results folder.

    Raises
    ------
    ConfigError
        When one of them cannot be read.
    """
    project = find_project()
    config = read_config(find_config(configfile, project))
    table = plate_table(config, project)
    plates = PlateTable(read_plates(table, [reader.name for reader in config.readers]))
    return config, plates, table.parent, Results(project / config.results)


def check_plates(config: Config, plates: Sequence[Plate], base: Path) -> list[Checkup]:
    """Check every plate; of pixels only one image a plate is opened, for its size."""
    return [_check(config, plates, plate, base) for plate in plates]


def check_run(
    config: Config, plates: Sequence[Plate], checkups: Sequence[Checkup], results: Results
) -> tuple[list[str], list[PlatemaeError]]:
    """Check what plates have in common: names, channels, controls, disk and inodes.

    Returns
    -------
    Lines to print, and the problems.
    """
    lines: list[str] = []
    problems: list[PlatemaeError] = [*named_plate_problems(config, plates, "the configuration")]
    problems += _refused(lambda: check_images(config, plates))
    problems += _refused(lambda: check_cells(config, plates))
    problems += _refused(check_writing)
    problems += channel_problems(config, {c.plate: c.channels for c in checkups})
    negcon = {c.plate: c.negcon for c in checkups if c.negcon is not None}
    problems += control_problems(config, plates, negcon, {c.plate: c.selected for c in checkups})
    problems += too_few_wells(config, plates, {c.plate: c.wells for c in checkups if c.wells is not None})
    problems += empty_map(config, plates, {c.plate: c.on_map for c in checkups if c.on_map is not None})
    new = [c for c in checkups if not results.manifest("ingest_plate", plate=c.plate).exists()]
    need, files = sum(c.store_bytes for c in new), sum(c.store_files for c in new)
    folders = sum(c.store_folders for c in new)
    space = os.statvfs(_existing(results.root))
    free, free_files = space.f_bavail * space.f_frsize, space.f_favail
    stores = f"stores of {len(new)} plates" if len(new) > 1 else "store of 1 plate"
    to_come = (
        f"{stores} still to ingest: at most {need / 1e9:.2f} GB of {free / 1e9:.2f} GB free, "
        f"{files} files and {folders} folders" + (f" of {free_files} inodes free" if free_files else "")
    )
    lines.append(to_come if new else "all plates are ingested")
    where, remedy = str(results.root), "let `results` lie on another disk, or free some space"
    if need > free:
        problems.append(InputError(f"the disk may be too small: {need / 1e9:.2f} GB needed", where, remedy))
    if free_files and files + folders > free_files:
        what = f"the disk may hold too few files: {files + folders} inodes needed, {free_files} are free"
        problems.append(InputError(what, where, f"{remedy}; ingest.form: zip needs one a plate"))
    return lines, problems


def _check(config: Config, plates: Sequence[Plate], plate: Plate, base: Path) -> Checkup:
    cfg = stage_config(config, plates, "ingest_plate", plate=plate.plate)
    inventory, layout, problems = look(cfg, plate.plate, base)
    if inventory is None:
        return Checkup(plate.plate, f"{plate.plate}: cannot be read", tuple(problems))
    wells = {record.well for record in inventory.records}
    kinds = Counter(labels["control_type"] for well, labels in layout.items() if well in wells)
    negcon = kinds["negcon"] if layout else None
    imaged = {well: labels for well, labels in layout.items() if well in wells}
    selected = _selected(config, plate, imaged)
    on_map = sum(_on_map(labels, config.map.entity) for labels in imaged.values()) if layout else None
    counted = Checkup(plate.plate, "", negcon=negcon, selected=selected, wells=len(wells), on_map=on_map)
    if not inventory.channels:
        line = f"{plate.plate}: {number_of(len(wells), 'well')}, no images"
        line += "".join(f", {kinds[kind]} {kind}" for kind in sorted(kinds))
        return replace(counted, line=line, problems=tuple(problems))
    shape, dtype = _first_image(inventory, problems)
    depth = 1 if config.ingest.dtype == "uint8" else np.dtype(dtype or "uint8").itemsize
    size = len(inventory.records) * len(inventory.channels) * int(np.prod(shape)) * depth
    line = (
        f"{plate.plate}: {_contents(len(wells), inventory)}, "
        f"{shape[0]} x {shape[1]} {dtype}, {inventory.pixel_size_um:g} µm a pixel"
        + "".join(f", {kinds[kind]} {kind}" for kind in sorted(kinds))
    )
    line += "".join(f"; {note}" for note in [*_missing(inventory), *inventory.notes])
    if inventory.unmatched:
        line += f"; {len(inventory.unmatched)} files of the folder belong to no field"
    channels = tuple((channel.name, channel.stain) for channel in inventory.channels)
    if config.ingest.dtype == "uint8":
        names = [channel.name for channel in inventory.channels]
        problems += _refused(lambda: EightBit(config.ingest.uint8_range, names, "ingest.uint8_range"))
    files, folders = _inodes(inventory, config.ingest.form)
    return replace(
        counted,
        line=line,
        problems=tuple(problems),
        channels=channels,
        store_bytes=size,
        store_files=files,
        store_folders=folders,
    )


def _contents(wells: int, inventory: Inventory) -> str:
    numbers = {"well": wells, "field": len(inventory.records), "channel": len(inventory.channels)}
    return ", ".join(number_of(n, noun) for noun, n in numbers.items())


def _on_map(labels: Mapping[str, str], entity: str) -> bool:
    """Return whether a well is treated and names a row of the map; ``entity`` names one column, or two."""
    return labels["control_type"] == "treatment" and any(labels[column] for column in entity.split("_and_"))


def _selected(config: Config, plate: Plate, layout: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Count the wells that each correction is fitted on; a query of columns that no layout has is left out."""
    names = {f"Metadata_{name.title()}": [labels[name] for labels in layout.values()] for name in PERTURBATION_COLUMNS}
    obs = pd.DataFrame(names | {"Metadata_Well": list(layout)}).assign(
        Metadata_Plate=plate.plate, Metadata_Batch=plate.batch
    )
    known = {e.fit_on for e in config.corrections if set(selection_columns(e.fit_on)) <= set(obs.columns)}
    return {fit_on: int(select_rows(obs, fit_on).sum()) for fit_on in known} if layout else {}


def _missing(inventory: Inventory) -> list[str]:
    """Return how many images are missing, which allow_missing makes no problem of."""
    gaps = sum(len(record.missing) + len(record.incomplete) for record in inventory.records)
    gaps = max(gaps, (inventory.promised or 0) - inventory.found)
    return [f"{gaps} image{'s' if gaps > 1 else ''} missing"] if gaps else []


def _refused(check: Callable[[], object]) -> list[PlatemaeError]:
    try:
        check()
    except PlatemaeError as error:
        return [error]
    return []


def _inodes(inventory: Inventory, form: str) -> tuple[int, int]:
    wells = {record.well for record in inventory.records}
    return store_inodes(len(inventory.records), len(wells), len({split_well(well)[0] for well in wells}), form)


def store_inodes(fields: int, wells: int, rows: int, form: str) -> tuple[int, int]:
    """Return how many files and folders the store of a plate has, of so many fields and wells in so many rows."""
    if form == "zip":
        return 1, 0
    groups = wells + rows + 1
    # Of a field: its group's metadata, its array's, and the shard, which lies four folders below the group.
    return 3 * fields + groups, 5 * fields + groups


def _first_image(inventory: Inventory, problems: list[PlatemaeError]) -> tuple[tuple[int, int], str]:
    planes = (p[0] for record in inventory.records for p in record.planes.values() if p)
    try:
        x_YX = read_plane(next(planes))
    except PlatemaeError as error:
        problems.append(error)
        return (0, 0), ""
    return (x_YX.shape[0], x_YX.shape[1]), x_YX.dtype.name


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
