"""TVN against the number of wells: time a well, and memory, of fitting and of transforming.

Plates come one at a time, as in the stages: statistics from a file, wells from a generator that stands for a file.
``python benchmarks/run.py tvn_size``. Shapes: N wells, D dimensions.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from child_memory import in_child

from platemae.correction.control_stats import ControlStats
from platemae.correction.tvn import TVN, TVNSettings
from platemae.stages.fit_correction import ByPlate

WELLS, CONTROLS, DIMS = 384, 38, 128
SIZES = (10_000, 100_000, 1_000_000)


def plate_of(number: int) -> np.ndarray:
    """Draw the wells of a plate (N, D) in float32; the first ones are its controls."""
    rng = np.random.default_rng(number)
    gain_D = np.random.default_rng(number % 7).uniform(0.7, 1.4, DIMS).astype(np.float32)
    return rng.standard_normal((WELLS, DIMS), dtype=np.float32) * gain_D + np.float32(0.1 * (number % 5))


def prepare(folder: Path, n_wells: int) -> tuple[Any, ...]:
    """Write the statistics of all plates; nothing of them stays in memory."""
    plates = [f"p{number}" for number in range(round(n_wells / WELLS))]
    for number, plate in enumerate(plates):
        if not (folder / f"{plate}.npz").exists():
            ControlStats.from_rows(plate_of(number)[:CONTROLS], plate).save(folder / f"{plate}.npz")
    stats = ByPlate(plates, lambda plate: ControlStats.load(folder / f"{plate}.npz"))
    TVN.fit({plate: stats[plate] for plate in plates[:2]}, {p: p for p in plates}, TVNSettings())  # warms BLAS up
    return (stats, {plate: plate for plate in plates})


def fit(stats: Any, unit_of: dict[str, str]) -> TVN:
    """Fit on all plates."""
    return TVN.fit(stats, unit_of, TVNSettings())


def prepare_transform(folder: Path, n_wells: int) -> tuple[Any, ...]:
    """Fit before the clock starts."""
    stats, unit_of = prepare(folder, n_wells)
    fitted = fit(stats, unit_of)
    fitted.transform(plate_of(0), stats["p0"])
    return fitted, stats


def transform(fitted: TVN, stats: Any) -> None:
    """Align all plates and keep none."""
    for number, plate in enumerate(stats):
        fitted.transform(plate_of(number), stats[plate])


def measure() -> list[dict[str, Any]]:
    """Fit and transform each size in a process of its own.

    Returns
    -------
    Rows with task, ours (seconds), unit, ratio (CPU time a plate against the smallest size: 1 is linear) and note.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task, before, work in (("fit", prepare, fit), ("transform", prepare_transform, transform)):
            first = 0.0
            for n_wells in SIZES:
                found = in_child(before, work, folder, n_wells)
                plates = round(n_wells / WELLS)
                each = found["cpu_seconds"] / plates
                first = first or each
                note = f"{plates:,} plates of {WELLS} wells, {CONTROLS} controls; {1e3 * each:.1f} ms of CPU a plate; "
                note += f"the process peaks at {found['peak_mib']:.0f} MiB; ratio: CPU time a plate, smallest size 1"
                row = {"ours": found["seconds"], "unit": "s", "ratio": each / first, "note": note}
                rows.append({"task": f"TVN {task}, {n_wells:,} wells x {DIMS}", **row})
    return rows


if __name__ == "__main__":
    for row in measure():
        print(row)
