"""Ingest of TIFFs into a plate store against the ceiling of its codecs, zarr-python and ome-zarr-py, in one run.

``ours`` is the whole of :func:`platemae.store.plate_writer.write_plate`: distrustful TIFF reading, chunks, compression,
digests, files, metadata, the swap. ``ceiling`` is the slower of two things done bare by as many processes: decode all
source files, or compress as many bytes in pieces of the same size (blosc zstd-1 bitshuffle). ``together`` in the note
does both in as many threads, and nothing else. ``bound`` there is arithmetic: who must decode and encode, on as many
cores as the processes of the ceiling, does so at 1 / (1 / decode + 1 / encode) at the best, whatever else it is spared;
only a decoder faster than the bare one could pass it. ``peer`` decodes the same
TIFFs and writes the plate through ome-zarr-py, same chunks, shards and codec, no pyramid; ``zarr`` in the note writes
bare arrays through zarr-python, one field a thread, without digest or metadata.

``python benchmarks/bench_ingest.py`` prints the rows; :func:`measure` returns them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numcodecs.blosc as blosc
import numpy as np
import tifffile
import zarr
from ome_zarr.writer import write_image, write_plate_metadata, write_well_metadata
from zarr.codecs import BloscCodec

from platemae.readers.base import FieldRecord, Plane
from platemae.readers.pixels import load_field
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate
from platemae.store.shard import ShardLayout

REPEATS = 3
CHUNK_PX = 256
NAMES = ("DNA", "ER", "RNA", "Actin", "Mito", "Membrane")


@dataclass(frozen=True)
class Case:
    """A plate of fields of one size, its TIFFs compressed one way."""

    name: str
    size: int
    fields: int
    compression: dict[str, Any]


CASES = (
    Case("6 x 1080 x 1080 uint16, zlib TIFFs", 1080, 8, {"compression": "zlib", "predictor": True}),
    Case("6 x 1080 x 1080 uint16, plain TIFFs", 1080, 8, {}),
    Case("6 x 160 x 160 uint16, zlib TIFFs", 160, 150, {"compression": "zlib", "predictor": True}),
)


def draw_field(seed: int, size: int) -> np.ndarray:
    """Draw blobs under photon noise, (6, size, size) uint16: it compresses about as real fields do."""
    rng = np.random.default_rng(seed)
    edge = -(-size // 24)
    bright = rng.gamma(0.6, 400, (len(NAMES), edge, edge)).repeat(24, axis=1).repeat(24, axis=2)
    return rng.poisson(bright[:, :size, :size] + 300).clip(0, 65535).astype(np.uint16)


def write_tiffs(folder: Path, case: Case) -> list[list[Path]]:
    """Write one TIFF a field and channel; return them by field."""
    paths = [[folder / f"f{field:03d}-{name}.tif" for name in NAMES] for field in range(case.fields)]
    for field, files in enumerate(paths):
        for path, x_YX in zip(files, draw_field(field, case.size), strict=True):
            tifffile.imwrite(path, x_YX, **case.compression)
    return paths


def _record(files: list[Path]) -> FieldRecord:
    return FieldRecord("A01", "0", {name: (Plane(file),) for name, file in zip(NAMES, files, strict=True)})


def ours(paths: list[list[Path]], out: Path, threads: int) -> None:
    """Write the plate as ingest_plate does."""
    sources = [
        FieldSource(f"A/{i + 1}/0", "0", f"field {i}", partial(load_field, _record(files)))
        for i, files in enumerate(paths)
    ]
    channels = [StoreChannel(name, name) for name in NAMES]
    write_plate(out, "bench", sources, channels, 0.5, chunk_px=CHUNK_PX, threads=threads)


def decode(files: list[Path]) -> None:
    """Decode the TIFFs of a field."""
    for path in files:
        tifffile.imread(path)


def encode(job: tuple[int, int]) -> None:
    """Compress a field that a process has drawn before, in pieces of a chunk."""
    blosc.use_threads = False
    x_CYX = drawn(*job)
    layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, CHUNK_PX)
    for piece in np.array_split(x_CYX.reshape(-1), layout.grid[0] * layout.grid[1]):
        blosc.compress(piece, b"zstd", 1, blosc.BITSHUFFLE)


@cache
def drawn(seed: int, size: int) -> np.ndarray:
    """Return a field, drawn once a process."""
    return draw_field(seed, size)


def together(paths: list[list[Path]], threads: int) -> None:
    """Decode and compress, nothing else."""
    blosc.use_threads = False

    def field(files: list[Path]) -> None:
        x_CYX = np.stack([tifffile.imread(path) for path in files])
        layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, CHUNK_PX)
        flat = x_CYX.reshape(-1)
        for piece in np.array_split(flat, layout.grid[0] * layout.grid[1]):
            blosc.compress(piece, b"zstd", 1, blosc.BITSHUFFLE)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(field, paths))


def ome_zarr_py(paths: list[list[Path]], out: Path) -> None:
    """Decode, and write the plate through ome-zarr-py: its own way, one field after the other, dask within."""
    root = zarr.open_group(out, mode="w", zarr_format=3)
    columns = [str(i + 1) for i in range(len(paths))]
    write_plate_metadata(root, ["A"], columns, [f"A/{column}" for column in columns])
    for column, files in zip(columns, paths, strict=True):
        x_CYX = np.stack([tifffile.imread(path) for path in files])
        layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, CHUNK_PX)
        well = root.require_group(f"A/{column}")
        write_well_metadata(well, ["0"])
        options = {
            "chunks": (len(NAMES), *layout.chunk),
            "shards": layout.shard,
            "compressors": [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
        }
        write_image(x_CYX, well.require_group("0"), scale_factors=[], axes="cyx", storage_options=options)


def zarr_python(paths: list[list[Path]], out: Path, threads: int) -> None:
    """Decode, and write through zarr-python."""
    zarr.create_group(out, zarr_format=3)

    def field(i: int, files: list[Path]) -> None:
        x_CYX = np.stack([tifffile.imread(path) for path in files])
        layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, CHUNK_PX)
        array = zarr.create_array(
            out,
            name=f"A/{i + 1}/0/0",
            shape=x_CYX.shape,
            dtype=x_CYX.dtype,
            chunks=(len(NAMES), *layout.chunk),
            shards=layout.shard,
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle")],
        )
        array[:] = x_CYX

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(field, range(len(paths)), paths))


def rate(work: Callable[[], None], megabytes: float) -> float:
    """Return MB/s of one call."""
    begin = time.perf_counter()
    work()
    return megabytes / (time.perf_counter() - begin)


def compare(case: Case, threads: int) -> dict[str, Any]:
    """Measure one case, everybody in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_tiffs(folder, case)
        megabytes = case.fields * len(NAMES) * case.size**2 * 2 / 1e6
        works: dict[str, Callable[[], object]] = {
            "ours": lambda: ours(paths, folder / "ours.zarr", threads),
            "decode": lambda: list(pool.map(decode, paths)),
            "encode": lambda: list(pool.map(encode, seeds)),
            "together": lambda: together(paths, threads),
            "zarr": lambda: zarr_python(paths, folder / "zarr.zarr", threads),
            "ome-zarr": lambda: ome_zarr_py(paths, folder / "ome.zarr"),
        }
        found: dict[str, list[float]] = {who: [] for who in works}
        seeds = [(field % 4, case.size) for field in range(case.fields)]
        with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
            list(pool.map(encode, seeds * threads))  # imports and fields are there before the clock starts
            for _ in range(REPEATS):
                for who, work in works.items():
                    found[who].append(rate(work, megabytes))
                for store in folder.glob("*.zarr"):  # outside the clock: a first ingest deletes nothing
                    shutil.rmtree(store)
    return row(case, found, threads)


def row(case: Case, found: dict[str, list[float]], threads: int) -> dict[str, Any]:
    """Return the row of a case: medians; ratios are medians of those of a repeat."""
    median = {who: statistics.median(rates) for who, rates in found.items()}
    slower = "decode" if median["decode"] < median["encode"] else "encode"

    found["bound"] = [1 / (1 / d + 1 / e) for d, e in zip(found["decode"], found["encode"], strict=True)]

    def ratio(other: str) -> float:
        return statistics.median(o / c for o, c in zip(found["ours"], found[other], strict=True))

    spread = ", ".join(f"{who} {min(rates):.0f} to {max(rates):.0f}" for who, rates in found.items())
    possible = statistics.median(b / c for b, c in zip(found["bound"], found[slower], strict=True))
    return {
        "task": f"ingest, {case.name}",
        "ours": round(median["ours"], 1),
        "peer": round(median["ome-zarr"], 1),
        "ceiling": round(median[slower], 1),
        "unit": "MB/s of pixels",
        "ratio": round(ratio(slower), 2),
        "note": f"ratio to the ceiling ({slower}, {threads} processes), of which {possible:.2f} is possible with "
        f"both on {threads} cores: {ratio('bound'):.2f} of this bound, {ratio('together'):.2f} of both together in "
        f"{threads} threads, {ratio('ome-zarr'):.1f} times ome-zarr-py, {ratio('zarr'):.1f} times zarr-python; "
        f"{os.cpu_count()} CPUs, median of {REPEATS}: {spread}",
    }


def measure() -> list[dict[str, Any]]:
    """Return one row a case."""
    threads = 2  # what a job of the rule has
    return [compare(case, threads) for case in CASES]


if __name__ == "__main__":
    for row in measure():
        print(row)
