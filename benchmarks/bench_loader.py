"""The training loader against decoding alone: the same crops of the same store, in one run.

``ours`` is what a training step waits for: choice of the crop, decoding, map to 0..255, turns, stacking to a float32
batch, read ahead in one thread. ``ceiling`` decodes the same windows in the same order and does nothing else.

``python benchmarks/bench_loader.py`` prints the rows; :func:`measure` returns them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from platemae.data.crops import CropSource, PlateSource, training_batches
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

FIELDS, SIZE, BATCH, REPEATS = 12, 1080, 64, 3
STEPS = {64: 12, 256: 6}
NAMES = ("DNA", "ER", "RNA", "Actin", "Mito", "Membrane")


def draw_field(seed: int) -> np.ndarray:
    """Draw blobs under photon noise, (6, SIZE, SIZE) uint16: it compresses about as real fields do."""
    rng = np.random.default_rng(seed)
    coarse = rng.gamma(0.6, 400, (len(NAMES), SIZE // 24, SIZE // 24))
    bright = coarse.repeat(24, axis=1).repeat(24, axis=2)
    return rng.poisson(bright + 300).clip(0, 65535).astype(np.uint16)


def make_store(path: Path) -> PlateStore:
    """Write the plate."""
    sources = [FieldSource(f"A/{i + 1}/0", "0", f"field {i}", lambda i=i: draw_field(i)) for i in range(FIELDS)]
    channels = [StoreChannel(name, name) for name in NAMES]
    write_plate(path, "bench", sources, channels, 0.5, chunk_px=256, threads=2)
    return PlateStore(path)


def crop_source(store: PlateStore, crop: int, cache_bytes: int) -> CropSource:
    """Return a source of crops with a map of its own channels."""
    limits = dict.fromkeys(NAMES, (250.0, 4000.0))
    mapping = IntensityMap("bench", "fixed", "dataset", NAMES, {"all": limits}, limits, {})
    plate = PlateSource(store, tuple(range(len(NAMES))), lambda x_CHW: mapping.to_uint8range(x_CHW, "bench"))
    return CropSource({"bench": plate}, [("bench", group) for group in store.fields], crop, cache_bytes)


def rate(work: Callable[[], None], crops: int) -> float:
    """Return crops a second of one call."""
    begin = time.perf_counter()
    work()
    return crops / (time.perf_counter() - begin)


def measure() -> list[dict[str, Any]]:
    """Return one row a crop size and cache: crops a second, the median of three alternating repeats."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "bench.zarr")
        return [measure_one(store, crop, cached) for crop in STEPS for cached in (False, True)]


def measure_one(store: PlateStore, crop: int, cached: bool) -> dict[str, Any]:
    """Measure one crop size, fields held in memory or not."""
    source = crop_source(store, crop, 2**31 if cached else 0)
    sampler = source.sampler(BATCH, 0, flip=True)
    steps = STEPS[crop]
    batches = training_batches(source, sampler, threads=1)
    specs = [spec for step in range(steps) for spec in sampler.specs(step)]

    def load() -> None:
        for _ in islice(batches(0), steps):
            pass

    def decode() -> None:
        for spec in specs:
            store.read_crop(source.fields[spec.field][1], spec.y, spec.x, crop)

    load()  # fills the cache, or the page cache
    ours, ceiling = [], []
    for _ in range(REPEATS):
        ceiling.append(rate(decode, len(specs)))
        ours.append(rate(load, len(specs)))
    where = "fields in memory" if cached else "decoded a crop at a time"
    return {
        "task": f"training loader, {len(NAMES)} x {crop} x {crop}, {where}",
        "ours": round(statistics.median(ours), 1),
        "peer": None,
        "ceiling": round(statistics.median(ceiling), 1),
        "unit": "crops/s",
        "ratio": round(statistics.median(o / c for o, c in zip(ours, ceiling, strict=True)), 2),
        "note": f"ceiling: decoding the same windows alone; batch {BATCH}, 1 loader thread, {os.cpu_count()} CPUs, "
        f"spread {min(ours):.0f}-{max(ours):.0f}",
    }


if __name__ == "__main__":
    for row in measure():
        print(row)
    sys.exit(0)
