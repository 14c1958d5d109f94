"""mAP against copairs: average precision of the same profiles, one run, seconds, memory and largest difference.

``python benchmarks/bench_map.py`` prints a markdown table; :func:`measure` returns its rows. copairs lives in the
peers' environment, see ``peers.txt``; without it our figures stand alone.
Shapes: N profiles, D dimensions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from child_memory import in_child

from platemae.benchmarks.average_precision import Pairs, average_precision
from platemae.benchmarks.cosine import unit_rows

HERE = Path(__file__).parent
FloatArray = npt.NDArray[np.float64]
DIMS, SIBLINGS, SEED = 384, 5, 0
PLATE_WELLS, PLATE_CONTROLS = 384, 32


def make_siblings(n_profiles: int) -> tuple[FloatArray, Any]:
    """Draw profiles (N, D), five of a label, with a weak common signal, and their labels (N,)."""
    rng = np.random.default_rng(SEED)
    label_N = np.arange(n_profiles) // SIBLINGS
    x_ND = rng.standard_normal((n_profiles, DIMS)) + 0.3 * rng.standard_normal((label_N[-1] + 1, DIMS))[label_N]
    return x_ND, label_N


def make_replicates(n_wells: int) -> tuple[FloatArray, Any, Any, Any]:
    """Draw wells (N, D) of plates with 32 controls, labels (controls have one each), plate and control (N,)."""
    rng = np.random.default_rng(SEED)
    plate_N, place_N = np.divmod(np.arange(n_wells), PLATE_WELLS)
    control_N = place_N < PLATE_CONTROLS
    label_N = np.where(control_N, 10_000_000 + np.arange(n_wells), place_N + 1000 * (plate_N // SIBLINGS))
    signal = {label: 0.3 * rng.standard_normal(DIMS) for label in np.unique(label_N[~control_N]).tolist()}
    x_ND = rng.standard_normal((n_wells, DIMS))
    x_ND[~control_N] += np.stack([signal[label] for label in label_N[~control_N].tolist()])
    return x_ND, label_N, plate_N, control_N


def our_matching(x_ND: FloatArray, label_N: Any) -> FloatArray:
    """Return the average precision of each profile among all others."""
    return average_precision(unit_rows(x_ND)[0], Pairs([label_N]), Pairs([], [label_N])).value


def our_replicability(x_ND: FloatArray, label_N: Any, plate_N: Any, control_N: Any) -> FloatArray:
    """Return the average precision of each well's replicates among the controls of its plate; NaN for controls."""
    treated_N = ~control_N
    label_N = np.unique(label_N, return_inverse=True)[1]
    positive, negative = Pairs([label_N], [], treated_N), Pairs([plate_N], [label_N], control_N)
    return average_precision(unit_rows(x_ND)[0], positive, negative, treated_N).value


def peers_python() -> Path | None:
    """Return the interpreter of the peers' environment; None when there is none, or it lacks copairs."""
    path = Path(os.environ.get("PLATEMAE_PEERS_PYTHON", HERE.parent / ".venv-peers" / "bin" / "python"))
    if not path.exists():
        return None
    return path if subprocess.run([path, "-c", "import copairs"], capture_output=True).returncode == 0 else None


def by_copairs(python: Path, inputs: dict[str, Any]) -> tuple[dict[str, float], FloatArray]:
    """Run copairs on the inputs; returns what it took, and the average precisions (N,)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profiles.npz"
        np.savez(path, **inputs)
        run = subprocess.run([python, HERE / "peer_map.py", path], capture_output=True, text=True, check=True)
        return json.loads(run.stdout.splitlines()[-1]), np.load(path.with_suffix(".npy"))


def agreement(ours_N: FloatArray, peer_N: FloatArray) -> str:
    """Say how far two lists of average precisions differ. copairs keeps similarities in float32, so near ties swap."""
    apart_N = np.abs(ours_N - peer_N)[np.isfinite(ours_N) & np.isfinite(peer_N)]
    return f"{(apart_N <= 1e-6).mean():.2%} equal to 1e-6, largest difference {apart_N.max():.1e}"


def compare(task: str, make: Any, ours: Any, size: int, names: tuple[str, ...], runs: int) -> list[dict[str, Any]]:
    """Time ours and copairs in turn, each in a process of its own; rows of seconds and of memory."""
    python, inputs = peers_python(), make(size)
    known = dict(zip(names, inputs, strict=True))
    mine, theirs, equal = [], [], ""
    value_N = ours(*inputs)
    for _ in range(runs):
        mine.append(in_child(make, ours, size))
        if python:
            took, peer_N = by_copairs(python, known)
            theirs.append(took)
            equal = agreement(value_N, peer_N)
    rows = []
    for key, unit in (("seconds", "s"), ("mib", "MiB")):
        row = {"task": f"{task}: {'time' if unit == 's' else 'extra memory'}", "unit": unit}
        row |= {"ours": statistics.median(run[key] for run in mine)}
        if theirs:
            row["peer"] = statistics.median(run[key] for run in theirs)
            row["ratio"] = statistics.median(p[key] / max(o[key], 1e-9) for o, p in zip(mine, theirs, strict=True))
        row["note"] = f"medians of {runs}; peer copairs" + (f", {equal}" if theirs else ": none")
        rows.append(row)
    return rows


def measure(
    n_matching: int = 5000, n_alone: int = 10_000, n_wells: int = 9984, runs: int = 3, peer_runs: int = 1
) -> list[dict[str, Any]]:
    """Measure matching and replicability beside copairs, and matching alone at a size that copairs does not finish.

    Parameters
    ----------
    n_matching, n_alone, n_wells
        Profiles of the three.
    runs, peer_runs
        Repetitions: of ours alone and of replicability; of matching, where copairs takes minutes.
    """
    matching = f"mAP matching {n_matching:,} x {DIMS}, {SIBLINGS} of a label"
    rows = compare(matching, make_siblings, our_matching, n_matching, ("x", "label"), peer_runs)
    names = ("x", "label", "plate", "control")
    task = f"mAP replicability {n_wells:,} x {DIMS}, {PLATE_CONTROLS} controls a plate"
    rows += compare(task, make_replicates, our_replicability, n_wells, names, runs)
    alone = [in_child(make_siblings, our_matching, n_alone) for _ in range(runs)]
    for key, unit in (("seconds", "s"), ("mib", "MiB")):
        row = {"task": f"mAP matching {n_alone:,} x {DIMS}, alone", "unit": unit, "note": f"{runs} runs, median"}
        rows.append({**row, "ours": statistics.median(run[key] for run in alone)})
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--profiles", type=int, default=5000)
    parser.add_argument("--alone", type=int, default=10_000)
    parser.add_argument("--wells", type=int, default=9984)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-runs", type=int, default=1)
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from run import COLUMNS, table

    print(table(measure(args.profiles, args.alone, args.wells, args.runs, args.peer_runs), COLUMNS))


if __name__ == "__main__":
    main()
