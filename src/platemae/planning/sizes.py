"""How large each plate is: as its ingest said, else as its reader finds it, without reading pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platemae.config import Config, stage_config
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate, layout_options, resolve
from platemae.contracts import Manifest
from platemae.errors import ContractError, InputError, PlatemaeError
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
        try:
            found[name] = _ingested(manifest) if manifest.exists() else _raw(config, plates, name, base)
        except PlatemaeError as error:
            problems.append(error)
    return found, problems


def sampled_sizes(config: Config, plates: PlateTable, base: Path, results: Results) -> dict[str, PlateSize]:
    """Return the size of each plate without looking at all: one that is new counts as the first new one of its kind.

    Of a kind are plates of one reader that are all pooled, or all not. A plate that cannot be read counts as an empty
    one: its jobs are submitted like others, and the first that reads it says what is wrong with it.
    """
    found: dict[str, PlateSize] = {}
    of_kind: dict[tuple[str, bool], PlateSize] = {}
    for name, row in plates.by_name.items():
        manifest, kind = results.manifest("ingest_plate", plate=name), (row.reader, bool(row.cells))
        if manifest.exists():
            found[name] = EMPTY
            with suppress(PlatemaeError):
                found[name] = _ingested(manifest)
            continue
        if kind not in of_kind:
            of_kind[kind] = EMPTY
            with suppress(PlatemaeError):
                of_kind[kind] = _raw(config, plates, name, base)
        found[name] = of_kind[kind]
    return found


def _ingested(path: Path) -> PlateSize:
    """Return what the manifest of an ingest counts."""
    try:
        counts = Manifest.read(path).counts
        channels = len(counts.get("channels", ()))
        height, width = (counts.get("shape") or [0, 0, 0])[-2:] if channels else (0, 0)
        depth = np.dtype(counts.get("dtype") or "uint8").itemsize
        wells, fields, cells = counts["wells"], counts["fields"], counts.get("cells", 0)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ContractError(
            "a manifest does not say how large its plate is", str(path), "delete it and run again"
        ) from None
    return PlateSize(wells, fields, channels, height, width, depth, cells, known=True)


def _raw(config: Config, plates: PlateTable, name: str, base: Path) -> PlateSize:
    """Return what the reader finds, and the table of cells lists; one image is opened for its size."""
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
    cells = _cells(config, plates.by_name[name], base)
    height, width = x_YX.shape
    return PlateSize(wells, len(inventory.records), len(inventory.channels), height, width, depth, cells)


def _cells(config: Config, row: Plate, base: Path) -> int:
    """Return the cells that the table of a pooled plate lists."""
    if not row.cells:
        return 0
    from platemae.layouts.cells import count_cells  # pandas, which no plan of arrayed plates waits for

    return count_cells(
        resolve(row.cells, base), row.plate, layout_options(config.layouts.model_dump(mode="json"), base)
    )


def total(sizes: Sequence[PlateSize]) -> int:
    """Return the source bytes of all."""
    return sum(size.pixel_bytes for size in sizes)
