"""The files of Zarr arrays: a plane's path is the folder of its array, an inventory lists the files below it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from platemae.readers.base import Inventory, RawFile


def folders_with_chunks(files: Iterable[RawFile]) -> set[str]:
    """Return the names of all folders that hold more than metadata of Zarr, at any depth."""
    direct = {file.name.rpartition("/")[0] for file in files if not file.name.endswith("zarr.json")}
    return {above for name in direct for above in _above(name + "/")}


def with_array_files(found: Inventory, known: Iterable[Path], folder: Path, files: Iterable[RawFile]) -> Inventory:
    """Return an inventory with the files of its arrays among ``files``, no longer ``unmatched``.

    Parameters
    ----------
    found
        As assembled.
    known
        Arrays, or groups of them, whose files are no surprise though the store does not take them.
    folder
        Folder of the plate.
    files
        All its files.
    """
    planes = (plane for record in found.records for planes in record.planes.values() for plane in planes)
    used = {path.relative_to(folder).as_posix() for path in {plane.path for plane in planes}}
    passed = {path.relative_to(folder).as_posix() for path in set(known)}
    kept = {file.name for file in found.files}
    listed = sorted(files, key=lambda file: file.name)
    return replace(
        found,
        files=tuple(file for file in listed if file.name in kept or used.intersection(_above(file.name))),
        unmatched=tuple(name for name in found.unmatched if not passed.intersection(_above(name))),
    )


def _above(name: str) -> list[str]:
    """Return the folders above a file, ``a/b/c`` -> ``a``, ``a/b``."""
    parts = name.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]
