"""What is wrong between a plate's folder and its layout, all of it, before a pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from platemae.errors import ConfigError, InputError, PlatemaeError, few
from platemae.readers.base import FieldRecord, Inventory

LISTED = 20
"""Fields or wells that errors name before they only count them."""


def inventory_problems(
    plate: str, folder: Path, inventory: Inventory, control_types: Mapping[str, str], allow_missing: bool
) -> list[PlatemaeError]:
    """Return what is wrong with a plate.

    Parameters
    ----------
    plate
        Plate id.
    folder
        Its raw folder.
    inventory
        What the folder holds.
    control_types
        Control type of each well of the layout. An ``empty`` well need not have been imaged.
    allow_missing
        Whether missing images are accepted.
    """
    imaged = {record.well for record in inventory.records}
    wanted = {well for well, control_type in control_types.items() if control_type != "empty"}
    problems: list[PlatemaeError] = []
    lacking, unlabelled = sorted(wanted - imaged), sorted(imaged - set(control_types))
    if lacking:
        what = f"the layout of plate {plate} names {len(lacking)} wells that the plate lacks: {few(lacking)}"
        problems.append(ConfigError(what, str(folder), "correct the layout, or mark wells without images `empty`"))
    if unlabelled:
        what = f"{len(unlabelled)} wells of plate {plate} are not in its layout: {few(unlabelled)}"
        problems.append(ConfigError(what, str(folder), "add a row a well; `empty` for those without a perturbation"))
    if not allow_missing:
        problems += _missing(plate, folder, inventory)
    return problems


def with_images(inventory: Inventory) -> Inventory:
    """Return the inventory without the fields that have no image at all, which a note names.

    A field that lacks a channel is kept with zeros in its place; one that lacks all of them has neither size nor type.
    """
    kept = tuple(record for record in inventory.records if any(record.planes.values()))
    gone = [f"{record.well} field {record.field}" for record in inventory.records if not any(record.planes.values())]
    if not gone:
        return inventory
    note = f"{len(gone)} fields have no image at all and are left out: {few(gone)}"
    return replace(inventory, records=kept, notes=(*inventory.notes, note))


def _missing(plate: str, folder: Path, inventory: Inventory) -> list[PlatemaeError]:
    problems: list[PlatemaeError] = []
    found = inventory.found
    if inventory.promised is not None and found < inventory.promised:
        what = f"plate {plate} has {found} images, its own metadata lists {inventory.promised}"
        remedy = "wait until the copy is complete, or set ingest.allow_missing: true"
        problems.append(InputError(what, str(folder), remedy))
    gaps = [record for record in inventory.records if record.missing or record.incomplete]
    for record in gaps[:LISTED]:
        problems.append(
            InputError(_gap(plate, record), str(folder), "copy the file, or set ingest.allow_missing: true")
        )
    if len(gaps) > LISTED:
        problems.append(InputError(f"{len(gaps) - LISTED} more fields of plate {plate} lack a channel", str(folder)))
    return problems


def _gap(plate: str, record: FieldRecord) -> str:
    channels = ", ".join([*record.missing, *record.incomplete])
    return f"no file for plate {plate}, well {record.well}, field {record.field}, channel {channels}"
