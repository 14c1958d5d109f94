"""measure_plate: nuclei and cells of the fields that passed quality control, classical features, well medians."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.embedding.table import assemble, wells_of
from platemae.errors import ConfigError, InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.measure.features import load_functions, measure_objects
from platemae.measure.segmentation import SegmentationSettings, segment
from platemae.measure.wells import Kept, median_cell, useful_features
from platemae.qc.gate import kept_fields
from platemae.stains import stain_of
from platemae.store.parquet import read_parquet
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.tables import write_anndata

STAGE = "measure_plate"
_log = logging.getLogger("platemae")


@dataclass(frozen=True)
class Well:
    """What was measured in one well.

    Parameters
    ----------
    cells, at_border
        Cells measured, and left out because they touch the edge of a field.
    medians
        (D) Median of each feature; empty where there are too few cells.
    columns
        A row a feature, see :func:`platemae.measure.features.measure_objects`; empty likewise.
    """

    cells: int
    at_border: int
    medians: np.ndarray
    columns: pd.DataFrame


def run(results: Results, cfg: dict[str, Any], *, plate: str, threads: int) -> Manifest:
    """Measure the cells of one plate.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``measure`` of the configuration; ``exclude_failed``, whether the gate leaves out fields that failed QC.
    plate
        Name.
    threads
        Processes, a well each at a time: much of the work is Python, which threads would do in turn.

    Raises
    ------
    ConfigError
        When a named channel is not there, no channel shows DNA, or cp_measure is not installed.
    InputError
        When no field passed quality control, no well has enough cells, pixels exceed the stated depth, or the store
        does not hold the source's pixels.
    """
    load_functions()
    if not PlateStore(results.store(plate)).lossless:
        what = f"the store of plate {plate} holds 8 bits of each pixel; features of cells are measured on the source's"
        raise InputError(what, str(results.store(plate)), "ingest with ingest.dtype: source")
    started = time.perf_counter()
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    kept = fields[kept_fields(fields, read_parquet(results.qc(plate), QC_COLUMNS), cfg["exclude_failed"])].sort_values(
        ["well", "field"]
    )
    if kept.empty:
        raise InputError("no field of the plate passed quality control", f"plate {plate}", "see the QC report")
    groups = {str(well): [str(g) for g in rows["group"]] for well, rows in kept.groupby("well")}
    measured = _measure_wells(results.store(plate), groups, cfg["measure"], plate, threads)
    n_cells = sum(well.cells for well in measured.values())
    spent = (time.perf_counter() - started) * threads
    _log.info("plate %s: %d cells, %.1f ms a cell and process", plate, n_cells, 1000 * spent / max(n_cells, 1))
    full = {name: well for name, well in measured.items() if len(well.medians)}
    if not full:
        what = f"no well has {cfg['measure']['min_cells']} cells; the plate has {n_cells}"
        raise InputError(what, f"plate {plate}", "look at the DNA channel, and at `measure` in the configuration")
    data, useful = _table(full, wells_of(fields), {name: len(groups[name]) for name in full})
    write_anndata(data, results.measured(plate))
    counts = {
        "wells": data.n_obs,
        "wells_dropped": int(fields["well"].nunique()) - data.n_obs,
        "fields": len(kept),
        "cells": n_cells,
        "cells_at_border": sum(well.at_border for well in measured.values()),
        "dimensions": data.n_vars,
        "features_undefined": useful.undefined,
        "features_constant": useful.constant,
    }
    return Manifest(STAGE, digest_anndata(data), counts, _warnings(plate, fields, full, useful))


def _measure_wells(
    store: Path, groups: Mapping[str, Sequence[str]], measure: Mapping[str, Any], plate: str, processes: int
) -> dict[str, Well]:
    """Return every well; a process holds one field and the features of one well's cells."""
    work = partial(measure_well, store, measure, plate)
    if processes == 1 or len(groups) == 1:
        return dict(zip(groups, _alike(map(work, groups, groups.values()), plate), strict=True))
    # Not forked: the libraries loaded here hold threads and locks.
    with ProcessPoolExecutor(min(processes, len(groups)), mp_context=get_context("spawn")) as pool:
        try:
            return dict(zip(groups, _alike(pool.map(work, groups, groups.values()), plate), strict=True))
        except BrokenProcessPool:
            remedy = "give the job more memory, or fewer threads"
            raise InputError("a process that measures wells was ended", f"plate {plate}", remedy) from None


def _alike(wells: Iterable[Well], plate: str) -> Iterator[Well]:
    """Yield the wells with one table of features for all: their medians are joined by it, and it is as large as they.

    Raises
    ------
    InputError
        When wells have other features than the first.
    """
    columns = pd.DataFrame()
    for well in wells:
        if columns.empty:
            columns = well.columns
        if len(well.medians) and not well.columns.equals(columns):
            remedy = "measure the plate again with the versions that platemae names"
            raise InputError("wells of a plate have different features", f"plate {plate}", remedy)
        yield replace(well, columns=columns) if len(well.medians) else well


def measure_well(store: Path, measure: Mapping[str, Any], plate: str, well: str, groups: Sequence[str]) -> Well:
    """Return the medians of one well over the cells of its fields.

    Parameters
    ----------
    store
        The plate's store.
    measure
        Section of the configuration.
    plate, well
        Names.
    groups
        Groups of the well's fields in the store.

    Raises
    ------
    PlatemaeError
        As :func:`run`.
    """
    pixels = PlateStore(store)
    nuclei, bodies = choose_channels(pixels.channels, measure, plate)
    full = full_scale(pixels.dtype, measure["bits"])
    settings = SegmentationSettings(**{key: measure[key] for key in SegmentationSettings.__dataclass_fields__})
    tables, columns, at_border = [], pd.DataFrame(), 0
    for group in groups:
        x_CYX = pixels.read_field(group)
        _check_range(x_CYX, full, f"plate {plate}, well {well}, field {group}")
        objects = segment(x_CYX[nuclei], [x_CYX[body] for body in bodies], pixels.pixel_size_um, settings)
        at_border += objects.at_border
        if objects.count:
            x_ND, columns = measure_objects(x_CYX, objects, pixels.channel_names, measure["features"], full)
            tables.append(x_ND)
    cells = sum(len(x_ND) for x_ND in tables)
    if cells < measure["min_cells"]:
        return Well(cells, at_border, np.zeros(0), pd.DataFrame())
    return Well(cells, at_border, median_cell(np.concatenate(tables)), columns)


def choose_channels(channels: Sequence[StoreChannel], measure: Mapping[str, Any], plate: str) -> tuple[int, list[int]]:
    """Return the index of the channel that shows nuclei, and those of the channels that show the cells.

    Raises
    ------
    ConfigError
        When a named channel is not there, or none is named and none shows DNA.
    """
    names = [channel.name for channel in channels]
    wanted = [*measure["cells"], *([measure["nuclei"]] if measure["nuclei"] else [])]
    lacking = [name for name in wanted if name not in names]
    where = f"plate {plate}: channels {', '.join(names)}"
    if lacking:
        raise ConfigError(f"there is no channel {', '.join(lacking)}", where, "correct measure.nuclei, measure.cells")
    dna = [i for i, c in enumerate(channels) if "DNA" in (stain_of(c.stain), stain_of(c.name))]
    if not measure["nuclei"] and not dna:
        raise ConfigError("no channel shows DNA by its stain or name", where, "name one in measure.nuclei")
    nuclei = names.index(measure["nuclei"]) if measure["nuclei"] else dna[0]
    others = [i for i, c in enumerate(channels) if i != nuclei and stain_of(c.stain) != "Brightfield"]
    return nuclei, [names.index(name) for name in measure["cells"]] or others


def full_scale(dtype: np.dtype, bits: int | None) -> float:
    """Return the source value that counts as 1: the top of the camera's range, or of the file's type."""
    if bits is not None:
        return float(2**bits - 1)
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def _check_range(x_CYX: np.ndarray, full: float, where: str) -> None:
    low, high = float(x_CYX.min()), float(x_CYX.max())
    if not (low >= 0 and high <= full):
        what = f"pixels lie between {low:g} and {high:g}, the range is 0 to {full:g}"
        raise InputError(what, where, "set measure.bits to the depth of the camera")


def _table(full: Mapping[str, Well], wells: pd.DataFrame, n_fields: Mapping[str, int]) -> tuple[anndata.AnnData, Kept]:
    columns = next(iter(full.values())).columns
    x_WD = np.stack([well.medians for well in full.values()])
    useful = useful_features(x_WD)
    names = columns.loc[useful.mask, "name"].tolist()
    count_W = np.array([n_fields[name] for name in full])
    data = assemble(x_WD[:, useful.mask], names, wells.loc[list(full)], count_W, np.zeros(len(full)))
    data.obs["n_cells"] = [well.cells for well in full.values()]
    data.var = columns[useful.mask].set_index("name").rename_axis(None)
    data.uns["feature_kind"] = "classical"
    return data, useful


def _warnings(plate: str, fields: pd.DataFrame, full: Mapping[str, Well], useful: Kept) -> list[str]:
    warnings = []
    lost = sorted(set(fields["well"]) - set(full))
    if lost:
        warnings.append(f"plate {plate}: {len(lost)} wells have too few cells: {', '.join(lost[:8])}")
    if useful.undefined or useful.constant:
        what = f"{useful.undefined} features without a value in some well, {useful.constant} of one value in all"
        warnings.append(f"plate {plate}: left out: {what}")
    return warnings
