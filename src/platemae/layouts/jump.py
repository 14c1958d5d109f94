"""JUMP plate maps: ``barcode_platemap.csv`` names the table in ``platemap/`` that each plate was filled by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from platemae.errors import ConfigError, few
from platemae.layouts import table
from platemae.layouts.columns import plain, value
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group
from platemae.layouts.text import read_table

BARCODES = "barcode_platemap.csv"
_COLUMNS = ("assayplatebarcode", "platemapname")


def groups(path: Path, plates: Sequence[str], options: LayoutOptions) -> list[Group]:
    """Return the rows of each plate map, for the plates that share it.

    Raises
    ------
    ConfigError
        When a table cannot be read, or the barcodes contradict each other.
    """
    maps = plate_maps(path)
    shared: dict[Path, list[str]] = {}
    found: list[Group] = []
    for plate in plates:
        if plate in maps:
            shared.setdefault(map_file(path, maps[plate]), []).append(plate)
        else:
            what = f"no plate map is for plate {plate}; there are some for {few(list(maps)) or 'none'}"
            remedy = "give the plate its barcode as name in plates.tsv, or add it to the table"
            found.append(Group(str(path), (plate,), (), (ConfigError(what, str(path / BARCODES), remedy),)))
    # A plate map is a library plate: whatever its columns say, it is that of the assay plates beside it.
    options = replace(options, columns={**options.columns, "plate": ""})
    return found + [group for file, names in shared.items() for group in table.groups(file, names, options)]


def plate_maps(folder: Path) -> dict[str, str]:
    """Return plate -> name of its plate map.

    Raises
    ------
    ConfigError
        When columns are missing, or a plate has two maps.
    """
    barcodes = read_table(folder / BARCODES, "copy the file that belongs to the folder platemap")
    plains = [plain(name) for name in barcodes.header]
    if any(plains.count(name) != 1 for name in _COLUMNS):
        remedy = "the columns are Assay_Plate_Barcode and Plate_Map_Name"
        what = f"columns are missing or double; there are {', '.join(barcodes.header)}"
        raise ConfigError(what, f"{barcodes.path}, row 1", remedy)
    plate_at, map_at = (plains.index(name) for name in _COLUMNS)
    maps: dict[str, str] = {}
    for line, cells in barcodes.rows():
        plate, name = value(cells[plate_at]), value(cells[map_at])
        if maps.setdefault(plate, name) != name:
            what = f"the plate {plate} has two plate maps, {maps[plate]} and {name}"
            raise ConfigError(what, f"{barcodes.path}, row {line}", "keep the right one")
    return maps


def map_file(folder: Path, name: str) -> Path:
    """Return the file of a plate map.

    Raises
    ------
    ConfigError
        When its name, or a link, leads out of the folder.
    """
    path = folder / "platemap" / f"{name}.txt"
    inside = path.resolve().is_relative_to(folder.resolve())
    if not name or Path(name).name != name or "\\" in name or not inside:
        what = f"{name!r} is no name of a plate map"
        raise ConfigError(what, str(folder / BARCODES), "name files of the folder platemap, without .txt")
    return path
