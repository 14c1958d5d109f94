"""A plate before it is ingested: its folder and its layout, and all that is wrong between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from platemae.config.plates import layout_options, metadata_path, read_layout, resolve
from platemae.contracts import PERTURBATION_COLUMNS
from platemae.errors import PlatemaeError
from platemae.readers import none
from platemae.readers.base import Inventory
from platemae.readers.checks import inventory_problems
from platemae.readers.registry import resolve as resolve_reader

T = TypeVar("T")


def look(
    cfg: Mapping[str, Any], plate: str, base: Path
) -> tuple[Inventory | None, dict[str, dict[str, str]], list[PlatemaeError]]:
    """Return inventory and layout of a plate, and the problems of both; no pixel is read.

    Parameters
    ----------
    cfg
        What ``ingest_plate`` reads of the configuration: ``plate``, ``reader``, ``layouts``, ``ingest``.
    plate
        Plate id.
    base
        Folder of plates.tsv, where relative paths start.
    """
    row = cfg["plate"]
    folder = resolve(row["path"], base)
    problems: list[PlatemaeError] = []
    options = layout_options(cfg.get("layouts", {}), base)
    layout = _attempt(problems, lambda: read_layout(resolve(row["layout"], base), plate, options))
    if cfg["reader"]["kind"] == none.KIND:
        return (None if layout is None else none.from_layout(layout)), layout or {}, problems
    inventory = _attempt(
        problems, lambda: resolve_reader(cfg["reader"]["kind"])(folder, _entry(cfg["reader"], plate, base))
    )
    if layout is not None and inventory is not None:
        if options.wells_without_row == "empty":
            nothing = dict.fromkeys(PERTURBATION_COLUMNS, "") | {"control_type": "empty"}
            layout = {record.well: nothing for record in inventory.records} | layout
        control_types = {well: labels["control_type"] for well, labels in layout.items()}
        problems += inventory_problems(plate, folder, inventory, control_types, cfg["ingest"]["allow_missing"])
    return inventory, layout or {}, problems


def _entry(reader: Mapping[str, Any], plate: str, base: Path) -> dict[str, Any]:
    """Return the reader's entry as readers take it: with the plate's id, and ``metadata`` as a full path."""
    metadata = reader.get("metadata")
    return {**reader, "plate": plate, "metadata": metadata and str(metadata_path(metadata, plate, base))}


def _attempt(problems: list[PlatemaeError], call: Callable[[], T]) -> T | None:
    try:
        return call()
    except PlatemaeError as error:
        problems.append(error)
        return None
