"""Metadata of a plate store: OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5/), HCS layout, on Zarr v3."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from platemae.store.plate_reader import StoreChannel
from platemae.store.shard import LEVEL, ShardLayout

NGFF_VERSION = "0.5"
COLORS = ("0000FF", "00FF00", "FFFF00", "FF0000", "FF00FF", "00FFFF", "FFFFFF", "FF8000")
"""Display colours, dealt out in channel order; they carry no meaning."""


def group(attributes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes or {})}


def plate_attributes(name: str, groups: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the plate group.

    Parameters
    ----------
    name
        Plate id.
    groups
        Groups of all fields, ``row/column/field``.
    facts
        What :class:`platemae.store.plate_reader.PlateStore` needs to read fields without opening their metadata.
    """
    wells = wells_of(groups)
    rows = sorted({w.split("/")[0] for w in wells}, key=lambda row: (len(row), row))
    columns = sorted({w.split("/")[1] for w in wells}, key=int)
    plate = {
        "name": name,
        "version": NGFF_VERSION,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [_well(path, rows, columns) for path in wells],
        "field_count": max(len(fields) for fields in wells.values()),
    }
    return {"ome": {"version": NGFF_VERSION, "plate": plate}, "platemae": dict(facts)}


def wells_of(groups: Sequence[str]) -> dict[str, list[str]]:
    """Return the fields of each well, ``{"B/3": ["0", "1"]}``, in the order of ``groups``."""
    wells: dict[str, list[str]] = {}
    for path in groups:
        well, field = path.rsplit("/", 1)
        wells.setdefault(well, []).append(field)
    return wells


def _well(path: str, rows: list[str], columns: list[str]) -> dict[str, Any]:
    row, column = path.split("/")
    return {"path": path, "rowIndex": rows.index(row), "columnIndex": columns.index(column)}


def well_attributes(fields: Sequence[str]) -> dict[str, Any]:
    """Return the attributes of a well group."""
    well = {"version": NGFF_VERSION, "images": [{"path": field} for field in fields]}
    return {"ome": {"version": NGFF_VERSION, "well": well}}


def field_attributes(
    x_CYX: np.ndarray, channels: Sequence[StoreChannel], pixel_size_um: float, label: str
) -> dict[str, Any]:
    """Return the attributes of a field group: axes, scale, channels with their display window, stains."""
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [1.0, pixel_size_um, pixel_size_um]}]
    multiscale = {"name": label, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    shown = [
        {"label": c.name, "color": COLORS[i % len(COLORS)], "active": True, "window": _window(x_CYX[i])}
        for i, c in enumerate(channels)
    ]
    ome = {"version": NGFF_VERSION, "multiscales": [multiscale], "omero": {"channels": shown}}
    return {"ome": ome, "platemae": {"field": label, "channels": [asdict(c) for c in channels]}}


def _window(x_YX: np.ndarray) -> dict[str, float]:
    low, high = float(x_YX.min()), float(x_YX.max())
    integer = x_YX.dtype.kind == "u"
    limits = (0.0, float(np.iinfo(x_YX.dtype).max)) if integer else (low, high)
    return {"min": limits[0], "max": limits[1], "start": low, "end": high}


def array(layout: ShardLayout) -> dict[str, Any]:
    """Return the ``zarr.json`` of a field's array: one shard, chunks of all channels, blosc zstd-1 bitshuffle."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    plain = little if layout.dtype.itemsize > 1 else {"name": "bytes"}
    blosc = {
        "typesize": layout.dtype.itemsize,
        "cname": "zstd",
        "clevel": LEVEL,
        "shuffle": "bitshuffle",
        "blocksize": 0,
    }
    sharding = {
        "chunk_shape": [layout.shape[0], *layout.chunk],
        "codecs": [plain, {"name": "blosc", "configuration": blosc}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": layout.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(layout.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0 if layout.dtype.kind == "u" else 0.0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["c", "y", "x"],
        "attributes": {},
        "storage_transformers": [],
    }
