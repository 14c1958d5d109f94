"""Embedding a plate against the bare forward pass: the same network, batch, threads and number of crops.

``ours`` reads fields of a store, maps them to 0..255, cuts overlapping tiles, runs the network and adds up; ``ceiling``
runs the network on one batch that lies in memory. Both use all cores, so what reading takes is taken from the network.

``python benchmarks/bench_embedding.py`` prints the rows; :func:`measure` returns them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from bench_loader import NAMES, PlateSource, faster, make_store, plate_source, timed

from platemae.embedding.infer import sum_fields, tiles_of
from platemae.embedding.tiling import tile_field
from platemae.models.registry import build
from platemae.models.settings import PRESETS

REPEATS = 5
CASES = {"tiny": ("tiny", 128, 1), "ViT-S/16": ("vit_s16", 25, 1)}
"""Preset, tiles of a forward pass, and fields."""


def measure() -> list[dict[str, Any]]:
    """Return a row a network."""
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        source = plate_source(make_store(Path(folder) / "bench.zarr", fields=2))
        return [measure_one(source, name, *case) for name, case in CASES.items()]


def measure_one(source: PlateSource, name: str, preset: str, batch: int, n_fields: int) -> dict[str, Any]:
    """Measure one network, ours and the bare pass in turns."""
    spec = PRESETS[preset]
    module, groups = build("mae", spec.to_dict(), len(NAMES)).eval(), source.store.fields
    tiles = n_fields * len(tile_field(*source.store.shape[1:], spec.crop_px, "overlap").origins)
    x_BCHW = torch.rand(batch, len(NAMES), spec.crop_px, spec.crop_px) * 255

    def ours() -> None:
        cut = tiles_of(lambda i: source.read_field(groups[i % len(groups)]), spec.crop_px, "overlap")
        sum_fields(module, cut, n_fields, size=spec.crop_px, poolings=("mean",), batch=batch)

    @torch.inference_mode()
    def bare() -> None:
        for start in range(0, tiles, batch):
            module.embed_each(x_BCHW[: tiles - start], ("mean",))

    times: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for repeat in range(REPEATS + 1):
        for side, work in (("bare", bare), ("ours", ours)):
            taken = timed(work)
            if repeat:  # the first ones warm up
                times[side].append(taken)
    rates = {side: [tiles / wall for wall, _ in taken] for side, taken in times.items()}
    note = f"ratio to the forward pass on a batch in memory, by processor time {faster(times, 'ours', 'bare', 1):.2f}; "
    note += f"{tiles} tiles of {n_fields} fields of {source.store.shape[1]} px, batch {batch}, {os.cpu_count()} CPUs, "
    return {
        "task": f"embedding, {name}, {len(NAMES)} x {spec.crop_px} x {spec.crop_px}, float32",
        "ours": statistics.median(rates["ours"]),
        "ceiling": statistics.median(rates["bare"]),
        "unit": "tiles/s",
        "ratio": faster(times, "ours", "bare"),
        "note": note + f"median of {REPEATS}, {min(rates['ours']):.3g} to {max(rates['ours']):.3g}",
    }


if __name__ == "__main__":
    for found in measure():
        print(found)
    sys.exit(0)
