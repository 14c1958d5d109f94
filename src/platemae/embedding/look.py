"""A plate as a model sees it: its channels, its pixel size, where crops and cells lie.

Legend: C channels, H height, W width, T tiles of a field, K cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from platemae.data.channels import shared_channels
from platemae.data.crops import PlateSource
from platemae.data.dataset import open_plate
from platemae.embedding.cells import crop_origins, leaves_field
from platemae.embedding.resample import PixelSizes, pixel_sizes, resample
from platemae.embedding.settings import EmbedSettings
from platemae.embedding.tiling import tile_field
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.models.pooling import check_poolings
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel


@dataclass(frozen=True)
class Look:
    """A plate as a model sees it.

    Parameters
    ----------
    module, facts
        The model, on the CPU, and what model.json says of it.
    source
        Its pixels.
    channels, expected
        Channels looked at, and those of the training.
    sizes
        Pixel sizes, and whether fields are resampled.
    """

    module: Any
    facts: dict[str, Any]
    source: PlateSource
    channels: tuple[StoreChannel, ...]
    expected: tuple[StoreChannel, ...]
    sizes: PixelSizes

    @property
    def crop_px(self) -> int:
        """Edge of a crop, pixels as the model sees them."""
        return int(self.facts["architecture"]["crop_px"])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a field as the model sees it, pixels."""
        return self.sizes.shape(*self.source.store.shape[1:])

    def tile_centres(self, tiling: str) -> np.ndarray:
        """Return the centre (y, x) of each tile of a field, (T, 2), in the plate's own pixels."""
        tiles = tile_field(*self.shape, self.crop_px, tiling)
        before = np.array([pair[0] for pair in tiles.padding])
        centres_T2 = np.array(tiles.origins) - before + self.crop_px / 2
        scale = np.array(self.source.store.shape[1:]) / np.array(self.shape)
        return np.asarray(centres_T2 * scale - 0.5)

    def places(self, cells: pd.DataFrame) -> np.ndarray:
        """Return the positions (y, x) of cells, (K, 2), in pixels as the model sees them."""
        scale = np.array(self.shape) / np.array(self.source.store.shape[1:])
        return (cells[["y", "x"]].to_numpy(np.float64) + 0.5) * scale - 0.5

    def leaves_field(self, cells: pd.DataFrame) -> np.ndarray:
        """Return for each cell whether its crop leaves the field."""
        places_K2 = self.places(cells)
        return leaves_field(crop_origins(places_K2, self.crop_px), *self.shape, self.crop_px)


def look_at(results: Results, model: str, plate: str, batch: str, settings: EmbedSettings) -> Look:
    """Load a model, open a plate for it, and check that they fit.

    Raises
    ------
    ConfigError
        When channels do not match by name and stain, the model lacks a pooling, or a pixel size is not known. A model
        for any channels takes those that the plate has.
    """
    module, facts = load_model(results.model(model))
    _check_poolings(module, settings.poolings, f"model {model}")
    expected = tuple(StoreChannel(c["name"], c["stain"]) for c in facts["channels"])
    channels = _channels(results, plate, module, expected, settings.poolings)
    source = open_plate(results, plate, batch, channels, IntensityMap.from_json(facts["intensity"]), f"model {model}")
    where = f"plate {plate}, model {model}"
    sizes = pixel_sizes(source.store.pixel_size_um, facts.get("pixel_size_um"), settings.pixel_size, where)
    return Look(module, facts, source, channels, expected, sizes)


def _check_poolings(module: Any, poolings: tuple[str, ...], who: str) -> None:
    levels, depth = getattr(module.spec, "levels", None), getattr(module.spec, "depth", 0)
    check_poolings(poolings, module.poolings, depth if levels is None else levels + 1, who)


def _channels(
    results: Results, plate: str, module: Any, expected: tuple[StoreChannel, ...], poolings: tuple[str, ...]
) -> tuple[StoreChannel, ...]:
    """Return the channels to look at: all that the model trained on, or, where it takes any, those of the plate."""
    if not getattr(module, "any_channels", False):
        return expected
    channels = shared_channels(PlateStore(results.store(plate)).channels, expected)
    if "channelwise" in poolings and len(channels) < len(expected):
        lacking = ", ".join(c.name for c in expected if c not in channels)
        problem = f"plate {plate} lacks {lacking}: its vectors, one part a channel, would be shorter than the others"
        raise ConfigError(problem, "embed.pooling", "use pooling mean, or leave the plate out")
    return channels


def reader(source: PlateSource, sizes: PixelSizes) -> Callable[[str], np.ndarray]:
    """Return what reads a field by its group, at the model's pixel size, float32 on the scale 0..255.

    Counts are resampled before they are mapped and clipped: light adds up in counts.
    """

    def read(group: str) -> np.ndarray:
        if sizes.ratio == 1:
            return source.read_field(group)
        field_CHW = source.pick(source.store.read_field(group))
        return source.to_range(resample(field_CHW, sizes.shape(*field_CHW.shape[1:])))

    return read
