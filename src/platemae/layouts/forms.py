"""Which form a layout has, and which files it consists of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from platemae.errors import ConfigError
from platemae.layouts import harmony, jump, table
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group


def missing(path: Path) -> str:
    """Return why there can be no layout at ``path``; empty where a file, or a folder of JUMP's form, lies there."""
    # Not Path.is_file, which raises for names that no file system takes.
    if os.path.isdir(path):
        lacks = not os.path.isfile(path / jump.BARCODES)
        return f"{path.name} is a folder without {jump.BARCODES}" if lacks else ""
    return "" if os.path.isfile(path) else f"{path.name} is missing"


def groups(path: Path, plates: Sequence[str], options: LayoutOptions) -> list[Group]:
    """Return the rows of a layout for each plate: a folder is JUMP's, XML is Harmony's, all else a table.

    Raises
    ------
    ConfigError
        When the layout is missing or cannot be read.
    """
    why = missing(path)
    if why:
        raise ConfigError(f"a layout is missing: {why}", str(path), "write the layout, or correct plates.tsv")
    if os.path.isdir(path):
        return jump.groups(path, plates, options)
    form = harmony if path.suffix.lower() == ".xml" else table
    return form.groups(path, plates, options)


def files(path: Path, plate: str) -> list[Path]:
    """Return the files that the layout of a plate consists of, which a rule lists as its inputs.

    Of a JUMP folder that is the plate's own map, so that a line for another plate in ``barcode_platemap.csv`` reruns
    nothing. What is wrong with the folder is left to the job, which says it in words.
    """
    if not os.path.isdir(path):
        return [path]
    try:
        return [jump.map_file(path, jump.plate_maps(path)[plate])]
    except (ConfigError, KeyError):
        return [path / jump.BARCODES]
