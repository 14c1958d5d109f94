"""Crops from plate stores, and batches of them in time for the training step.

Legend: B crops of a batch, C channels in the model's order, H height, W width, S edge of a crop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import Any

import numpy as np
import psutil
import torch

from platemae.data.prefetch import prefetch
from platemae.data.raw_crops import RawCrops, empty_pixels, on_device
from platemae.data.sampler import CropSpec, Groups, Sampler
from platemae.errors import ConfigError
from platemae.store.intensity_map import stretched
from platemae.store.plate_reader import PlateStore

CACHE_BYTES = 2 * 2**30
CACHE_SHARE = 0.25
"""The cache holds at most the smaller of 2 GiB and this share of the free memory of a machine, over its processes."""


@dataclass(frozen=True)
class PlateSource:
    """One plate as a model sees it.

    Parameters
    ----------
    store
        The plate's store.
    order
        Index in the store of each channel of the model.
    low_C, factor_C
        Source value of each channel that becomes 0, and 255 over the range; float32, in the model's order.
    """

    store: PlateStore
    order: tuple[int, ...]
    low_C: np.ndarray
    factor_C: np.ndarray

    def to_range(self, x_CHW: np.ndarray) -> np.ndarray:
        """Map pixels in the model's channels to float32 in 0..255."""
        return stretched(x_CHW, self.low_C, self.factor_C)

    def pick(self, x_CHW: np.ndarray) -> np.ndarray:
        """Return the model's channels; a view when the store has them in the same order."""
        return x_CHW if self.order == tuple(range(len(x_CHW))) else x_CHW[list(self.order)]

    def read_field(self, group: str) -> np.ndarray:
        """Return a whole field (C, H, W), float32 in 0..255."""
        return self.to_range(self.pick(self.store.read_field(group)))


@dataclass
class FieldCache:
    """Decoded fields in memory, source dtype: kept as they come until the budget is spent, and never dropped.

    Every pass over a dataset reads each field once, in a new order. Dropping the least recently used field would then
    drop the very ones that come next, and nearly every read would miss; what is kept for good is hit in every pass.
    """

    budget: int
    used: int = 0
    fields: dict[int, np.ndarray] = field(default_factory=dict)
    claimed: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, index: int, size: int) -> bool:
        """Reserve ``size`` bytes for a field; False when they do not fit, or another thread is reading it."""
        with self.lock:
            if index in self.claimed or self.used + size > self.budget:
                return False
            self.claimed.add(index)
            self.used += size
            return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process empty: fields are read there, and a lock cannot travel."""
        return FieldCache, (self.budget,)


def default_cache_bytes(processes: int = 1) -> int:
    """Return the cache budget of one of ``processes`` on this machine."""
    return int(min(CACHE_BYTES, CACHE_SHARE * psutil.virtual_memory().available) / processes)


class CropSource:
    """Reads crops of the fields of one or several plates; safe in threads.

    Parameters
    ----------
    plates
        The plates by name.
    fields
        (plate, group) of each field; a `CropSpec` counts in this list.
    crop
        Edge of the crops, pixels.
    cache_bytes
        Memory for decoded fields; None: `default_cache_bytes`. 0 decodes just the chunks of each crop.

    Raises
    ------
    ConfigError
        When the fields of a plate are smaller than a crop.
    """

    def __init__(
        self,
        plates: Mapping[str, PlateSource],
        fields: Sequence[tuple[str, str]],
        crop: int,
        cache_bytes: int | None = None,
    ) -> None:
        for name, plate in plates.items():
            rows, columns = plate.store.shape[1:]
            if min(rows, columns) < crop:
                raise ConfigError(
                    f"the fields of plate {name} have {rows} x {columns} pixels, fewer than a crop of {crop}",
                    "models: architecture: crop_px",
                    "choose smaller crops",
                )
        self.plates, self.fields, self.crop = dict(plates), list(fields), crop
        self.cache = FieldCache(default_cache_bytes() if cache_bytes is None else cache_bytes)
        self.n_channels = len(next(iter(plates.values())).order)

    @property
    def heights(self) -> tuple[int, ...]:
        """Height of each field, pixels."""
        return tuple(self.plates[plate].store.shape[1] for plate, _ in self.fields)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of each field, pixels."""
        return tuple(self.plates[plate].store.shape[2] for plate, _ in self.fields)

    def sampler(self, batch: int, seed: int, flip: bool, groups: Groups = (), per_field: int = 1) -> Sampler:
        """Return the sampler of crops of these fields."""
        return Sampler(self.heights, self.widths, self.crop, batch, seed, flip, groups, per_field)

    def raw(self, specs: Sequence[CropSpec], pinned: bool = False) -> RawCrops:
        """Return crops in source pixels, in pinned memory if asked, with what makes a network's input of them."""
        plates = [self.plates[self.fields[spec.field][0]] for spec in specs]
        dtype = np.result_type(*{plate.store.dtype for plate in self.plates.values()})
        pixels_BCSS = empty_pixels((len(specs), self.n_channels, self.crop, self.crop), dtype, pinned)
        for index, run in groupby(range(len(specs)), key=lambda i: specs[i].field):
            rows = list(run)
            self._cut(index, [specs[i] for i in rows], pixels_BCSS[rows[0] : rows[-1] + 1])
        return RawCrops(
            pixels_BCSS,
            np.stack([plate.low_C for plate in plates]),
            np.stack([plate.factor_C for plate in plates]),
            np.array([spec.turns for spec in specs], np.int64),
            np.array([spec.mirror for spec in specs], bool),
        )

    def batch(self, specs: Sequence[CropSpec]) -> np.ndarray:
        """Return crops as a network takes them, (B, C, S, S) float32 in 0..255."""
        return self.raw(specs).to("cpu").numpy()

    def _cut(self, index: int, specs: list[CropSpec], out_KCSS: np.ndarray) -> None:
        """Copy crops of one field: from memory, from the field decoded once, or each from its own chunks."""
        name, group = self.fields[index]
        plate, size = self.plates[name], self.crop
        field_CHW = self._held(index, plate, group)
        if field_CHW is None and len(specs) * _chunks_of_crop(plate.store, size) >= _chunks_of_field(plate.store):
            field_CHW = plate.pick(plate.store.read_field(group))
        for k, spec in enumerate(specs):
            if field_CHW is None:
                out_KCSS[k] = plate.pick(plate.store.read_crop(group, spec.y, spec.x, size))
            else:
                out_KCSS[k] = field_CHW[:, spec.y : spec.y + size, spec.x : spec.x + size]

    def _held(self, index: int, plate: PlateSource, group: str) -> np.ndarray | None:
        held_CHW = self.cache.fields.get(index)
        if held_CHW is None:
            _, rows, columns = plate.store.shape
            if self.cache.claim(index, len(plate.order) * rows * columns * plate.store.dtype.itemsize):
                held_CHW = self.cache.fields[index] = plate.pick(plate.store.read_field(group))
        return held_CHW


def _chunks_of_crop(store: PlateStore, size: int) -> float:
    """Return how many chunks a crop anywhere touches on average."""
    return float(np.prod([(size - 1) / edge + 1 for edge in store.chunk]))


def _chunks_of_field(store: PlateStore) -> int:
    rows, columns = (-(-length // edge) for length, edge in zip(store.shape[1:], store.chunk, strict=True))
    return rows * columns


def training_batches(
    source: CropSource,
    sampler: Sampler,
    *,
    rank: int = 0,
    world: int = 1,
    threads: int = 1,
    labels: np.ndarray | None = None,
    device: torch.device | str = "cpu",
) -> Callable[[int], Iterator[Any]]:
    """Return a function from a step to the endless batches from there on, of one process.

    A batch is a tensor on the device, (B, C, S, S) float32 in 0..255; where fields have labels, the tensor and their
    labels (B,).

    Parameters
    ----------
    source, sampler
        Where crops come from, and which.
    rank, world
        This process, and how many there are.
    threads
        Threads that read ahead; 0 reads in the consumer.
    labels
        Label of each field.
    device
        Where the network lies; pixels become its input there.
    """

    def batch(step: int) -> Any:
        specs = sampler.specs(step, rank, world)
        crops = source.raw(specs, pinned=torch.device(device).type == "cuda")
        return crops, None if labels is None else labels[[spec.field for spec in specs]]

    def batches(start: int) -> Iterator[Any]:
        with closing(prefetch(batch, count(start), threads, depth=threads + 1)) as ahead:
            for x_BCSS, label_B in on_device(ahead, torch.device(device)):
                yield x_BCSS if label_B is None else (x_BCSS, label_B)

    return batches
