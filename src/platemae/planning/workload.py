"""The jobs of a run that are still to do, and what each of them reads and writes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platemae.config import Config, stage_config
from platemae.config.chosen_plates import embedded_plates, fit_plates, map_plates, measured_plates, summarized_plates
from platemae.config.machine import earlier_twins, machine_config, with_machine
from platemae.config.plate_table import PlateTable
from platemae.config.sections import EmbedSection, ModelEntry, Snapshot
from platemae.config.slices import fit_name
from platemae.contracts import TABLE_KINDS, is_optimised
from platemae.embedding.tiling import tile_field
from platemae.layout import MANIFESTS, Results
from platemae.planning.asked import CONTROL_SHARE
from platemae.planning.networks import NetworkCost, network_cost
from platemae.planning.sizes import PlateSize
from platemae.preflight.doctor import store_inodes
from platemae.report.shares import most_fitted, most_points

JOB_INODES = 7
"""Files of any job: manifest, output, log, benchmark, provenance, and two records of Snakemake."""
MODEL_BYTES = 24
"""Bytes a parameter of a trained model: two checkpoints of weights and momentum, the finished weights, the exported."""
PLATE_ROWS = 16
SCORED_WELL_SECONDS = 1e-3
"""Core seconds of a benchmark for each well of the map, assumed: benchmarks differ by far more than that."""
REPORT_SECONDS, READ_SECONDS, DRAWN_SECONDS, FITTED_SECONDS = 15.0, 0.02, 1.5e-3, 2e-3
"""Core seconds of a report (UMAP compiles for 12), and of each file read, row drawn and row that UMAP is fitted on."""
STANDS_FOR_FILE_NOTE = "models of kind checkpoint count as CA-MAE-S/16: their file is not read"


@dataclass(frozen=True)
class Work:
    """Equal jobs of one stage.

    Parameters
    ----------
    stage
        Name of the stage.
    jobs
        How many.
    read_gb
        10^9 bytes of source pixels that each reads.
    flops
        Operations of networks in each.
    fixed_seconds
        Core seconds of each beside pixels and networks, its start not counted.
    memory_mb
        What each needs at most, roughly.
    write_bytes, inodes
        What each leaves.
    step_flops, steps
        Of a training: operations of a step, and how many; steps between two checkpoints.
    """

    stage: str
    jobs: int
    read_gb: float = 0.0
    flops: float = 0.0
    fixed_seconds: float = 0.0
    memory_mb: float = 600.0
    write_bytes: float = 0.0
    inodes: int = JOB_INODES
    name: str = ""
    step_flops: float = 0.0
    checkpoint_steps: int = 0


def count_jobs(config: Config, plates: PlateTable) -> dict[str, int]:
    """Return how many jobs the whole run has, a stage."""
    n, m, embedded = len(plates), len(map_plates(config, plates)), len(embedded_plates(config, plates))
    sets, rows = count_sets(config), len(config.rows)
    fits = {fit_name(config, c.name) for c in config.corrections}
    found = sets | {
        "ingest_plate": n,
        "qc_plate": n,
        "measure_plate": len(measured_plates(config, plates)),
        "fit_intensity": len(config.used_intensity),
        "build_dataset": len(config.used_datasets),
        "embed_plate": embedded * sets["embed_plate"],
        "import_profiles": embedded * sets["import_profiles"],
        "summarize_controls": rows * sum(len(summarized_plates(config, plates, fit_on)) for fit_on in fits),
        "correct_plate": m * sets["correct_plate"],
        "compare_models": 1,
        "render_report": 1,
    }
    assert set(found) == set(MANIFESTS)
    return found


def count_sets(config: Config) -> dict[str, int]:
    """Return how many models a stage is run for, times the corrections or the wells that they are fitted on."""
    rows, corrections = len(config.rows), len(config.corrections)
    tables = sum(row.kind in TABLE_KINDS for row in config.rows)
    corrected = ("fit_correction", "correct_plate", "build_map", "score_map")
    return {
        "train_model": rows - tables,
        "embed_plate": rows - tables,
        "import_profiles": tables,
        "summarize_controls": rows * len({fit_name(config, c.name) for c in config.corrections}),
        **dict.fromkeys(corrected, rows * corrections),
    }


def pending_work(
    config: Config, plates: PlateTable, sizes: Mapping[str, PlateSize], results: Results
) -> Iterator[Work]:
    """Yield the jobs that have left no manifest yet; equal ones together."""
    mapped = map_plates(config, plates)
    yield from _of_plates(config, plates, sizes, results)
    yield from _of_models(config, plates, sizes, results)
    for work in (
        Work("compare_models", 1, fixed_seconds=10.0, memory_mb=1000.0, write_bytes=5e6),
        _report(config, sizes, mapped),
    ):
        if not results.manifest(work.stage).exists():
            yield work


def _report(config: Config, sizes: Mapping[str, PlateSize], mapped: Sequence[str]) -> Work:
    """Return the report: a file a plate and view is read, UMAP fitted, and a thumbnail made of each row drawn."""
    views = len(config.rows) * (1 + sum(correction.kind != "none" for correction in config.corrections))
    every = [sizes[name] for name in mapped if name in sizes]
    drawn = min(sum(rows_of(size, config.embed.rows, size.fields) for size in every), most_points(views))
    fitted = views * min(drawn, most_fitted(views))
    seconds = REPORT_SECONDS + READ_SECONDS * len(mapped) * views + DRAWN_SECONDS * drawn + FITTED_SECONDS * fitted
    memory = 1000 + sum(size.wells for size in every) * 0.005
    return Work("render_report", 1, fixed_seconds=seconds, memory_mb=memory, write_bytes=3e6 + 600.0 * drawn)


def missing_plates(results: Results, stage: str, names: Sequence[str], **wildcards: str) -> list[str]:
    """Return the plates without a manifest of the stage, by one look into its folder."""
    folder = results.manifest(stage, plate="x", **wildcards).parent
    done = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    return [name for name in names if f"{name}.manifest.json" not in done]


def _counted(names: Sequence[str], sizes: Mapping[str, PlateSize]) -> Counter[PlateSize]:
    return Counter(sizes[name] for name in names if name in sizes)


def _of_plates(config: Config, plates: PlateTable, sizes: Mapping[str, PlateSize], results: Results) -> Iterator[Work]:
    """Yield ingest, QC and classical features."""
    every = list(plates.names)
    for size, jobs in _counted(missing_plates(results, "ingest_plate", every), sizes).items():
        field_mb = size.pixel_bytes / max(size.fields, 1) / 1e6
        depth = min(size.depth, 1) if config.ingest.dtype == "uint8" else size.depth
        kept = size.pixel_bytes * depth // size.depth
        files, folders = store_inodes(size.fields, size.wells, PLATE_ROWS, config.ingest.form) if kept else (0, 0)
        yield Work(
            "ingest_plate", jobs, size.pixel_bytes / 1e9, memory_mb=400 + 8 * field_mb,
            write_bytes=kept, inodes=JOB_INODES + files + folders,
        )  # fmt: skip
    for stage, names in (("qc_plate", every), ("measure_plate", measured_plates(config, plates))):
        for size, jobs in _counted(missing_plates(results, stage, names), sizes).items():
            field_mb = size.pixel_bytes / max(size.fields, 1) / 1e6
            yield Work(
                stage, jobs, size.pixel_bytes / 1e9, memory_mb=500 + 12 * field_mb, write_bytes=size.fields * 500
            )


def _of_models(config: Config, plates: PlateTable, sizes: Mapping[str, PlateSize], results: Results) -> Iterator[Work]:
    """Yield all that is made for a dataset, an intensity map, a model or a correction."""
    for name in config.used_intensity:
        if not results.manifest("fit_intensity", intensity=name).exists():
            entry = stage_config(config, plates, "fit_intensity", intensity=name)["intensity"]
            share = CONTROL_SHARE if entry["fit_on"] == "negcon" else 1.0  # a fixed map, too
            read = share * sum(sizes[p].pixel_bytes for p in entry["fit_plates"] if p in sizes) / 1e9
            yield Work("fit_intensity", 1, read, write_bytes=1e4, name=name)
    for name in config.used_datasets:
        if not results.manifest("build_dataset", dataset=name).exists():
            yield Work("build_dataset", 1, fixed_seconds=1 + 0.01 * len(plates), write_bytes=1e6, name=name)
    twins = earlier_twins(config, plates)
    for row in config.rows:
        channels = max((size.channels for size in sizes.values()), default=0) or 1
        cost = _cost(config, plates, row, channels)
        if row.kind not in TABLE_KINDS and not results.manifest("train_model", model=row.name).exists():
            exported = isinstance(row, Snapshot) or row.name in twins
            yield _training(config, plates, row, cost, exported)
        yield from _embeddings(config, plates, sizes, results, row, cost, channels)
        yield from _of_corrections(config, plates, sizes, results, row, cost, channels)


def _cost(config: Config, plates: PlateTable, row: ModelEntry, channels: int) -> NetworkCost:
    if row.kind in TABLE_KINDS:
        return network_cost({"kind": row.kind}, {}, channels)
    cut = stage_config(config, plates, "train_model", model=row.name)
    return network_cost(cut["model"], cut["train"], channels)


def _training(config: Config, plates: PlateTable, row: ModelEntry, cost: NetworkCost, exported: bool) -> Work:
    cut = with_machine(
        stage_config(config, plates, "train_model", model=row.name),
        machine_config(config, plates, "train_model", model=row.name),
    )
    train: dict[str, Any] = cut["train"]
    steps = train["steps"] if is_optimised(row.kind, train["steps"]) and not exported else 0
    # Backward costs twice the forward pass; recomputed activations once more.
    step = cost.train_flops * train["global_batch"] * (4 if train["activation_checkpointing"] else 3)
    return Work(
        "train_model", 1, flops=step * steps, fixed_seconds=10, memory_mb=1500 + 16 * cost.parameters / 1e6,
        write_bytes=cost.parameters * (MODEL_BYTES if steps else 8), inodes=JOB_INODES + 10, name=row.name,
        step_flops=step, checkpoint_steps=train["checkpoint_steps"],
    )  # fmt: skip


def _embeddings(
    config: Config, plates: PlateTable, sizes: Mapping[str, PlateSize], results: Results, row: ModelEntry,
    cost: NetworkCost, channels: int,
) -> Iterator[Work]:  # fmt: skip
    """Yield embeddings of one model, and what is summarized of them."""
    embed, width = _embedded(config, row, cost, channels)
    stage = "import_profiles" if row.kind in TABLE_KINDS else "embed_plate"
    left = missing_plates(results, stage, embedded_plates(config, plates), model=row.name)
    for size, jobs in _counted(left, sizes).items():
        crops = _crops(size, cost.crop_px, embed)
        written = rows_of(size, embed.rows, crops) * (4 * width * len(embed.poolings) + 300)
        read = size.pixel_bytes / 1e9 if stage == "embed_plate" else 0.0
        memory = 1000 + 5 * cost.parameters / 1e6 + 3 * written / 1e6
        yield Work(stage, jobs, read, float(cost.embed_flops) * crops, 1, memory, written, name=row.name)
    for fit_on in sorted({fit_name(config, c.name) for c in config.corrections}):
        read_by = summarized_plates(config, plates, fit_on)
        gone = missing_plates(results, "summarize_controls", read_by, model=row.name, fit_on=fit_on)
        if gone:
            yield Work("summarize_controls", len(gone), fixed_seconds=0.2, write_bytes=8 * width**2, name=row.name)


def _embedded(config: Config, row: ModelEntry, cost: NetworkCost, channels: int) -> tuple[EmbedSection, int]:
    """Return how a model embeds, and the width of its embedding."""
    embed = EmbedSection(**(config.embed.model_dump() | row.embed))
    return embed, cost.width * (channels if embed.pooling == "channelwise" else 1)


def _of_corrections(
    config: Config, plates: PlateTable, sizes: Mapping[str, PlateSize], results: Results, row: ModelEntry,
    cost: NetworkCost, channels: int,
) -> Iterator[Work]:  # fmt: skip
    """Yield corrections, maps and scores of one model."""
    embed, width = _embedded(config, row, cost, channels)
    mapped = map_plates(config, plates)
    wells = sum(sizes[name].wells for name in mapped if name in sizes)
    table = wells * (4 * width + 300)
    for correction in config.corrections:
        names = {"model": row.name, "correction": correction.name}
        if not results.manifest("fit_correction", **names).exists():
            fitted_on = fit_plates(config, plates, correction)
            yield Work("fit_correction", 1, fixed_seconds=1 + 0.01 * len(fitted_on), write_bytes=16 * width**2)
        for size, jobs in _counted(missing_plates(results, "correct_plate", mapped, **names), sizes).items():
            rows = rows_of(size, embed.rows, _crops(size, cost.crop_px, embed))
            written = rows * (4 * width + 300)
            yield Work("correct_plate", jobs, 0.0, 0.0, 0.5 + rows * 1e-4, 600 + 3 * written / 1e6, written)
        if not results.manifest("build_map", **names).exists():
            seconds, memory = 2 + wells * 1e-4, 600 + 3 * table / 1e6
            yield Work("build_map", 1, fixed_seconds=seconds, memory_mb=memory, write_bytes=table / 10)
        if not results.manifest("score_map", **names).exists():
            seconds = len(config.benchmarks) * (2 + SCORED_WELL_SECONDS * wells)
            yield Work("score_map", 1, fixed_seconds=seconds, memory_mb=1000 + 3 * table / 1e6, write_bytes=1e5)


def _crops(size: PlateSize, crop_px: int, embed: EmbedSection) -> int:
    """Return the crops of a plate that go through a network."""
    if not crop_px or not size.height:
        return 0
    if embed.rows == "cell":
        return size.cells
    small = min(size.height, size.width) < crop_px  # the run says so itself; here it counts as one crop
    return size.fields * (1 if small else len(tile_field(size.height, size.width, crop_px, embed.tiling).origins))


def rows_of(size: PlateSize, rows: str, crops: int) -> int:
    """Return the rows of a plate's embedding."""
    return {"well": size.wells, "field": size.fields, "crop": crops, "cell": size.cells}[rows]


def free_bytes(folder: Path) -> int:
    """Return the bytes that are free where a folder lies, or will lie."""
    space = _space(folder)
    return space.f_bavail * space.f_frsize


def free_inodes(folder: Path) -> int | None:
    """Return how many files and folders still fit where a folder lies, or will lie; None where there is no limit."""
    space = _space(folder)
    return space.f_favail if space.f_files else None


def _space(folder: Path) -> os.statvfs_result:
    while not folder.exists():
        folder = folder.parent
    return os.statvfs(folder)
