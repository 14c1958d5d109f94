"""ingest_plate: a raw plate folder becomes an OME-Zarr store and a table of its fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.config.plates import layout_options, resolve
from platemae.contracts import FIELDS_COLUMNS, POSITION_COLUMNS, Manifest, write_text
from platemae.errors import raise_all, writing
from platemae.fingerprint import digest_bytes, digest_json, digest_table
from platemae.layout import Results
from platemae.layouts.cells import POOLED, read_cells
from platemae.readers.base import FieldRecord, Inventory
from platemae.readers.checks import with_images
from platemae.readers.formats import SUFFIXES
from platemae.readers.look import look
from platemae.readers.names import field_order
from platemae.readers.pixels import load_field
from platemae.sharing.plate import share_plate
from platemae.store.eight_bit import EightBit
from platemae.store.parquet import write_parquet
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, PlateFacts, write_plate
from platemae.wells import split_well

STAGE = "ingest_plate"
_log = logging.getLogger("platemae")


def run(results: Results, cfg: dict[str, Any], *, plate: str, base: Path, threads: int, code: str = "") -> Manifest:
    """Write a plate's store and fields table, and the cells of a pooled plate; or take them where projects share it.

    Parameters
    ----------
    results
        Where they go.
    cfg
        ``plate`` (its row of plates.tsv), ``reader`` (its entry), ``layouts``, ``ingest``.
    plate
        Plate id.
    base
        Folder of plates.tsv, where relative paths start.
    threads
        Fields read, compressed and written at once.
    code
        Code digest of this stage, by which shared plates are told apart.

    Raises
    ------
    PlatemaeError
        All problems of folder and layout at once, before a pixel is read; then all images that cannot be read, or the
        field that the disk did not take.
    """
    row = cfg["plate"]
    inventory, layout, problems = look(cfg, plate, base)
    raise_all(problems)
    assert inventory is not None
    if not inventory.channels:
        return _without_images(results, row, inventory, layout)
    found = with_images(inventory)
    return share_plate(
        results,
        plate,
        _shared_key(cfg, base, found, layout, code),
        lambda into: _write(into, cfg, base, found, layout, threads),
    )


def _write(
    results: Results,
    cfg: Mapping[str, Any],
    base: Path,
    inventory: Inventory,
    layout: Mapping[str, Mapping[str, str]],
    threads: int,
) -> Manifest:
    row, ingest, plate = cfg["plate"], cfg["ingest"], cfg["plate"]["plate"]
    groups = _groups(inventory)
    table = _fields_table(row, inventory, layout, groups)
    cells = _cells(cfg, base, inventory, table)
    eight_bit = _eight_bit(ingest, inventory)
    facts = write_plate(
        results.store(plate),
        plate,
        [_source(plate, record, group, eight_bit) for record, group in zip(inventory.records, groups, strict=True)],
        [StoreChannel(channel.name, channel.stain) for channel in inventory.channels],
        inventory.pixel_size_um,
        chunk_px=ingest["chunk_px"],
        threads=threads,
        form=ingest.get("form", "folder"),
        source_ranges=eight_bit.ranges if eight_bit else None,
        # An older manifest would vouch for the new store while the stage is not done.
        before_swap=lambda: results.manifest(STAGE, plate=plate).unlink(missing_ok=True),
    )
    with writing(f"the table of fields of plate {plate}"):
        write_parquet(table, results.fields(plate))
        _write_cells(cells, results.cells(plate))
        _write_inventory(results, plate, resolve(row["path"], base), inventory)
    return _manifest(inventory, table, cells, facts, eight_bit)


def _shared_key(
    cfg: Mapping[str, Any], base: Path, inventory: Inventory, layout: Mapping[str, Any], code: str
) -> dict[str, Any]:
    """Return all that a plate depends on: settings, code, what its folder and tables hold; paths of tables left out.

    The raw folder counts by its real path, too: files of two plates may agree in names, sizes and times.
    """
    row = {name: value for name, value in cfg["plate"].items() if name not in ("path", "layout", "cells")}
    folder, cells = resolve(cfg["plate"]["path"], base), cfg["plate"].get("cells")
    return {
        "settings": {name: cfg[name] for name in ("reader", "layouts", "ingest") if name in cfg} | {"plate": row},
        "code": code,
        "folder": str(folder.resolve()),
        "files": [[file.name, file.size, file.mtime] for file in inventory.files],
        "records": [str(record).replace(str(folder), "") for record in inventory.records],
        "channels": [[channel.name, channel.stain] for channel in inventory.channels],
        "pixel_size_um": inventory.pixel_size_um,
        "layout": dict(layout),
        "cells": digest_bytes(resolve(cells, base).read_bytes()) if cells else None,
    }


def _eight_bit(ingest: Mapping[str, Any], inventory: Inventory) -> EightBit | None:
    if ingest.get("dtype", "source") == "source":
        return None
    return EightBit(ingest["uint8_range"], [channel.name for channel in inventory.channels], "ingest.uint8_range")


def _without_images(
    results: Results, row: Mapping[str, str], inventory: Inventory, layout: Mapping[str, Mapping[str, str]]
) -> Manifest:
    """Write the table alone, a row a well and no group, for profiles made elsewhere."""
    table = _fields_table(row, inventory, layout, [""] * len(inventory.records))
    with writing(f"the table of fields of plate {row['plate']}"):
        write_parquet(table, results.fields(row["plate"]))
    counts = {"wells": len(table), "fields": 0, "channels": []}
    return Manifest(STAGE, digest_json({"fields": digest_table(table)}), counts, list(inventory.notes))


def _groups(inventory: Inventory) -> list[str]:
    """Return the group of each record; the rank of its label on the plate, so that a missing field shifts no other."""
    labels = sorted({record.field for record in inventory.records}, key=field_order)
    rank = {label: number for number, label in enumerate(labels)}
    wells = (split_well(record.well) for record in inventory.records)
    return [
        f"{row}/{column}/{rank[record.field]}" for (row, column), record in zip(wells, inventory.records, strict=True)
    ]


def _source(plate: str, record: FieldRecord, group: str, eight_bit: EightBit | None) -> FieldSource:
    name = f"plate {plate}, well {record.well}, field {record.field}"
    center_um = None if record.y_um is None or record.x_um is None else (record.y_um, record.x_um)
    return FieldSource(group, record.field, name, partial(_load, record, name, eight_bit), center_um)


def _load(record: FieldRecord, name: str, eight_bit: EightBit | None) -> np.ndarray:
    x_CYX = load_field(record, name)
    return x_CYX if eight_bit is None else eight_bit(x_CYX)


def _fields_table(
    row: Mapping[str, str], inventory: Inventory, layout: Mapping[str, Mapping[str, str]], groups: list[str]
) -> pd.DataFrame:
    rows = []
    for record, group in zip(inventory.records, groups, strict=True):
        letters, column = split_well(record.well)
        place: dict[str, Any] = {"plate": row["plate"], "batch": row["batch"], "well": record.well}
        place |= {"field": record.field, "row": letters, "column": column, "group": group}
        place |= {"y_um": _number(record.y_um), "x_um": _number(record.x_um)}
        place |= {"missing_channels": ",".join([*record.missing, *record.incomplete])}
        rows.append(place | dict(layout[record.well]))
    return pd.DataFrame(rows, columns=[*FIELDS_COLUMNS, *POSITION_COLUMNS])


def _cells(cfg: Mapping[str, Any], base: Path, inventory: Inventory, fields: pd.DataFrame) -> pd.DataFrame | None:
    """Return the cells of a pooled plate; one image is opened first, for the size of a field."""
    row = cfg["plate"]
    if not row.get("cells"):
        return None
    height, width = load_field(next(r for r in inventory.records if any(r.planes.values()))).shape[1:]
    options = layout_options(cfg.get("layouts", {}), base)
    return read_cells(resolve(row["cells"], base), row["plate"], fields, (height, width), options)


def _write_cells(cells: pd.DataFrame | None, path: Path) -> None:
    if cells is None:
        path.unlink(missing_ok=True)  # of a time when the plate was pooled
    else:
        write_parquet(cells, path)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _write_inventory(results: Results, plate: str, folder: Path, inventory: Inventory) -> None:
    """Note the raw files (name, size, mtime) beside the job's provenance, so that a changed folder can be named."""
    record = {
        "folder": str(folder),
        "files": [[file.name, file.size, file.mtime] for file in inventory.files],
        "unmatched": list(inventory.unmatched),
        "promised": inventory.promised,
        "found": inventory.found,
    }
    write_text(results.provenance(STAGE, f"{plate}.inventory"), json.dumps(record) + "\n")
    if inventory.unmatched:
        _log.info(
            "%d files of the folder belong to no field, such as %s", len(inventory.unmatched), inventory.unmatched[0]
        )


def _manifest(
    inventory: Inventory,
    table: pd.DataFrame,
    cells: pd.DataFrame | None,
    facts: PlateFacts,
    eight_bit: EightBit | None,
) -> Manifest:
    stains = {channel.name: channel.stain for channel in inventory.channels}
    digest = plate_digest(facts.digest, stains, table, cells, eight_bit.ranges if eight_bit else None)
    missing = sum(len(record.missing) + len(record.incomplete) for record in inventory.records)
    images = [name for name in inventory.unmatched if name.lower().endswith(SUFFIXES)]
    warnings = list(inventory.notes)
    warnings += [f"{len(images)} images of the folder belong to no field, such as {images[0]}"] if images else []
    if missing:
        warnings.append(f"{missing} images are missing; their fields are zero-filled there and fail QC")
    warnings += eight_bit.warnings() if eight_bit else []
    warnings += _cell_warnings(cells, table) if cells is not None else []
    counts = {
        "wells": int(table["well"].nunique()),
        "fields": len(table),
        "channels": list(stains),
        "shape": list(facts.shape),
        "dtype": facts.dtype,
        "lossless": eight_bit is None,
        "pixel_size_um": inventory.pixel_size_um,
        "n_z": inventory.n_z,
        "n_times": inventory.n_times,
        "missing_images": missing,
        "pixel_bytes": facts.pixel_bytes,
        "pixels": facts.digest,
    }
    if cells is not None:
        kinds = cells["control_type"]
        counts |= {"cells": len(cells), "cell_perturbations": int(cells["perturbation"].nunique())}
        counts |= {f"{kind}_cells": int((kinds == kind).sum()) for kind in ("negcon", "poscon")}
    return Manifest(STAGE, digest, counts, warnings)


def plate_digest(
    pixels: str,
    stains: Mapping[str, str],
    table: pd.DataFrame,
    cells: pd.DataFrame | None,
    source_ranges: Mapping[str, Any] | None,
) -> str:
    """Return the digest of a plate: pixels, stains, fields, and where it has them cells and ranges of 8 bits."""
    content: dict[str, Any] = {"pixels": pixels, "stains": dict(stains), "fields": digest_table(table)}
    if source_ranges:
        content["source_ranges"] = dict(source_ranges)
    if cells is not None:
        content["cells"] = digest_table(cells)
    return digest_json(content)


def _cell_warnings(cells: pd.DataFrame, fields: pd.DataFrame) -> list[str]:
    pooled = set(fields.loc[fields["perturbation"] == POOLED, "well"])
    bare = sorted(pooled - set(cells["well"]))
    warnings = [f"{len(bare)} pooled wells have no cell in the table, such as {bare[0]}"] if bare else []
    if not (cells["control_type"] == "negcon").any():
        warnings.append("no cell of the plate is a negative control")
    return warnings
