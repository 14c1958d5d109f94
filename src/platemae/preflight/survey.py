"""Find the plates below a folder, and say what each of them holds."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platemae.contracts import write_text
from platemae.errors import ConfigError, InputError, PlatemaeError
from platemae.preflight.file_names import Guess, guess_pattern
from platemae.readers.assemble import safe_name
from platemae.readers.base import Inventory
from platemae.readers.detect import METADATA, metadata_of
from platemae.readers.formats import SUFFIXES, read_plane
from platemae.readers.image_table import table_of_zarr
from platemae.readers.registry import resolve
from platemae.readers.rxrx import PLATE_FOLDER
from platemae.readers.rxrx3_core import plates_of_shards
from platemae.stains import stain_of

UNKNOWN_PIXEL_SIZE_UM = 1.0
"""Written where neither files nor user say it, with a word to check it."""

MAX_DEPTH = 6
"""Folders below folders that are looked into for metadata of an instrument."""


@dataclass(frozen=True)
class FoundPlate:
    """A plate that was found.

    Parameters
    ----------
    name
        Its id, from the name of its folder.
    folder
        Where it lies.
    entry
        The reader entry that reads it, as in the configuration, without its name.
    table
        Rows of the table of images to write for it, where it has none.
    """

    name: str
    folder: Path
    entry: dict[str, Any]
    table: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Survey:
    """What a plate holds.

    Parameters
    ----------
    plate
        The plate.
    inventory
        What its reader found; None when it could not be read, with the reason in ``problem``.
    shape, dtype
        Rows and columns of pixels of its first image, and their type.
    problem
        What is wrong.
    """

    plate: FoundPlate
    inventory: Inventory | None
    shape: tuple[int, int] = (0, 0)
    dtype: str = ""
    problem: PlatemaeError | None = None


def find_plates(root: Path) -> list[FoundPlate]:
    """Return the plates below ``root``: folders with metadata of a known instrument, else folders of images.

    Raises
    ------
    InputError
        When there is no such folder, or nothing in it looks like a plate.
    """
    if not root.is_dir():
        raise InputError("there is no such folder", str(root), "name the folder that holds the plates")
    root = root.resolve()
    found = list(_with_metadata(root, MAX_DEPTH))
    if not found:
        found = [FoundPlate("", folder, _pattern_entry(guess)) for folder, guess in _with_images(root)]
    if not found:
        kinds = ", ".join(METADATA)
        what = "nothing below it looks like a plate: no metadata of a known instrument, no images with wells in names"
        raise InputError(
            what, str(root), f"known: {kinds}; or write a reader of kind pattern (docs/getting-started.md, By hand)"
        )
    unnamed = _names([plate.folder for plate in found if not plate.name], root)
    names = iter(unnamed)
    return [plate if plate.name else replace(plate, name=next(names)) for plate in found]


def survey(plate: FoundPlate, pixel_size_um: float | None = None) -> Survey:
    """Return what a plate holds; of pixels only the first image is read.

    Parameters
    ----------
    plate
        The plate.
    pixel_size_um
        Edge of a pixel where the files do not say it; null: 1.0, to be corrected.
    """
    try:
        plate, inventory = _inventory(plate, pixel_size_um or UNKNOWN_PIXEL_SIZE_UM)
        first = next(planes[0] for record in inventory.records for planes in record.planes.values() if planes)
        x_YX = read_plane(first)
    except PlatemaeError as error:
        return Survey(plate, None, problem=error)
    return Survey(plate, inventory, (x_YX.shape[0], x_YX.shape[1]), x_YX.dtype.name)


def _inventory(plate: FoundPlate, pixel_size_um: float) -> tuple[FoundPlate, Inventory]:
    """Return the inventory, and the plate with a pixel size in its entry where the metadata has none."""
    with TemporaryDirectory() as scratch:
        try:
            return plate, _read(plate, Path(scratch))
        except ConfigError as error:
            if not error.where.endswith("pixel_size_um"):
                raise
        sized = replace(plate, entry=plate.entry | {"pixel_size_um": pixel_size_um})
        return sized, _read(sized, Path(scratch))


def _read(plate: FoundPlate, scratch: Path) -> Inventory:
    entry = plate.entry | {"name": plate.entry["kind"], "plate": plate.name}
    if plate.table:
        entry["metadata"] = str(scratch / "images.csv")
        write_text(scratch / "images.csv", table_text(plate.table))
    return resolve(entry["kind"])(plate.folder, entry)


def table_text(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a table of images as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _with_metadata(folder: Path, depth: int) -> Iterator[FoundPlate]:
    """Yield the plates of the topmost folders that hold metadata of an instrument."""
    plates = _plates_of(folder)
    yield from plates
    if not plates and depth > 0:
        for child in _folders(folder):
            yield from _with_metadata(child, depth - 1)


def _plates_of(folder: Path) -> list[FoundPlate]:
    """Return the plates of one folder; only RxRx3-core and the JUMP demo keep several in one, and name them."""
    kind = next((kind for kind in METADATA if metadata_of(kind, folder) and _is_plate(kind, folder)), None)
    if kind is not None:
        return [FoundPlate("", folder, {"kind": kind})]
    if PLATE_FOLDER.fullmatch(folder.name) and metadata_of("rxrx", folder):
        # RxRx's own tables call a plate by experiment and number, and layouts are found by them.
        return [FoundPlate(safe_name(f"{folder.parent.name}_{folder.name}"), folder, {"kind": "rxrx"})]
    if (folder / "images.zarr").is_dir() and (folder / "sites.csv").is_file():
        table = tuple(table_of_zarr(folder))
        entry = {"kind": "image_table"}
        return [FoundPlate(safe_name(name), folder, entry, table) for name in dict.fromkeys(r["plate"] for r in table)]
    if any(folder.glob("*.parquet")):
        return [FoundPlate(name, folder, {"kind": "rxrx3_core"}) for name in plates_of_shards(folder)]
    return []


def _is_plate(kind: str, folder: Path) -> bool:
    """Return whether a Zarr group is a plate; the other kinds' files belong to plates alone."""
    if kind != "ngff":
        return True
    try:
        content = json.loads(metadata_of(kind, folder)[0].read_text())
        attributes = content.get("attributes", content)
        return "plate" in attributes or "plate" in attributes.get("ome", {})
    except (OSError, ValueError, AttributeError):
        return False


def _with_images(root: Path) -> Iterator[tuple[Path, Guess]]:
    for folder, children, files in os.walk(root):
        children[:] = sorted(child for child in children if not child.startswith("."))
        names = sorted(name for name in files if name.lower().endswith(SUFFIXES) and not name.startswith("."))
        guess = guess_pattern(names)
        if guess is not None:
            yield Path(folder), guess


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))
    except PermissionError:
        return []


def _pattern_entry(guess: Guess) -> dict[str, Any]:
    channels = [{"source": c, "name": safe_name(c), "stain": stain_of(c) or c} for c in guess.channels]
    return {"kind": "pattern", "pattern": guess.pattern, "channels": channels}


GENERIC = ("images", "image", "tiff", "tiffs", "raw", "data")
"""Names of folders that say nothing about a plate."""


def _names(folders: list[Path], root: Path) -> list[str]:
    """Return a plate id for each folder: its name, or more of its path where names repeat."""
    parts = [_telling(folder, root) for folder in folders]
    for depth in range(1, MAX_DEPTH + 2):
        names = [safe_name("_".join(part[-depth:])) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"P{i + 1}" for i in range(len(folders))]


def _telling(folder: Path, root: Path) -> tuple[str, ...]:
    parts = (root.name, *folder.relative_to(root).parts)
    kept = tuple(part for part in parts if part.lower() not in GENERIC)
    return kept or parts
