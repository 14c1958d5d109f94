"""Open a training set: its fields with their plates, channels and intensity map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from platemae.contracts import DATASET_COLUMNS
from platemae.data.channels import channel_order
from platemae.data.crops import CropSource, PlateSource
from platemae.data.node_cache import NodeCache
from platemae.data.sampler import fixed_specs
from platemae.errors import ConfigError, UntrainableError
from platemae.layout import Results
from platemae.stains import stain_of
from platemae.store.illumination import open_store
from platemae.store.intensity_map import TOP, IntensityMap
from platemae.store.parquet import read_parquet
from platemae.store.plate_reader import PlateStore, StoreChannel

Channels = tuple[StoreChannel, ...]
PIXEL_SIZE_TOLERANCE = 0.02
"""Relative difference of pixel sizes below which plates train together."""


@dataclass(frozen=True)
class TrainingSet:
    """What a model trains on.

    Parameters
    ----------
    train, validation
        Crops of the two splits.
    channels
        Name and stain, in the model's order.
    pixel_size_um
        Edge of a pixel in micrometres.
    plates
        Names of the plates.
    cache
        Holds the copies that crops are read from: they may be removed when it goes.
    """

    train: CropSource
    validation: CropSource
    channels: tuple[StoreChannel, ...]
    pixel_size_um: float
    plates: tuple[str, ...]
    cache: NodeCache | None = None

    def validation_batches(self, count: int, batch: int, seed: int) -> list[np.ndarray]:
        """Return ``count`` fixed crops of validation wells as batches (B, C, S, S) float32."""
        source = self.validation
        specs = fixed_specs(source.heights, source.widths, source.crop, count, seed)
        return [source.batch(specs[i : i + batch]) for i in range(0, count, batch)]


def open_plate(
    results: Results,
    plate: str,
    batch: str,
    channels: tuple[StoreChannel, ...],
    intensity: IntensityMap,
    who: str,
    copy: Path | None = None,
) -> PlateSource:
    """Open a plate as a model sees it, evenly lit where its illumination was estimated.

    Parameters
    ----------
    results
        Paths.
    plate, batch
        The plate and its batch.
    channels
        Channels in the model's order.
    intensity
        The map to 0..255.
    who
        What needs the channels, for errors.
    copy
        Where a copy of the store lies that is to be read instead of it.

    Raises
    ------
    ConfigError
        When a channel is missing or shows another stain.
    """
    store = open_store(results, plate, copy)
    order = channel_order(store, channels, plate, who)
    low_C, high_C = intensity.limits(plate, batch, [channel.name for channel in channels])
    return PlateSource(store, order, low_C, TOP / (high_C - low_C))


def open_training_set(
    results: Results,
    dataset: str,
    intensity: str,
    crop: int,
    cache_bytes: int | None = None,
    choose: Callable[[Channels], Channels] = lambda channels: channels,
    cache: NodeCache | None = None,
) -> TrainingSet:
    """Open the plates of a dataset.

    Parameters
    ----------
    results
        Paths.
    dataset, intensity
        Names of the two.
    crop
        Edge of the crops, pixels.
    cache_bytes
        Memory for decoded training fields.
    choose
        Picks and orders the channels, given all of the map.
    cache
        Copies of the stores on a disk of this node.

    Raises
    ------
    UntrainableError
        When a split has no field.
    ConfigError
        When plates differ in channels or pixel size, or their fields are smaller than a crop.
    """
    table = read_parquet(results.dataset(dataset), DATASET_COLUMNS)
    mapping = IntensityMap.read(results.intensity(intensity))
    batches = dict(zip(table["plate"], table["batch"], strict=True))
    if table.empty:
        raise UntrainableError(
            "a dataset has no field", str(results.dataset(dataset)), "see the QC verdicts of its plates"
        )
    channels = choose(_channels([PlateStore(results.store(plate)) for plate in batches], mapping))
    who = f"dataset {dataset}"
    copies = {name: cache.path_of(results.store(name)) if cache else None for name in batches}
    plates = {
        name: open_plate(results, name, batch, channels, mapping, who, copies[name]) for name, batch in batches.items()
    }
    sources = []
    for split, memory in (("train", cache_bytes), ("validation", 0)):
        rows = table[table["split"] == split]
        if rows.empty:
            raise UntrainableError(
                f"the dataset {dataset} has no field for {split}",
                str(results.dataset(dataset)),
                "add plates, or change datasets: validation_fraction",
            )
        used = {name: plates[name] for name in dict.fromkeys(rows["plate"])}
        sources.append(CropSource(used, _fields(rows), crop, memory))
    return TrainingSet(sources[0], sources[1], channels, _pixel_size(plates), tuple(plates), cache)


def _fields(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["plate"].astype(str), rows["group"].astype(str), strict=True))


def _channels(stores: list[PlateStore], mapping: IntensityMap) -> tuple[StoreChannel, ...]:
    """Return the map's channels, in its order, with their stain on the first plate that has the name."""
    stains: dict[str, str] = {}
    for store in stores:
        stains = {channel.name: channel.stain for channel in store.channels} | stains
    return tuple(StoreChannel(name, stains.get(name, stain_of(name) or "")) for name in mapping.channels)


def _pixel_size(plates: dict[str, PlateSource]) -> float:
    sizes = {name: plate.store.pixel_size_um for name, plate in plates.items()}
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[most] > sizes[least] * (1 + PIXEL_SIZE_TOLERANCE):
        raise ConfigError(
            f"plates of one dataset differ in pixel size: {least} {sizes[least]} µm, {most} {sizes[most]} µm",
            "datasets: plates",
            "train on plates of one magnification",
        )
    return sizes[least]
