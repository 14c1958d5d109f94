"""The training loader against decoding alone: the same crops of the same store, in one run.

``ours`` is what a device waits for: choice of the crop, decoding, stacking of source pixels, read ahead in one thread.
``ceiling`` decodes the same windows in the same order and does nothing else. Further rows: the map to 0..255 and the
turns on this CPU, which a GPU does itself; several crops of one decoded field; threads and spawned processes; and from
the rate of one core, how many cores a GPU keeps busy.

``python benchmarks/bench_loader.py`` prints the rows; :func:`measure` returns them.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from platemae.data.crops import CropSource, PlateSource
from platemae.data.prefetch import prefetch
from platemae.models.flops import training_flops
from platemae.models.settings import PRESETS
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

FIELDS, SIZE, BATCH, REPEATS = 12, 1080, 64, 5
STEPS = {64: 6, 256: 3}
NAMES = ("DNA", "ER", "RNA", "Actin", "Mito", "Membrane")
PER_FIELD = 8
GPU_TFLOPS, GPU_SHARE = 989, 0.5
"""Dense bfloat16 rate on the data sheet of an H100, and the share of it that a good step takes: no measurement."""
Time = tuple[float, float]


def draw_field(seed: int) -> np.ndarray:
    """Draw blobs under photon noise, (6, SIZE, SIZE) uint16: it compresses about as real fields do."""
    rng = np.random.default_rng(seed)
    coarse = rng.gamma(0.6, 400, (len(NAMES), SIZE // 24, SIZE // 24))
    bright = coarse.repeat(24, axis=1).repeat(24, axis=2)
    return rng.poisson(bright + 300).clip(0, 65535).astype(np.uint16)


def make_store(path: Path, fields: int = FIELDS) -> PlateStore:
    """Write the plate."""
    sources = [FieldSource(f"A/{i + 1}/0", "0", f"field {i}", lambda i=i: draw_field(i)) for i in range(fields)]
    channels = [StoreChannel(name, name) for name in NAMES]
    write_plate(path, "bench", sources, channels, 0.5, chunk_px=256, threads=2)
    return PlateStore(path)


def plate_source(store: PlateStore) -> PlateSource:
    """Return the plate with a map of its channels."""
    low_C = np.full(len(NAMES), 250, np.float32)
    return PlateSource(store, tuple(range(len(NAMES))), low_C, 255 / (4000 - low_C))


def crop_source(store: PlateStore, crop: int, cache_bytes: int) -> CropSource:
    """Return a source of the plate's crops."""
    return CropSource({"bench": plate_source(store)}, [("bench", group) for group in store.fields], crop, cache_bytes)


def timed(work: Callable[[], None]) -> Time:
    """Return seconds by the clock and of processor time."""
    begin, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - spent


def in_turns(works: dict[str, Callable[[], None]]) -> dict[str, list[Time]]:
    """Time each piece of work once a repeat, after a first time that fills the caches."""
    for work in works.values():
        work()
    times: dict[str, list[Time]] = {name: [] for name in works}
    for _ in range(REPEATS):
        for name, work in works.items():
            times[name].append(timed(work))
    return times


def faster(times: dict[str, list[Time]], one: str, other: str, which: int = 0) -> float:
    """Return how many times faster one is than the other, the median over repeats."""
    return statistics.median(b[which] / a[which] for a, b in zip(times[one], times[other], strict=True))


def loading(source: CropSource, steps: int, threads: int = 1, per_field: int = 1, finish: bool = False) -> Any:
    """Return work: ``steps`` batches in source pixels, or mapped and turned on this CPU."""
    sampler = source.sampler(BATCH, 0, flip=True, per_field=per_field)

    def work() -> None:
        ahead = prefetch(lambda step: source.raw(sampler.specs(step)), range(steps), threads, depth=threads + 1)
        for crops in ahead:
            if finish:
                crops.to("cpu")

    return work


def decoding(source: CropSource, steps: int) -> Callable[[], None]:
    """Return work: the same windows, decoded."""
    sampler = source.sampler(BATCH, 0, flip=True)
    specs = [spec for step in range(steps) for spec in sampler.specs(step)]
    store = source.plates["bench"].store

    def work() -> None:
        for spec in specs:
            store.read_crop(source.fields[spec.field][1], spec.y, spec.x, source.crop)

    return work


def measure() -> list[dict[str, Any]]:
    """Return the rows: crops a second, medians of alternating repeats."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "bench.zarr")
        rows = [row for crop in STEPS for row in of_one_size(store, crop)]
        return [*rows, *of_several(store)]


def of_one_size(store: PlateStore, crop: int) -> list[dict[str, Any]]:
    """Return the rows of one crop size and one thread."""
    bare, held, steps = crop_source(store, crop, 0), crop_source(store, crop, 2**31), STEPS[crop]
    times = in_turns(
        {
            "decoding": decoding(bare, steps),
            "decoded a crop at a time": loading(bare, steps),
            "the same, mapped and turned on this CPU": loading(bare, steps, finish=True),
            f"{PER_FIELD} crops of each decoded field": loading(bare, steps, per_field=PER_FIELD),
            "fields in memory": loading(held, steps),
        }
    )
    return [
        row(f"training loader, {len(NAMES)} x {crop} x {crop}, {name}", times, name, "decoding", steps)
        for name in times
        if name != "decoding"
    ]


def row(task: str, times: dict[str, list[Time]], name: str, against: str, steps: int) -> dict[str, Any]:
    """Return a row of one piece of work against another."""
    rates = {key: [steps * BATCH / wall for wall, _ in times[key]] for key in (name, against)}
    note = (
        f"ratio to {against} alone, by processor time {faster(times, name, against, 1):.2f}; batch {BATCH}, one thread "
    )
    return {
        "task": task,
        "ours": statistics.median(rates[name]),
        "ceiling": statistics.median(rates[against]),
        "unit": "crops/s",
        "ratio": faster(times, name, against),
        "note": note + f"reads; median of {REPEATS}, {min(rates[name]):.0f} to {max(rates[name]):.0f}",
    }


def of_several(store: PlateStore) -> list[dict[str, Any]]:
    """Return the rows of two threads and two processes, and the cores that GPUs need."""
    source, crop = crop_source(store, 256, 0), 256
    one, two_threads, two_processes = [], [], []
    for _ in range(2):
        one += in_processes(source, 1, 1)
        two_threads += in_processes(source, 1, 2)
        two_processes.append(sum(in_processes(source, 2, 1)))
    single = statistics.median(one)
    rows = [
        {
            "task": f"training loader, {len(NAMES)} x {crop} x {crop}, {name}",
            "ours": statistics.median(rates),
            "ceiling": count * single,
            "unit": "crops/s",
            "ratio": statistics.median(rates) / (count * single),
            "note": f"ratio to {count} times one process with one thread ({single:.0f} crops/s); {os.cpu_count()} CPUs",
        }
        for name, rates, count in (
            ("1 process, 1 thread", one, 1),
            ("1 process, 2 threads", two_threads, 2),
            ("2 spawned processes, 1 thread each", two_processes, 2),
        )
    ]
    return [*rows, *(cores(name, preset, single) for name, preset in (("S/16", "vit_s16"), ("L/16", "vit_l16")))]


def in_processes(source: CropSource, processes: int, threads: int) -> list[float]:
    """Return the crops a second of each of several spawned processes that load at once."""
    context = get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=_load, args=(source, threads, barrier, answers)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    rates = [answers.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    return rates


def _load(source: CropSource, threads: int, barrier: Any, answers: Any) -> None:
    work = loading(source, STEPS[256], threads)
    loading(source, 1, threads)()
    rates = []
    for _ in range(REPEATS):
        barrier.wait()
        rates.append(STEPS[256] * BATCH / timed(work)[0])
    answers.put(statistics.median(rates))


def cores(name: str, preset: str, per_core: float) -> dict[str, Any]:
    """Return how many cores decode for one GPU: arithmetic on its data sheet and on the rate of one core here."""
    flops = 3 * training_flops(PRESETS[preset], len(NAMES), 0.75).total
    needed = GPU_SHARE * GPU_TFLOPS * 1e12 / flops
    what = (
        f"{GPU_SHARE:.0%} of {GPU_TFLOPS} TFLOP/s (an H100's data sheet, not measured), {flops / 1e9:.0f} GFLOP a crop,"
    )
    return {
        "task": f"cores that decode for one GPU, {name}, 6 x 256 x 256, no field in memory",
        "ours": needed / per_core,
        "unit": "cores",
        "note": f"{what} are {needed:.0f} crops/s; one core here reads {per_core:.0f}",
    }


if __name__ == "__main__":
    for found in measure():
        print(found)
    sys.exit(0)
