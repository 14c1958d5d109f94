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
    layout: ShardLayout,
    windows_C2: np.ndarray,
    channels: Sequence[StoreChannel],
    pixel_size_um: float,
    label: str,
    center_um: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Return the attributes of a field group: axes, scale, place, channels with their display window, stains.

    Parameters
    ----------
    layout
        Shape and dtype of the field.
    windows_C2
        Values that a viewer shows as black and as full colour, one pair a channel.
    channels
        In the order of the first axis.
    pixel_size_um
        Edge of a pixel in micrometres.
    label
        The instrument's label of the field.
    center_um
        Row and column of the field's centre from the centre of the well, where known: viewers then show the fields
        of a well in place.
    """
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    place: list[dict[str, Any]] = [{"type": "scale", "scale": [1.0, pixel_size_um, pixel_size_um]}]
    if center_um is not None:  # NGFF places the centre of the first pixel
        pairs = zip(center_um, layout.shape[1:], strict=True)
        corner = [center - (size - 1) / 2 * pixel_size_um for center, size in pairs]
        place.append({"type": "translation", "translation": [0.0, *corner]})
    multiscale = {"name": label, "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": place}]}
    top = float(np.iinfo(layout.dtype).max) if layout.dtype.kind == "u" else float(windows_C2.max())
    shown = [
        {
            "label": channel.name,
            "color": COLORS[i % len(COLORS)],
            "active": True,
            "window": {"min": min(0.0, float(low)), "max": top, "start": float(low), "end": float(high)},
        }
        for i, (channel, (low, high)) in enumerate(zip(channels, windows_C2, strict=True))
    ]
    ome = {"version": NGFF_VERSION, "multiscales": [multiscale], "omero": {"channels": shown}}
    return {"ome": ome, "platemae": {"field": label, "channels": [asdict(c) for c in channels]}}


def display_window(x_CYX: np.ndarray) -> np.ndarray:
    """Return the values of a field, (C, 2), between which nearly all its pixels lie, from a grid of some of them."""
    step = max(1, min(x_CYX.shape[1:]) // 32)
    low_high_2C = np.quantile(x_CYX[:, ::step, ::step], (0.01, 0.995), axis=(1, 2))
    return low_high_2C.T


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
