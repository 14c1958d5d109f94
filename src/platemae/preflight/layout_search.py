"""`platemae new` looks for the layout of a plate: Harmony's, JUMP's, RxRx's, or a table that lies beside the plate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from platemae.errors import PlatemaeError
from platemae.layouts.columns import LABEL_ROLES, has_well
from platemae.layouts.labels import BLANK_LABEL
from platemae.layouts.options import LayoutOptions
from platemae.layouts.read import open_layouts
from platemae.layouts.rows import layout_columns
from platemae.layouts.text import read_table

TABLES = (".csv", ".tsv", ".txt")
MOST_BYTES = 5_000_000
"""Larger tables hold features or images, not a plate's layout."""


@dataclass(frozen=True)
class FoundLayout:
    """The layout of a plate, if there is one, and what else the user should know."""

    path: Path | None = None
    notes: tuple[str, ...] = ()


def find_layout(folder: Path, root: Path, plate: str, wells: set[str], *, is_rxrx: bool = False) -> FoundLayout:
    """Look in a plate's folder and above it, up to ``root``.

    Parameters
    ----------
    folder, plate
        The plate's folder and id.
    root
        The highest folder that is looked into.
    wells
        Its imaged wells, which a layout must name.
    is_rxrx
        Whether ``metadata.csv`` of RxRx is a layout.

    Returns
    -------
    A layout that names all wells and says something of some. Of several tables none is taken: they are named instead.
    """
    above = [folder, *(parent for parent in folder.parents if parent == root or parent.is_relative_to(root))]
    for path in sorted(folder.glob("Assaylayout/*.xml")):
        if _says_something(path, plate, wells):
            return FoundLayout(path)
    for parent in above:
        if (parent / "barcode_platemap.csv").is_file():
            return FoundLayout(parent)
        if is_rxrx and (parent / "metadata.csv").is_file():
            return FoundLayout(parent / "metadata.csv")
    tables = list(_tables(above))
    fitting = [path for path in tables if _says_something(path, plate, wells)]
    if len(fitting) == 1:
        return FoundLayout(fitting[0])
    if fitting:
        names = ", ".join(map(str, fitting))
        return FoundLayout(notes=(f"{plate}: {names} may each be its layout: name one in column layout of plates.tsv",))
    return FoundLayout(notes=tuple(note for path in tables for note in _unknown_columns(path)))


def _tables(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in TABLES and path.is_file() and path.stat().st_size <= MOST_BYTES:
                yield path


def _says_something(path: Path, plate: str, wells: set[str]) -> bool:
    """Return whether a file is a layout of these wells; labels that nobody mapped yet are the doctor's business."""
    layouts = open_layouts(LayoutOptions())
    try:
        layouts.add(path, [plate])
    except (PlatemaeError, OSError, ValueError):
        return False
    told = set(layouts.labeller.labels) - {BLANK_LABEL}
    return not layouts.problems and bool(told) and wells <= set(layouts.of_plate.get(plate, {}))


def _unknown_columns(path: Path) -> Iterator[str]:
    """Yield a note where a table names wells, and what is in them in columns of names that are not known."""
    try:
        table = read_table(path, "")
        columns, problems = layout_columns(table, {})
    except (PlatemaeError, OSError, ValueError):
        return
    if not problems and has_well(columns) and not set(columns) & set(LABEL_ROLES):
        yield (
            f"{path} names wells, and has columns {', '.join(table.header)}: if it is a layout, name it in column "
            "layout of plates.tsv, and under layouts: columns: what they hold"
        )
