"""How large each plate is: as its ingest said, else as its reader finds it, without reading pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platemae.config import Config, stage_config
from platemae.config.plate_table import PlateTable
from platemae.contracts import Manifest
from platemae.errors import InputError, PlatemaeError
from platemae.layout import Results
from platemae.readers.formats import read_plane
from platemae.readers.look import look


@dataclass(frozen=True)
class PlateSize:
    """What a plate holds.

    Parameters
    ----------
    wells, fields, channels
        How many.
    height, width
        Pixels of a field; 0 without images.
    depth
        Bytes of a source pixel.
    cells
        Listed cells of a pooled plate.
    known
        Its ingest is done, and said so.
    """

    wells: int
    fields: int
    channels: int
    height: int
    width: int
    depth: int
    cells: int = 0
    known: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Source pixels of all fields and channels, without compression."""
        return self.fields * self.channels * self.height * self.width * self.depth


EMPTY = PlateSize(wells=0, fields=0, channels=0, height=0, width=0, depth=1)


def sizes_of(
    config: Config, plates: PlateTable, base: Path, results: Results
) -> tuple[dict[str, PlateSize], list[PlatemaeError]]:
    """Return the size of each plate, and the problems of those that cannot be read."""
    found: dict[str, PlateSize] = {}
    problems: list[PlatemaeError] = []
    for name in plates.by_name:
        manifest = results.manifest("ingest_plate", plate=name)
        if manifest.exists():
            found[name] = _ingested(Manifest.read(manifest))
            continue
        try:
            found[name] = _raw(config, plates, name, base)
        except PlatemaeError as error:
            problems.append(error)
    return found, problems


def sampled_sizes(config: Config, plates: PlateTable, base: Path, results: Results) -> dict[str, PlateSize]:
    """Return the size of each plate without looking at all: one that is new counts as the first new one of its reader.

    A plate that cannot be read counts as an empty one: its jobs are submitted like others, and its ingest says what is
    wrong with it.
    """
    found: dict[str, PlateSize] = {}
    of_reader: dict[str, PlateSize] = {}
    for name, row in plates.by_name.items():
        manifest = results.manifest("ingest_plate", plate=name)
        if manifest.exists():
            found[name] = _ingested(Manifest.read(manifest))
            continue
        if row.reader not in of_reader:
            of_reader[row.reader] = EMPTY
            with suppress(PlatemaeError):
                of_reader[row.reader] = _raw(config, plates, name, base)
        found[name] = of_reader[row.reader]
    return found


def _ingested(manifest: Manifest) -> PlateSize:
    counts = manifest.counts
    channels = len(counts.get("channels", ()))
    height, width = (counts.get("shape") or [0, 0, 0])[-2:] if channels else (0, 0)
    depth = np.dtype(counts.get("dtype") or "uint8").itemsize
    return PlateSize(
        counts["wells"], counts["fields"], channels, height, width, depth, counts.get("cells", 0), known=True
    )


def _raw(config: Config, plates: PlateTable, name: str, base: Path) -> PlateSize:
    """Return what the reader finds; one image is opened for its size."""
    inventory, _, problems = look(stage_config(config, plates, "ingest_plate", plate=name), name, base)
    if inventory is None:
        raise problems[0] if problems else InputError("a plate cannot be read", name, "see platemae doctor")
    wells = len({record.well for record in inventory.records})
    if not inventory.channels:
        return PlateSize(wells, 0, 0, 0, 0, 1)
    planes = (held[0] for record in inventory.records for held in record.planes.values() if held)
    first = next(planes, None)
    if first is None:
        raise InputError("a plate has no image", f"plate {name}", "see platemae doctor")
    x_YX = read_plane(first)
    depth = 1 if config.ingest.dtype == "uint8" else x_YX.dtype.itemsize
    return PlateSize(wells, len(inventory.records), len(inventory.channels), x_YX.shape[0], x_YX.shape[1], depth)


def total(sizes: Sequence[PlateSize]) -> int:
    """Return the source bytes of all."""
    return sum(size.pixel_bytes for size in sizes)
