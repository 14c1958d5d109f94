"""What a reader gives: an inventory of a raw plate folder by name, and the pixels of one field."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class ChannelInfo:
    """A channel: its name in the store, and what it shows."""

    name: str
    stain: str


@dataclass(frozen=True)
class FieldRecord:
    """One field of a well.

    Parameters
    ----------
    well
        Row letters and two-digit column, such as ``B03``.
    field
        The instrument's label, numbers without leading zeros.
    files
        Image file of each channel in the order of the store; None where the channel is missing.
    """

    well: str
    field: str
    files: Mapping[str, Path | None]

    @property
    def missing(self) -> list[str]:
        """Names of the channels without a file."""
        return [name for name, path in self.files.items() if path is None]


@dataclass(frozen=True)
class RawFile:
    """A raw file as the inventory saw it; ``name`` is relative to the plate's folder."""

    name: str
    size: int
    mtime: float


@dataclass(frozen=True)
class Inventory:
    """What a raw plate folder holds.

    Parameters
    ----------
    records
        Fields, sorted by well and field.
    channels
        In the order of the store.
    pixel_size_um
        Edge of a pixel in micrometres.
    files
        The image files that belong to fields.
    unmatched
        Files of the folder that belong to no field, relative names.
    promised
        Number of images that the instrument's own metadata lists, where there is such metadata.
    """

    records: tuple[FieldRecord, ...]
    channels: tuple[ChannelInfo, ...]
    pixel_size_um: float
    files: tuple[RawFile, ...]
    unmatched: tuple[str, ...] = field(default=())
    promised: int | None = None


class Reader(Protocol):
    """Reads the folders of one kind of instrument."""

    def inventory(self, folder: Path, entry: Mapping[str, Any]) -> Inventory:
        """Return what ``folder`` holds, without reading a pixel.

        Parameters
        ----------
        folder
            Folder of one plate.
        entry
            The entry of the configuration's ``readers``.

        Raises
        ------
        PlatemaeError
            All problems with names and metadata at once.
        """
        ...

    def load(self, record: FieldRecord) -> np.ndarray:
        """Return the pixels of a field, (C, Y, X) in the source dtype; a missing channel is zeros.

        Raises
        ------
        InputError
            Naming the file that cannot be read.
        """
        ...
