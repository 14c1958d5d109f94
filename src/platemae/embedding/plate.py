"""A plate through a model: cut the crops, embed them, in one process or in several.

Legend: F fields, T crops of a field, N rows, D dimensions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

import numpy as np
import pandas as pd
import torch

from platemae.data.dataset import open_plate
from platemae.embedding.batch_size import batch_size
from platemae.embedding.cells import crop_origins, mirrored, territories
from platemae.embedding.domain import adapt_to_domain
from platemae.embedding.infer import Cut, FieldSums, stack_crops, sum_fields, tiles_of
from platemae.embedding.look import Look, look_at, reader
from platemae.embedding.resample import pixel_sizes
from platemae.embedding.settings import EmbedSettings
from platemae.errors import ConfigError, InputError
from platemae.layout import Results
from platemae.store.intensity_map import IntensityMap


@dataclass(frozen=True)
class Domain:
    """The fields that a model takes its batch statistics from.

    Parameters
    ----------
    fields
        Plate, batch and group of each.
    exact, most
        See ``embedding.domain``.
    """

    fields: tuple[tuple[str, str, str], ...]
    exact: bool
    most: int


@dataclass(frozen=True)
class Job:
    """What is embedded: all that a process of its own needs to know.

    Parameters
    ----------
    results, model, plate
        Where, and the two names.
    settings
        See there.
    fields
        Fields to embed, in the order of the rows: columns batch, well, field, group.
    cells
        All listed cells of these fields, with columns group, y, x and ``kept``; None for other rows. In the order of
        fields.
    domain
        Where batch statistics come from, None for models without.
    threads
        Threads of one process.
    """

    results: Results
    model: str
    plate: str
    settings: EmbedSettings
    fields: pd.DataFrame
    cells: pd.DataFrame | None
    domain: Domain | None
    threads: int


@dataclass(frozen=True)
class Part:
    """Vectors of some fields in a row: sums a field, or one row a crop; the other of the two is empty."""

    sums: dict[str, FieldSums]
    rows: dict[str, np.ndarray]

    def width(self, pooling: str) -> int:
        """Return the dimensions of a pooling's vectors."""
        return int((self.sums[pooling].total_FD if self.sums else self.rows[pooling]).shape[1])

    @property
    def n_crops(self) -> int:
        """Crops that went through the model."""
        if self.sums:
            return int(next(iter(self.sums.values())).tiles_F.sum())
        return len(next(iter(self.rows.values())))


def embed_plate(job: Job, look: Look, processes: int = 1) -> Part:
    """Embed all fields of a job.

    Parameters
    ----------
    job
        What.
    look
        The plate as the model sees it.
    processes
        Processes that each embed a part of the fields, on a GPU of its own where there are GPUs; merged in order.
        Equal to one process but for rounding, as batches end elsewhere.

    Raises
    ------
    InputError
        When a process was ended from outside.
    """
    processes = max(1, min(processes, len(job.fields)))
    spans = [(len(job.fields) * i // processes, len(job.fields) * (i + 1) // processes) for i in range(processes)]
    if processes == 1:
        return embed_part(job, look, spans[0], 0)
    if job.cells is not None:
        job = replace(job, cells=job.cells[["group", "y", "x", "kept"]])
    # Not forked: torch holds threads, and CUDA does not survive it.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        waiting = [pool.submit(_embed_elsewhere, job, span, number) for number, span in enumerate(spans)]
        try:
            return merge([future.result() for future in waiting])
        except BrokenProcessPool:
            remedy = "give the job more memory, or fewer processes"
            raise InputError("a process that embeds was ended", f"plate {job.plate}", remedy) from None


def merge(parts: list[Part]) -> Part:
    """Join parts in order."""
    names = parts[0].sums or parts[0].rows
    if parts[0].sums:
        tiles_F = np.concatenate([next(iter(part.sums.values())).tiles_F for part in parts])
        totals = {name: np.concatenate([part.sums[name].total_FD for part in parts]) for name in names}
        return Part({name: FieldSums(total_FD, tiles_F) for name, total_FD in totals.items()}, {})
    filled = [part.rows for part in parts if part.rows]  # fields without cells make no row
    return Part({}, {name: np.concatenate([rows[name] for rows in filled]) for name in (filled[0] if filled else {})})


def _end_with_parent() -> None:
    """End this process when its parent is killed: else it would wait for work for ever, and hold its GPU."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _embed_elsewhere(job: Job, span: tuple[int, int], number: int) -> Part:
    look = look_at(job.results, job.model, job.plate, str(job.fields["batch"].iloc[0]), job.settings)
    return embed_part(job, look, span, number)


def embed_part(job: Job, look: Look, span: tuple[int, int], number: int) -> Part:
    """Embed the fields from ``span[0]`` up to ``span[1]`` as process ``number`` of this machine."""
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = False  # else what a crop becomes depends on the batch that it is in, by 1e-3
    device = _device(number)
    module = look.module.to(device)
    readers = max(1, min(4, job.threads // 2))
    if job.domain is not None:
        _adapt(job, look, module, device, readers)
    settings, groups = job.settings, list(job.fields["group"].iloc[slice(*span)])
    batch = batch_size(settings.batch, module, len(look.channels), look.crop_px, settings.poolings, device)
    how: dict[str, Any] = {"size": look.crop_px, "poolings": settings.poolings, "batch": batch}
    how |= {"device": str(device), "threads": readers}
    read = reader(look.source, look.sizes)
    if settings.rows == "cell":
        cut, n_crops = _cells_of(job, look, groups, read)
    else:
        cut = tiles_of(lambda field: read(groups[field]), look.crop_px, settings.tiling)
        n_crops = 0 if settings.sums else len(groups) * len(look.tile_centres(settings.tiling))
    if settings.sums:
        return Part(sum_fields(module, cut, len(groups), **how), {})
    return Part({}, stack_crops(module, cut, len(groups), n_crops, **how))


def _device(number: int) -> torch.device:
    """Return the device of a process: a GPU of its own, or the CPU where there is none.

    Raises
    ------
    ConfigError
        When there are more processes than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        what = f"process {number + 1} has no GPU of its own, there are {torch.cuda.device_count()}"
        raise ConfigError(what, "embed_plate: processes", "start one process a GPU")
    return torch.device("cuda", number)


def _cells_of(
    job: Job, look: Look, groups: list[str], read: Callable[[str], np.ndarray]
) -> tuple[Callable[[int], Cut], int]:
    """Return what reads a field and lays a crop around each of its cells, and the number of crops."""
    assert job.cells is not None
    listed = dict(list(job.cells.groupby("group", sort=False)))
    n_crops = sum(int(listed[group]["kept"].sum()) for group in groups if group in listed)

    def cut(field: int) -> Cut:
        cells = listed.get(groups[field])
        if cells is None or not cells["kept"].any():
            return Cut(np.empty((0, 0, 0), np.float32), np.empty((0, 2), np.int64))
        field_CHW, places_K2, kept_K = read(groups[field]), look.places(cells), cells["kept"].to_numpy(bool)
        origins_T2 = crop_origins(places_K2[kept_K], look.crop_px)
        padded_CHW, within_T2 = mirrored(field_CHW, origins_T2, look.crop_px)
        if not job.settings.mask_neighbours:
            return Cut(padded_CHW, within_T2)
        ground = territories(places_K2, *field_CHW.shape[1:])
        nearest_HW = mirrored(ground.nearest_HW, origins_T2, look.crop_px)[0]
        return Cut(padded_CHW, within_T2, nearest_HW, ground.place_K[kept_K])

    return cut, n_crops


def _adapt(job: Job, look: Look, module: Any, device: torch.device, readers: int) -> None:
    """Give the model the statistics of its domain: this plate, or all plates of its batch."""
    assert job.domain is not None
    intensity = IntensityMap.from_json(look.facts["intensity"])
    read_by_plate: dict[str, Callable[[str], np.ndarray]] = {}
    for plate, batch, _ in job.domain.fields:
        if plate not in read_by_plate:
            source = open_plate(job.results, plate, batch, look.channels, intensity, "its domain")
            asked, where = job.settings.pixel_size, f"plate {plate}, model {job.model}"
            sizes = pixel_sizes(source.store.pixel_size_um, look.facts.get("pixel_size_um"), asked, where)
            read_by_plate[plate] = reader(source, sizes)
    places = [(plate, group) for plate, _, group in job.domain.fields]
    adapt_to_domain(
        module,
        lambda field: read_by_plate[places[field][0]](places[field][1]),
        len(places),
        size=look.crop_px,
        tiling=job.settings.tiling,
        exact=job.domain.exact,
        most=job.domain.most,
        device=str(device),
        threads=readers,
    )
