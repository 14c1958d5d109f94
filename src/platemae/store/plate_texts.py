"""The metadata texts of a plate store, every ``zarr.json`` of it, for any form that the store may take."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from platemae.store import ngff
from platemae.store.plate_reader import StoreChannel
from platemae.store.shard import ShardLayout

_LONGEST_FLOAT = -2.2250738585072014e-308
_LONGEST_SIZE = 10**9
_SLACK = 64
"""Bytes by which a slot is longer than its longest text: positions are sums, whose digits are not known beforehand."""


@dataclass(frozen=True)
class FieldSource:
    """A field to write: where it goes, how the instrument calls it, and how its pixels are read.

    Parameters
    ----------
    group
        ``row/column/field`` in the store.
    label
        The instrument's own label of the field.
    name
        How errors call it.
    load
        Returns (C, Y, X) in the dtype of the store; called once, in a worker thread.
    center_um
        Row and column of its centre from the centre of the well, y downwards, where known.
    """

    group: str
    label: str
    name: str
    load: Callable[[], np.ndarray]
    center_um: tuple[float, float] | None = None


def group_key(group: str) -> tuple[int, str, int, int]:
    """Return the sort key of a field's group: row (A to Z before AA), column, field."""
    row, column, field = group.split("/")
    return len(row), row, int(column), int(field)


@dataclass(frozen=True)
class PlateTexts:
    """What the texts are made of, but for what only the pixels tell.

    Parameters
    ----------
    name
        Plate id.
    fields
        In the order of :func:`group_key`.
    channels
        In the order of the first axis.
    pixel_size_um
        Edge of a pixel in micrometres.
    source_ranges
        Of a store of 8 bits made of more: channel name -> source values that became 0 and 255.
    """

    name: str
    fields: Sequence[FieldSource]
    channels: Sequence[StoreChannel]
    pixel_size_um: float
    source_ranges: Mapping[str, tuple[float, float]]

    def all(self, layout: ShardLayout, windows_C2: np.ndarray, digest: str) -> Iterator[tuple[str, str]]:
        """Yield name and text of each file, from the root downwards, level by level.

        Parameters
        ----------
        layout
            Shape, dtype and chunks of every field.
        windows_C2
            Display window of each channel.
        digest
            Content digest of the plate.
        """
        groups = [field.group for field in self.fields]
        wells = ngff.wells_of(groups)
        root = ngff.plate_attributes(self.name, groups, self._facts(layout, digest, groups))
        yield "zarr.json", _text(ngff.group(root))
        for row in dict.fromkeys(well.split("/")[0] for well in wells):
            yield f"{row}/zarr.json", _text(ngff.group())
        for well, images in wells.items():
            yield f"{well}/zarr.json", _text(ngff.group(ngff.well_attributes(images)))
        for field in self.fields:
            about = (self.channels, self.pixel_size_um, field.label, field.center_um)
            yield f"{field.group}/zarr.json", _text(ngff.group(ngff.field_attributes(layout, windows_C2, *about)))
        array = _text(ngff.array(layout))
        for group in groups:
            yield f"{group}/0/zarr.json", array

    def slots(self) -> dict[str, int]:
        """Return the bytes that each text takes at most, whatever the pixels tell, in the order of :meth:`all`."""
        size = (len(self.channels), _LONGEST_SIZE, _LONGEST_SIZE)
        layout = ShardLayout(size, (_LONGEST_SIZE, _LONGEST_SIZE), np.dtype("float32"))
        windows_C2 = np.full((len(self.channels), 2), _LONGEST_FLOAT)
        return {name: len(text) + _SLACK for name, text in self.all(layout, windows_C2, "0" * 64)}

    def _facts(self, layout: ShardLayout, digest: str, groups: list[str]) -> dict[str, Any]:
        facts = {
            "digest": digest,
            "shape": list(layout.shape),
            "dtype": layout.dtype.name,
            "chunk": list(layout.chunk),
            "pixel_size_um": self.pixel_size_um,
            "channels": [asdict(channel) for channel in self.channels],
            "fields": groups,
        }
        return facts | ({"source_ranges": dict(self.source_ranges)} if self.source_ranges else {})


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))
