"""Write a plate store: fields in parallel, one writer a field, the whole swapped in when complete."""

# Shape legend: F fields, C channels, Y rows, X columns of pixels

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np

from platemae.errors import InputError, PlatemaeError, raise_all
from platemae.store import ngff
from platemae.store.content import content_digest, digest_pixels
from platemae.store.plate_reader import SHARD_FILE, StoreChannel
from platemae.store.shard import ShardLayout, encode
from platemae.store.swap import replaced_folder


@dataclass(frozen=True)
class FieldSource:
    """A field to write: where it goes, how the instrument calls it, and how its pixels are read.

    Parameters
    ----------
    group
        ``row/column/field`` in the store.
    label
        The instrument's own label of the field.
    name
        How errors call it.
    load
        Returns (C, Y, X) in the source dtype; called once, in a worker thread.
    """

    group: str
    label: str
    name: str
    load: Callable[[], np.ndarray]


@dataclass(frozen=True)
class PlateFacts:
    """What was written."""

    digest: str
    shape: tuple[int, int, int]
    dtype: str
    pixel_bytes: int


@dataclass(frozen=True)
class _Written:
    digest: str
    shape: tuple[int, ...]
    dtype: np.dtype
    window_C2: np.ndarray


def write_plate(
    path: Path,
    name: str,
    fields: Sequence[FieldSource],
    channels: Sequence[StoreChannel],
    pixel_size_um: float,
    *,
    chunk_px: int,
    threads: int,
    before_swap: Callable[[], None] = lambda: None,
) -> PlateFacts:
    """Write a plate and return its facts; equal pixels, names and pixel size give an equal digest.

    Parameters
    ----------
    path
        Folder of the store; an older one is replaced in one step.
    name
        Plate id.
    fields
        In any order; memory holds ``threads`` of them at a time.
    channels
        In the order of the first axis of every field.
    pixel_size_um
        Edge of a pixel in micrometres.
    chunk_px
        Largest edge of a compressed chunk.
    threads
        Fields read, compressed and written at once.
    before_swap
        Called when the store is complete, just before it takes its place.

    Raises
    ------
    InputError
        When fields cannot be read or differ in shape or dtype; all of them at once, and nothing is left behind.
    """
    ordered = sorted(fields, key=lambda field: group_key(field.group))
    with replaced_folder(path, before_swap) as folder:
        written = _write_fields(folder, ordered, chunk_px, threads)
        layout = _common_layout(ordered, written, chunk_px, name)
        digests = {field.group: w.digest for field, w in zip(ordered, written, strict=True)}
        digest = content_digest(digests, [channel.name for channel in channels], pixel_size_um)
        facts = {
            "digest": digest,
            "shape": list(layout.shape),
            "dtype": layout.dtype.name,
            "chunk": list(layout.chunk),
            "pixel_size_um": pixel_size_um,
            "channels": [asdict(channel) for channel in channels],
            "fields": list(digests),
        }
        _write_arrays(folder, ordered, layout, _windows(written), channels, pixel_size_um)
        _write_groups(folder, name, list(digests), facts)
    size = int(np.prod(layout.shape)) * layout.dtype.itemsize * len(ordered)
    return PlateFacts(digest, layout.shape, layout.dtype.name, size)


def group_key(group: str) -> tuple[int, str, int, int]:
    """Return the sort key of a field's group: row (A to Z before AA), column, field."""
    row, column, field = group.split("/")
    return len(row), row, int(column), int(field)


def _write_fields(folder: Path, fields: Sequence[FieldSource], chunk_px: int, threads: int) -> list[_Written]:
    task = dask.delayed(_write_field, pure=False)
    tasks = [task(folder, field, chunk_px) for field in fields]
    # The pool is left only when every thread is done, so that no straggler writes into a folder being removed.
    with ThreadPoolExecutor(threads) as pool:
        outcome = dask.compute(*tasks, scheduler="threads", pool=pool, optimize_graph=False)
    raise_all(result for result in outcome if isinstance(result, PlatemaeError))
    return [result for result in outcome if isinstance(result, _Written)]


def _write_field(folder: Path, field: FieldSource, chunk_px: int) -> _Written | PlatemaeError:
    """Write the pixels of one field; a problem is returned, not raised, so that all are reported together."""
    try:
        x_CYX = field.load()
    except PlatemaeError as problem:
        return problem
    channels, rows, columns = x_CYX.shape
    layout = ShardLayout.of((channels, rows, columns), x_CYX.dtype, chunk_px)
    shard = folder / field.group / SHARD_FILE
    # One folder after the other: looking for missing parents from below costs as much as compressing a small field.
    for parent in reversed(shard.relative_to(folder).parents[:-1]):
        (folder / parent).mkdir(exist_ok=True)
    with shard.open("wb") as file:
        file.writelines(encode(x_CYX, layout))
    return _Written(digest_pixels(x_CYX), x_CYX.shape, x_CYX.dtype, ngff.display_window(x_CYX))


def _common_layout(
    fields: Sequence[FieldSource], written: Sequence[_Written], chunk_px: int, plate: str
) -> ShardLayout:
    kinds = [(w.shape, w.dtype) for w in written]
    usual = Counter(kinds).most_common(1)[0][0]
    problems = [
        InputError(
            f"the field is {_kind(kind)}, the others of plate {plate} are {_kind(usual)}",
            field.name,
            "give fields of another size or depth a plate of their own",
        )
        for field, kind in zip(fields, kinds, strict=True)
        if kind != usual
    ]
    raise_all(problems)
    channels, rows, columns = usual[0]
    return ShardLayout.of((channels, rows, columns), usual[1], chunk_px)


def _kind(kind: tuple[tuple[int, ...], np.dtype]) -> str:
    return f"{' x '.join(map(str, kind[0][1:]))} {kind[1].name}"


def _windows(written: Sequence[_Written]) -> np.ndarray:
    """Return one display window a channel for the whole plate, (C, 2), so that wells can be compared by eye."""
    windows_FC2 = np.stack([w.window_C2 for w in written])
    return np.stack([windows_FC2[..., 0].min(axis=0), windows_FC2[..., 1].max(axis=0)], axis=1)


def _write_arrays(
    folder: Path,
    fields: Sequence[FieldSource],
    layout: ShardLayout,
    windows_C2: np.ndarray,
    channels: Sequence[StoreChannel],
    pixel_size_um: float,
) -> None:
    array = ngff.array(layout)
    for field in fields:
        attributes = ngff.field_attributes(layout, windows_C2, channels, pixel_size_um, field.label)
        _write_json(folder / field.group / "0" / "zarr.json", array)
        _write_json(folder / field.group / "zarr.json", ngff.group(attributes))


def _write_groups(folder: Path, name: str, groups: list[str], facts: dict[str, Any]) -> None:
    wells = ngff.wells_of(groups)
    for well, fields in wells.items():
        _write_json(folder / well / "zarr.json", ngff.group(ngff.well_attributes(fields)))
    for row in {well.split("/")[0] for well in wells}:
        _write_json(folder / row / "zarr.json", ngff.group())
    _write_json(folder / "zarr.json", ngff.group(ngff.plate_attributes(name, groups, facts)))


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")))
