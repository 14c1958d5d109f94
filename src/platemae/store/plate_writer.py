"""Write a plate store: fields in parallel, one writer a field, the whole swapped in when complete."""

# Shape legend: F fields, C channels, Y rows, X columns of pixels

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import dask
import numpy as np

from platemae.errors import InputError, PlatemaeError, raise_all, writing
from platemae.logs import progress
from platemae.store import ngff
from platemae.store.content import content_digest, digest_pixels
from platemae.store.folder_form import FolderWriter
from platemae.store.plate_files import ZIP_SUFFIX
from platemae.store.plate_reader import SHARD_FILE, StoreChannel
from platemae.store.plate_texts import FieldSource, PlateTexts, group_key
from platemae.store.shard import ShardLayout, encode
from platemae.store.swap import clear_leftovers, replaced
from platemae.store.zip_form import ZipWriter

__all__ = ["FieldSource", "PlateFacts", "group_key", "write_plate"]

Form = Literal["folder", "zip"]


class PlateWriter(Protocol):
    """Takes the files of a store; :meth:`put` is called from several threads."""

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Write a file, given in parts."""
        ...

    def finish(self, texts: Iterable[tuple[str, str]]) -> None:
        """Write the metadata, last."""
        ...


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
    form: Form = "folder",
    source_ranges: Mapping[str, tuple[float, float]] | None = None,
    before_swap: Callable[[], None] = lambda: None,
) -> PlateFacts:
    """Write a plate and return its facts; equal pixels, names and pixel size give an equal digest in either form.

    Parameters
    ----------
    path
        Folder of the store; an older one, or an older ZIP, is replaced in one step.
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
    form
        ``zip``: one file, ``path`` with ``.zip`` behind it.
    source_ranges
        Where ``fields`` give 8 bits made of more: channel name -> source values that became 0 and 255, to be noted.
    before_swap
        Called when the store is complete, just before it takes its place.

    Raises
    ------
    InputError
        When fields cannot be read or differ in shape or dtype; all of them at once, and nothing is left behind.
    DiskError
        When the disk takes no more, naming the field and its channels, which share a file; nothing is left behind.
    """
    ordered = sorted(fields, key=lambda field: group_key(field.group))
    texts = PlateTexts(name, ordered, channels, pixel_size_um, source_ranges or {})
    zipped = path.with_name(path.name + ZIP_SUFFIX)
    target, other = (path, zipped) if form == "folder" else (zipped, path)
    with writing(f"the store of plate {name}"):
        clear_leftovers(other)
        with replaced(target, before_swap) as new, _writer(form, new, texts) as writer:
            names = ", ".join(channel.name for channel in channels)
            written = _write_fields(writer, ordered, chunk_px, threads, f"one file of channels {names}")
            layout = _common_layout(ordered, written, chunk_px, name)
            digests = {field.group: w.digest for field, w in zip(ordered, written, strict=True)}
            digest = content_digest(digests, [channel.name for channel in channels], pixel_size_um)
            writer.finish(texts.all(layout, _windows(written), digest))
        _remove(other)
    size = int(np.prod(layout.shape)) * layout.dtype.itemsize * len(ordered)
    return PlateFacts(digest, layout.shape, layout.dtype.name, size)


def _writer(form: Form, new: Path, texts: PlateTexts) -> AbstractContextManager[PlateWriter]:
    return FolderWriter(new) if form == "folder" else ZipWriter(new, texts.slots())


def _remove(path: Path) -> None:
    """Remove the plate's other form, which no longer holds what its manifest says."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _write_fields(
    writer: PlateWriter, fields: Sequence[FieldSource], chunk_px: int, threads: int, what: str
) -> list[_Written]:
    stopped = threading.Event()

    def write(field: FieldSource) -> _Written | PlatemaeError | None:
        try:
            return None if stopped.is_set() else _write_field(writer, field, chunk_px, what)
        except BaseException:
            stopped.set()
            raise
        finally:
            advance()

    # Of tasks that are ready dask takes the last key first: falling keys give the fields in order, as they most likely
    # lie on the disk. Nothing but speed and the order within a ZIP depends on it.
    task = dask.delayed(write, pure=False)
    tasks = [task(field, dask_key_name=f"field-{len(fields) - n:08d}") for n, field in enumerate(fields)]
    # The pool is left only when every thread is done, so that no straggler writes into a folder being removed.
    with progress(len(fields), "fields") as advance, ThreadPoolExecutor(threads) as pool:
        outcome = dask.compute(*tasks, scheduler="threads", pool=pool, optimize_graph=False)
    raise_all(result for result in outcome if isinstance(result, PlatemaeError))
    return [result for result in outcome if isinstance(result, _Written)]


def _write_field(writer: PlateWriter, field: FieldSource, chunk_px: int, what: str) -> _Written | PlatemaeError:
    """Write the pixels of one field; ``what`` says what its file holds.

    A problem with its images is returned, so that those of all fields are reported together; one with the disk is
    raised, as every other field would have it too.
    """
    try:
        x_CYX = field.load()
    except PlatemaeError as problem:
        return problem
    channels, rows, columns = x_CYX.shape
    layout = ShardLayout.of((channels, rows, columns), x_CYX.dtype, chunk_px)
    with writing(f"{field.name} ({what})"):
        writer.put(f"{field.group}/{SHARD_FILE}", encode(x_CYX, layout))
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
