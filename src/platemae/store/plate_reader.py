"""Read fields and crops of a plate store. Light: no zarr, so that every job starts fast."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from platemae.errors import ContractError, InputError, MissingError
from platemae.store.plate_files import PlateFiles, open_files
from platemae.store.shard import ShardLayout, read_window

SHARD_FILE = Path("0", "c", "0", "0", "0")
"""Where the one shard of a field lies below the field's group."""
_SHARD_NAME = SHARD_FILE.as_posix()


@dataclass(frozen=True)
class StoreChannel:
    """A channel of a store: its name, and what it shows."""

    name: str
    stain: str


class PlateStore:
    """An OME-Zarr plate as :mod:`platemae.store.plate_writer` wrote it; reading is safe in threads and after a fork.

    Parameters
    ----------
    path
        Folder of the store, or where it would be when the plate is one ZIP: ``P1.zarr`` for ``P1.zarr.zip`` too.

    Attributes
    ----------
    path : pathlib.Path
        The folder or ZIP that was found.
    fields : list of str
        Groups of the fields, such as ``B/3/0``, sorted.
    channels : list of StoreChannel
        In the order of the first axis.
    shape : tuple of int
        (C, Y, X) of every field.
    dtype : numpy.dtype
        Of the stored pixels: the source's, but for stores of 8 bits.
    source_ranges : dict
        Of a store of 8 bits: channel name -> source values that became 0 and 255. Empty where pixels are the source's.
    pixel_size_um : float
        Edge of a pixel in micrometres.
    digest : str
        Content digest of pixels, channel names and pixel size, taken when the store was written.

    Raises
    ------
    MissingError
        When there is no store.
    ContractError
        When it was not written by platemae, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._files = open_files(Path(path))
        self.path = self._files.path
        facts = _read_facts(self._files)
        try:
            self.fields: list[str] = [str(group) for group in facts["fields"]]
            self.channels = [StoreChannel(c["name"], c["stain"]) for c in facts["channels"]]
            channels, rows, columns = facts["shape"]
            self.shape: tuple[int, int, int] = (channels, rows, columns)
            self.dtype = np.dtype(facts["dtype"])
            self.pixel_size_um = float(facts["pixel_size_um"])
            self.digest = str(facts["digest"])
            ranges = facts.get("source_ranges", {})
            self.source_ranges = {str(name): (float(low), float(high)) for name, (low, high) in ranges.items()}
            chunk_rows, chunk_columns = facts["chunk"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _foreign(self.path, f"lacks {error}") from None
        self._layout = ShardLayout(self.shape, (chunk_rows, chunk_columns), self.dtype)
        self._known = frozenset(self.fields)

    @property
    def lossless(self) -> bool:
        """Whether the pixels are the source's, value for value; False for a store of 8 bits."""
        return not self.source_ranges

    @property
    def channel_names(self) -> list[str]:
        """Names of the channels, in order."""
        return [channel.name for channel in self.channels]

    @property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns of the compressed chunks, pixels: what a crop decodes at the least."""
        return self._layout.chunk

    def read_field(self, group: str) -> np.ndarray:
        """Return a whole field (C, Y, X) in the source dtype.

        Raises
        ------
        InputError
            When the plate has no such field, or its file is damaged.
        MissingError
            When its file is gone.
        """
        return self._read(group, (0, self.shape[1]), (0, self.shape[2]))

    def read_crop(self, group: str, y: int, x: int, size: int) -> np.ndarray:
        """Return the crop (C, size, size) with its top left corner at row ``y`` and column ``x``, in the source dtype.

        Raises
        ------
        InputError
            When the crop leaves the field, there is no such field, or its file is damaged.
        MissingError
            When its file is gone.
        """
        if min(y, x) < 0 or size < 1 or y + size > self.shape[1] or x + size > self.shape[2]:
            raise InputError(
                f"a crop of {size} pixels at row {y}, column {x} leaves the field of {self.shape[1]} x {self.shape[2]}",
                f"{self.path}, field {group}",
                "choose a smaller crop",
            )
        return self._read(group, (y, y + size), (x, x + size))

    def _read(self, group: str, y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
        # Membership also keeps a group name such as ../.. inside the store.
        if group not in self._known:
            raise InputError(f"the plate has no field {group}", str(self.path), "ingest the plate again")
        try:
            span = self._files.span(f"{group}/{_SHARD_NAME}")
        except FileNotFoundError:
            raise MissingError("a field is gone from the plate store", f"{self.path}, field {group}", _AGAIN) from None
        return read_window(span.path, self._layout, y, x, span.start, span.size)


_AGAIN = "ingest the plate again: `platemae ingest-plate PLATE`"


def _read_facts(files: PlateFiles) -> dict[str, Any]:
    path = files.path
    try:
        attributes = json.loads(files.span("zarr.json").read())["attributes"]
    except FileNotFoundError:
        raise MissingError(
            "the plate store is gone, though its manifest may be there",
            str(path),
            f"bring the folder or {path.name}.zip back, or ingest again: `platemae ingest-plate {path.stem}` needs the "
            "raw images",
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _foreign(path, str(error)) from None
    facts = attributes.get("platemae")
    if not isinstance(facts, dict):
        raise _foreign(path, "it has no attribute `platemae`")
    return facts


def _foreign(path: Path, why: str) -> ContractError:
    return ContractError(f"the plate store cannot be used: {why}", str(path), "ingest the plate again")
