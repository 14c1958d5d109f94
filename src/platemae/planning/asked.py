"""Memory and walltime that a job asks for, by what it reads; rules and plans take both from here.

Known without opening an image is what the ingest of a plate left; before that, a typical plate stands in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from platemae.layout import Results
from platemae.planning.rates import known_rates

SLACK = 3
"""Times the estimated hours and bytes that are asked for: nodes and file systems of a cluster differ by as much."""
CONTROL_SHARE = 0.1
"""Share of a plate that is control wells, which intensity maps read."""
TYPICAL_WELLS = 384
TYPICAL_BYTES = TYPICAL_WELLS * 9 * 6 * 1080 * 1080 * 2
"""Pixels of a plate that is not ingested yet: 9 fields a well, 6 channels of 16 bits."""
TYPICAL_WIDTH = 1024
"""Columns of an embedding that is not made yet: ViT-L."""


@dataclass(frozen=True)
class Least:
    """What a job asks for at its first attempt, however little it reads: megabytes and minutes."""

    memory_mb: int = 2000
    minutes: int = 30


LEAST = {
    "ingest_plate": Least(4000, 20),
    "qc_plate": Least(4000, 10),
    "measure_plate": Least(4000, 30),
    "fit_intensity": Least(4000, 20),
    "build_dataset": Least(),
    "train_model": Least(8000, 1440),
    "embed_plate": Least(6000, 30),
    "import_profiles": Least(2000, 5),
    "summarize_controls": Least(2000, 2),
    "fit_correction": Least(),
    "correct_plate": Least(2000, 2),
    "build_map": Least(4000),
    "score_map": Least(4000),
    "compare_models": Least(),
    "render_report": Least(6000),
}

READS_PIXELS = ("ingest_plate", "qc_plate", "measure_plate", "fit_intensity", "embed_plate")
"""Stages whose walltime follows the pixels that they read."""
HOLDS_MAP = ("build_map", "score_map")
"""Stages that hold the wells of a whole map."""
HOLDS_PLATE = ("summarize_controls", "correct_plate")
"""Stages that hold the rows of a plate's embedding: wells, or fields, crops or cells."""


def minutes_of(
    results: Results, stage: str, plates: Sequence[str], threads: int, share: float = 1.0,
    foreseen: Mapping[str, int] = MappingProxyType({}),
) -> int:  # fmt: skip
    """Return the walltime of a job that reads pixels, minutes.

    Parameters
    ----------
    results
        Where the manifests of ingested plates lie, and the calibration.
    stage, threads
        The job, and its cores.
    plates, share
        The plates whose pixels it reads, and how much of them.
    foreseen
        Plate -> bytes of its pixels, before it is ingested; a typical plate where nothing is known.
    """
    guesses = [foreseen.get(plate, TYPICAL_BYTES) for plate in plates]
    held = [_counts(results, "ingest_plate", plate) for plate in plates]
    pixel_bytes = [counts.get("pixel_bytes", guess) for counts, guess in zip(held, guesses, strict=True)]
    gigabytes = share * sum(pixel_bytes) / 1e9
    seconds = _seconds_per_gb(results).get(stage, 0.0) * gigabytes / max(threads, 1)
    return LEAST[stage].minutes + math.ceil(SLACK * seconds / 60)


def map_memory_mb(results: Results, stage: str, model: str, plates: Sequence[str], aggregate: str = "mean") -> int:
    """Return the memory of a job that holds the wells of all plates of a map at once, megabytes.

    Parameters
    ----------
    results
        Where the manifests of ingested and embedded plates lie.
    stage, model, plates
        The job, and the plates of its map.
    aggregate
        Means are taken while the rows of a plate are read; for a ``median`` they are held, one plate after another.
    """
    rows = sum(_replicates(results, model, plate) for plate in plates)
    if aggregate == "median":
        rows += max((_rows(results, model, plate) for plate in plates), default=0)
    return _held_mb(results, stage, model, next(iter(plates), ""), rows)


def plate_memory_mb(results: Results, stage: str, model: str, plate: str) -> int:
    """Return the memory of a job that holds all rows of a plate's embedding, megabytes."""
    return _held_mb(results, stage, model, plate, _rows(results, model, plate))


def _held_mb(results: Results, stage: str, model: str, plate: str, rows: int) -> int:
    """Return the memory of so many rows like those of a plate, each its features in 4 bytes and 300 bytes of labels."""
    width = _counts(results, "embed_plate", plate, model).get("dimensions", TYPICAL_WIDTH)
    return LEAST[stage].memory_mb + math.ceil(SLACK * rows * (4 * width + 300) / 1e6)


def _rows(results: Results, model: str, plate: str) -> int:
    """Return the rows of a plate's embedding; before it is made, its cells where it is pooled, else its wells."""
    ingested, embedded = _counts(results, "ingest_plate", plate), _counts(results, "embed_plate", plate, model)
    foreseen = ingested.get("cells", ingested.get("wells", TYPICAL_WELLS))
    rows: int = embedded.get("n_rows", embedded.get("wells", foreseen))  # profiles count wells alone: a row each
    return rows


def _replicates(results: Results, model: str, plate: str) -> int:
    """Return the rows of a plate that a map is made of: its wells; of a pooled plate one a well and guide, at most."""
    ingested = _counts(results, "ingest_plate", plate)
    wells: int = ingested.get("wells", TYPICAL_WELLS)
    if "cells" not in ingested:
        return wells
    return min(_rows(results, model, plate), wells * int(ingested.get("cell_perturbations", ingested["cells"])))


@cache
def _counts(results: Results, stage: str, plate: str, model: str = "") -> dict[str, Any]:
    """Return what the manifest of a finished job counts; nothing where there is none, or a torn one."""
    try:
        counts = json.loads(results.manifest(stage, plate=plate, model=model).read_bytes())["counts"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # the job that needs it says so itself
    return counts if isinstance(counts, dict) else {}


@cache
def _seconds_per_gb(results: Results) -> dict[str, float]:
    return known_rates(results).seconds_per_gb
