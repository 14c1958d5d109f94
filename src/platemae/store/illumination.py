"""Uneven illumination of a plate's fields: the function of each channel, and a store whose pixels are divided by it."""

# Shape legend: C channels, G cells of the grid along an edge of the field, Y rows, X columns of pixels

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from platemae.contracts import Manifest
from platemae.errors import ContractError, MissingError
from platemae.fingerprint import digest_bytes, digest_json
from platemae.layout import Results
from platemae.store.plate_reader import PlateStore

LOWEST = 0.1
"""Smallest value of a function: where less than a tenth of the mean light falls, there is nothing to correct."""


@dataclass(frozen=True)
class Illumination:
    """How brightly each place of the field is lit, mean 1 over the field; smooth, so a coarse grid holds it.

    Parameters
    ----------
    channels
        Names, in the order of the first axis.
    grid_CGG
        Values at the centres of a grid of equal cells over the field; between them it is linear.
    fields
        Number of fields that it was estimated from.
    """

    channels: tuple[str, ...]
    grid_CGG: np.ndarray
    fields: int

    @property
    def digest(self) -> str:
        """Digest of the function."""
        content = self.grid_CGG.astype("<f4").tobytes()
        return digest_bytes(digest_json([*self.channels, list(self.grid_CGG.shape)]).encode(), content)

    def window(self, shape: tuple[int, int], y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
        """Return the function on rows ``y[0]:y[1]`` and columns ``x[0]:x[1]`` of fields of ``shape``, (C, Y, X)."""
        rows_GY = _weights(self.grid_CGG.shape[1], shape[0], y)
        columns_GX = _weights(self.grid_CGG.shape[2], shape[1], x)
        light_CYX = rows_GY.T @ self.grid_CGG @ columns_GX
        return np.maximum(light_CYX, LOWEST, out=light_CYX)

    def write(self, path: Path) -> None:
        """Write to a temporary sibling and rename."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        with temporary.open("wb") as file:
            np.savez(file, channels=np.array(self.channels), grid=self.grid_CGG, fields=self.fields)
        temporary.replace(path)


def read_illumination(path: Path) -> Illumination | None:
    """Read a function; None when there is none, as the plate is not corrected.

    Raises
    ------
    ContractError
        When it cannot be understood.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            channels = tuple(str(name) for name in file["channels"])
            found = Illumination(channels, file["grid"].astype(np.float32), int(file["fields"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _wrong(path, str(error)) from None
    grid_CGG = found.grid_CGG
    if grid_CGG.ndim != 3 or len(grid_CGG) != len(channels) or min(grid_CGG.shape[1:]) < 2:
        raise _wrong(path, f"a grid of shape {grid_CGG.shape} for {len(channels)} channels")
    if not np.isfinite(grid_CGG).all() or grid_CGG.min() <= 0:
        raise _wrong(path, "values that are not finite, or not above 0")
    return found


class EvenStore(PlateStore):
    """A plate whose pixels are divided by its illumination as they are read: float32, in source units.

    Parameters
    ----------
    path
        As for :class:`PlateStore`.
    light
        The plate's function.

    Raises
    ------
    ContractError
        When the function is of other channels.
    """

    def __init__(self, path: Path, light: Illumination) -> None:
        super().__init__(path)
        if list(light.channels) != self.channel_names:
            what = f"the illumination of a plate is of the channels {', '.join(light.channels)}"
            raise ContractError(what, str(self.path), "run qc_plate again")
        self.dtype = np.dtype(np.float32)
        self.light = light

    def _read(self, group: str, y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
        return super()._read(group, y, x) / self.light.window(self.shape[1:], y, x)


def plate_illumination(results: Results, plate: str) -> Illumination | None:
    """Return how a plate is lit; None where quality control did not estimate it.

    The manifest of quality control says whether there must be a function, and which: the file itself is no declared
    output, so that one that is gone or of another run would change what models read without a word.

    Raises
    ------
    MissingError
        When it is gone.
    ContractError
        When it is another one, or cannot be understood.
    """
    path, manifest = results.illumination(plate), results.manifest("qc_plate", plate=plate)
    light = read_illumination(path)
    if not manifest.exists():  # of stages that are run by hand
        return light
    wanted = Manifest.read(manifest).counts.get("illumination")
    if wanted is None:
        return None
    remedy = f"run quality control again: `platemae qc-plate --plate {plate}`"
    if light is None:
        raise MissingError(f"the illumination of plate {plate} is gone", str(path), remedy)
    if light.digest != wanted:
        what = f"the illumination of plate {plate} is not the one that quality control noted"
        raise ContractError(what, str(path), remedy)
    return light


def open_store(results: Results, plate: str, copy: Path | None = None) -> PlateStore:
    """Open a plate as models see it: even where its illumination was estimated, else as it was stored.

    Quality control and classical features read a :class:`PlateStore`, whose pixels are the source's.

    Parameters
    ----------
    results, plate
        Paths, and the plate.
    copy
        Where a copy of the store lies that is to be read instead of it.

    Raises
    ------
    PlatemaeError
        As :class:`PlateStore` and :func:`plate_illumination`.
    """
    path, light = copy or results.store(plate), plate_illumination(results, plate)
    return PlateStore(path) if light is None else EvenStore(path, light)


def _weights(cells: int, size: int, span: tuple[int, int]) -> np.ndarray:
    """Return the weight of each cell for each pixel of ``span``, (G, pixels): linear, beyond the outer centres too."""
    place = (np.arange(*span) + 0.5) * cells / size - 0.5
    low = np.clip(np.floor(place), 0, cells - 2).astype(np.int64)
    weights_GP = np.zeros((cells, len(place)), dtype=np.float32)
    pixel = np.arange(len(place))
    weights_GP[low, pixel] = 1 - (place - low)
    weights_GP[low + 1, pixel] = place - low
    return weights_GP


def _wrong(path: Path, why: str) -> ContractError:
    return ContractError(f"the illumination of a plate cannot be understood: {why}", str(path), "run qc_plate again")
