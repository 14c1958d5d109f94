"""What a reader gives: an inventory of a raw plate folder by name, without a pixel read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class ChannelInfo:
    """A channel: its name in the store, and what it shows."""

    name: str
    stain: str


@dataclass(frozen=True)
class Plane:
    """Where the pixels of one channel at one depth lie.

    Parameters
    ----------
    path
        An image file, a parquet file that holds encoded images, or the folder of a Zarr array.
    index
        Which plane of it: empty for a file of one plane, the page of a TIFF, the row of a parquet file, or the
        leading indices of a Zarr array.
    """

    path: Path
    index: tuple[int, ...] = ()


@dataclass(frozen=True)
class Image:
    """One plane as the instrument lists it.

    Parameters
    ----------
    well
        Row letters and two-digit column, such as ``B03``.
    field
        The instrument's label, numbers without leading zeros.
    channel
        The instrument's own name of the channel.
    plane
        Where the pixels lie; None when the metadata lists the image and the file is not there.
    z
        Depth, any number that rises with it; None for a projection that the instrument made.
    time
        Time point.
    y_um, x_um
        Stage position of the field's centre relative to that of the well, micrometres, y downwards, where known.
    """

    well: str
    field: str
    channel: str
    plane: Plane | None
    z: int | None = 0
    time: int = 0
    y_um: float | None = None
    x_um: float | None = None


@dataclass(frozen=True)
class FieldRecord:
    """One field of a well.

    Parameters
    ----------
    well
        Row letters and two-digit column, such as ``B03``.
    field
        The instrument's label, numbers without leading zeros.
    planes
        Planes of each channel in the order of the store, in order of depth; empty where the channel is missing.
    projection
        How several planes become one: ``max`` or ``best_focus``.
    incomplete
        Names of the channels that lack a plane which the metadata lists.
    y_um, x_um
        Stage position relative to the well's centre, micrometres, y downwards, where known.
    """

    well: str
    field: str
    planes: Mapping[str, tuple[Plane, ...]]
    projection: str = "max"
    incomplete: tuple[str, ...] = ()
    y_um: float | None = None
    x_um: float | None = None

    @property
    def missing(self) -> list[str]:
        """Names of the channels without any plane."""
        return [name for name, planes in self.planes.items() if not planes]


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
    found
        How many of them are there.
    n_z, n_times
        Depths of the deepest stack, and time points, before one was chosen.
    notes
        Sentences for the report: what was chosen where the instrument left a choice.
    """

    records: tuple[FieldRecord, ...]
    channels: tuple[ChannelInfo, ...]
    pixel_size_um: float
    files: tuple[RawFile, ...]
    unmatched: tuple[str, ...] = field(default=())
    promised: int | None = None
    found: int = 0
    n_z: int = 1
    n_times: int = 1
    notes: tuple[str, ...] = ()


class ReadInventory(Protocol):
    """The function of a reader: what a folder of one kind of instrument holds."""

    def __call__(self, folder: Path, entry: Mapping[str, Any]) -> Inventory:
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
