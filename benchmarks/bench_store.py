"""Which chunks and which codec a store should have, over real images; and what a crop costs, in one run.

Each alternative is measured against the present choice on the same field, in turns, one thread, in CPU time, files in
the page cache: random 256-crops of all channels, the whole field, writing, size. `ours` is the present choice, `peer`
the alternative, in crops a second; the note has the other three, each as alternative : choice (above 1 the choice is
better). Then crops through `PlateStore` beside what the codec alone needs for the same chunks, and beside decoding the
source TIFFs.

The real plates lie below ``$PLATEMAE_SHARED/data`` (default: ``../shared/data``). Fields smaller than 1000 pixels are
mirrored until they have as many, which no codec sees through: mirrored bytes do not repeat.

``python benchmarks/bench_store.py`` prints the rows; :func:`measure` returns them.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any

import numcodecs.blosc as blosc
import numpy as np
import tifffile
import zarr

from platemae.readers.tiff import read_tiff
from platemae.store.plate_reader import SHARD_FILE, PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate
from platemae.store.shard import ShardLayout

SHARED = Path(os.environ.get("PLATEMAE_SHARED", Path(__file__).parents[2] / "shared")) / "data"
REPEATS, CROPS, CROP, LEAST = 3, 16, 256, 1000
FIELDS = 2
SHUFFLES = {"no shuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}


@dataclass(frozen=True)
class Choice:
    """How a field is stored: largest edge of a chunk, all channels or one in it, codec, level, shuffle."""

    chunk_px: int = 256
    all_channels: bool = True
    codec: str = "zstd"
    level: int = 1
    shuffle: str = "bitshuffle"

    def __str__(self) -> str:
        codec = "uncompressed" if self.codec == "none" else f"{self.codec}-{self.level} {self.shuffle}"
        return f"{self.chunk_px} px, {'all channels' if self.all_channels else 'one channel'}, {codec}"


CHOSEN = Choice()
ALTERNATIVES = (
    *(Choice(chunk_px=px, all_channels=every) for px, every in product((128, 256, 512), (True, False))),
    replace(CHOSEN, codec="none"),
    *(Choice(level=level, shuffle=name) for level in (1, 3) for name in SHUFFLES),
    *(Choice(codec=codec, level=level) for codec, level in (("lz4", 1), ("lz4", 5), ("lz4hc", 3))),
)


class Packed:
    """One field in one file, stored as a choice says."""

    def __init__(self, path: Path, x_CYX: np.ndarray, choice: Choice) -> None:
        self.path, self.choice, self.shape, self.dtype = path, choice, x_CYX.shape, x_CYX.dtype
        layout = ShardLayout.of(x_CYX.shape, x_CYX.dtype, choice.chunk_px)
        self.step = (x_CYX.shape[0] if choice.all_channels else 1, *layout.chunk)
        self.places: dict[tuple[int, ...], tuple[int, int]] = {}
        offset = 0
        with path.open("wb") as file:
            for place in self._chunks((0, 0, 0), x_CYX.shape):
                window = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, self.step, strict=True))
                raw = self._compress(np.ascontiguousarray(x_CYX[window]))
                file.write(raw)
                self.places[place] = offset, len(raw)
                offset += len(raw)
        self.size = offset

    def _compress(self, chunk: np.ndarray) -> bytes:
        if self.choice.codec == "none":
            return chunk.tobytes()
        return blosc.compress(chunk, self.choice.codec.encode(), self.choice.level, SHUFFLES[self.choice.shuffle])

    def _chunks(self, low: tuple[int, ...], high: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        yield from product(*(range(a // n, -(-b // n)) for a, b, n in zip(low, high, self.step, strict=True)))

    def read(self, y: tuple[int, int], x: tuple[int, int]) -> np.ndarray:
        """Return a window of all channels."""
        low, high = (0, y[0], x[0]), (self.shape[0], y[1], x[1])
        out = np.empty([b - a for a, b in zip(low, high, strict=True)], self.dtype)
        handle = os.open(self.path, os.O_RDONLY)
        for place in self._chunks(low, high):
            offset, size = self.places[place]
            raw = os.pread(handle, size, offset)
            decoded = np.frombuffer(raw if self.choice.codec == "none" else blosc.decompress(raw), self.dtype)
            corner = [i * n for i, n in zip(place, self.step, strict=True)]
            ends = [min(c + n, s) for c, n, s in zip(corner, self.step, self.shape, strict=True)]
            chunk = decoded.reshape([e - c for c, e in zip(corner, ends, strict=True)])
            first = [max(c, a) for c, a in zip(corner, low, strict=True)]
            last = [min(e, b) for e, b in zip(ends, high, strict=True)]
            spans = list(zip(first, last, strict=True))
            target = tuple(slice(f - a, e - a) for (f, e), a in zip(spans, low, strict=True))
            out[target] = chunk[tuple(slice(f - c, e - c) for (f, e), c in zip(spans, corner, strict=True))]
        os.close(handle)
        return out


# -- real fields ------------------------------------------------------------------------------------------------------


def sources() -> dict[str, list[list[Path]]]:
    """Return the source TIFFs of each plate, by field and channel; JUMP has a Zarr array instead."""
    nf1 = SHARED / "nf1-cellpainting-plate2" / "Plate_2_images"
    bbbc = SHARED / "bbbc013-rows-abcd" / "images"
    operetta = sorted((SHARED / "vendor-operetta-harmony").rglob("*.tiff"))
    xpress = SHARED / "vendor-imagexpress-exported" / "9987_Plate_3434" / "TimePoint_1" / "ZStep_0"
    return {
        "nf1, 3 x 904 x 1224": [
            [nf1 / f"{w}_01_{i}_{s}_{c}_001.tif" for i, c in enumerate(("DAPI", "GFP", "RFP"), 1)]
            for w, s in (("B7", 3), ("D6", 2))
        ],
        "bbbc013, 2 x 640 x 640": [
            [bbbc / f"Channel{c}-{n:02d}-{w}.tif" for c in (1, 2)] for n, w in ((1, "A-01"), (30, "C-06"))
        ],
        "operetta, 1 x 1080 x 1080": [[path] for path in operetta[:FIELDS]],
        "imagexpress, 3 x 256 x 256": [[xpress / f"9987_B02_s{s}_w{w}.TIF" for w in (1, 2, 3)] for s in (1, 2)],
    }


@cache
def plates() -> dict[str, list[np.ndarray]]:
    """Return the fields of each plate, (C, Y, X), mirrored to at least ``LEAST`` pixels."""
    found = {name: [np.stack([read_tiff(p) for p in files]) for files in fields] for name, fields in sources().items()}
    array = zarr.open_array(SHARED / "jump-rab30-zarr" / "images.zarr" / "images", mode="r")
    found["jump, 5 x 384 x 384"] = [np.asarray(array[i]) for i in range(FIELDS)]
    return {name: [enlarge(x_CYX) for x_CYX in fields] for name, fields in found.items()}


def enlarge(x_CYX: np.ndarray) -> np.ndarray:
    """Return a field mirrored at its edges until no edge is shorter than ``LEAST``."""
    more = [(0, 0), *((0, -(-LEAST // size) * size - size if size < 600 else 0) for size in x_CYX.shape[1:])]
    return np.pad(x_CYX, more, mode="symmetric")


def corners(shape: tuple[int, ...], seed: int) -> list[tuple[int, int]]:
    """Return the top left corners of random crops."""
    rng = np.random.default_rng(seed)
    return [(int(rng.integers(shape[1] - CROP + 1)), int(rng.integers(shape[2] - CROP + 1))) for _ in range(CROPS)]


# -- choices ----------------------------------------------------------------------------------------------------------


def once(fields: list[np.ndarray], choice: Choice, folder: Path) -> tuple[float, float, float, float]:
    """Return seconds of crops, of whole fields and of writing, and the bytes on disk."""
    begin = time.process_time()
    packed = [Packed(folder / f"{i}", x_CYX, choice) for i, x_CYX in enumerate(fields)]
    written = time.process_time()
    for i, field in enumerate(packed):
        for y, x in corners(field.shape, i):
            field.read((y, y + CROP), (x, x + CROP))
    cropped = time.process_time()
    for field in packed:
        field.read((0, field.shape[1]), (0, field.shape[2]))
    done = time.process_time()
    return cropped - written, done - cropped, written - begin, float(sum(field.size for field in packed))


def compare(choice: Choice, folder: Path) -> dict[str, Any]:
    """Return the row of an alternative: geometric means over the plates of the medians of interleaved repeats."""
    ratios, rates = [], []
    for fields in plates().values():
        pairs = [(once(fields[:1], CHOSEN, folder), once(fields[:1], choice, folder)) for _ in range(REPEATS)]
        ratios.append([statistics.median(o[k] / c[k] for c, o in pairs) for k in range(4)])
        rates.append([statistics.median(CROPS / pair[i][0] for pair in pairs) for i in (0, 1)])
    crops, whole, write, size = (mean(column) for column in zip(*ratios, strict=True))
    spread = f"{min(r[0] for r in ratios):.2f} to {max(r[0] for r in ratios):.2f}"
    return {
        "task": f"store: {choice}",
        "ours": round(mean([r[0] for r in rates]), 1),
        "peer": round(mean([r[1] for r in rates]), 1),
        "ceiling": None,
        "unit": "crops/s",
        "ratio": round(crops, 2),
        "note": f"against {CHOSEN}; crops by plate {spread}; whole fields {whole:.2f}, writing {write:.2f}, "
        f"bytes {size:.2f}",
    }


def mean(values: Any) -> float:
    """Return the geometric mean."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs))


# -- crops of a plate -------------------------------------------------------------------------------------------------


def crops_row(name: str, files: list[list[Path]], folder: Path) -> dict[str, Any]:
    """Return the row of a plate: crops through PlateStore, from the source TIFFs, and the codec's part alone."""
    fields = [np.stack([read_tiff(path) for path in field]) for field in files]
    stores = {form: write_store(folder / form / "P.zarr", fields, form) for form in ("folder", "zip")}
    jobs = [(i, y, x) for i, field in enumerate(fields) for y, x in corners(field.shape, i)]
    raw = [[touched(stores["folder"], f"A/{i + 1}/0", y, x)] for i, y, x in jobs]
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: [stores["folder"].read_crop(f"A/{i + 1}/0", y, x, CROP) for i, y, x in jobs],
        "zip": lambda: [stores["zip"].read_crop(f"A/{i + 1}/0", y, x, CROP) for i, y, x in jobs],
        "ceiling": lambda: [blosc.decompress(chunk) for [chunks] in raw for chunk in chunks],
        "peer": lambda: [[tifffile.imread(p)[y : y + CROP, x : x + CROP] for p in files[i]] for i, y, x in jobs],
    }
    rates: dict[str, list[float]] = {key: [] for key in works}
    for _ in range(REPEATS + 2):
        for key, work in works.items():
            begin = time.process_time()
            work()
            rates[key].append(len(jobs) / (time.process_time() - begin))
    median = {key: statistics.median(values) for key, values in rates.items()}
    return {
        "task": f"crops of {CROP} px, {name}",
        "ours": round(median["ours"], 1),
        "peer": round(median["peer"], 1),
        "ceiling": round(median["ceiling"], 1),
        "unit": "crops/s",
        "ratio": round(median["ours"] / median["ceiling"], 2),
        "note": f"ratio to the ceiling, blosc alone on the same chunks in memory; peer: the source TIFFs decoded, "
        f"{median['ours'] / median['peer']:.1f} times slower (the bound, "
        f"blosc alone: {median['ceiling'] / median['peer']:.1f}); the ZIP form reads {median['zip']:.0f} crops/s",
    }


def write_store(path: Path, fields: list[np.ndarray], form: Any) -> PlateStore:
    """Write fields as a plate."""
    path.parent.mkdir(parents=True)
    given = [FieldSource(f"A/{i + 1}/0", "0", f"field {i}", lambda x=x: x) for i, x in enumerate(fields)]
    channels = [StoreChannel(str(c), "") for c in range(len(fields[0]))]
    write_plate(path, "P", given, channels, 1.0, chunk_px=CHOSEN.chunk_px, threads=1, form=form)
    return PlateStore(path)


def touched(store: PlateStore, group: str, y: int, x: int) -> list[bytes]:
    """Return the compressed chunks that a crop needs."""
    shard = (store.path / group / SHARD_FILE).read_bytes()
    rows, columns = store.chunk
    across, down = -(-store.shape[2] // columns), -(-store.shape[1] // rows)
    index = np.frombuffer(shard[-4 - across * down * 16 : -4], "<u8").reshape(-1, 2)
    wanted = product(range(y // rows, -(-(y + CROP) // rows)), range(x // columns, -(-(x + CROP) // columns)))
    return [shard[int(o) : int(o + n)] for o, n in (index[i * across + j] for i, j in wanted)]


def measure() -> list[dict[str, Any]]:
    """Return one row an alternative, and one a plate for its crops."""
    blosc.use_threads = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [compare(choice, folder) for choice in ALTERNATIVES if choice != CHOSEN]
        large = {plate: files for plate, files in sources().items() if "256 x 256" not in plate}
        rows += [crops_row(plate, files, folder / f"plate{i}") for i, (plate, files) in enumerate(large.items())]
    return rows


if __name__ == "__main__":
    for row in measure():
        print(row)
