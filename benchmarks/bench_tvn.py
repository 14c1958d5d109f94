"""TVN against a plain rewrite of the published recipe: the same wells, one run, seconds and largest deviation.

``python benchmarks/bench_tvn.py`` prints a markdown table; :func:`measure` returns its rows.
Shapes: N wells, D dimensions.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from child_memory import in_child
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from platemae.correction.control_stats import ControlStats
from platemae.correction.tvn import TVN, TVNSettings
from platemae.stages.fit_correction import ByPlate

FloatArray = npt.NDArray[np.float64]
WARM_UP_PLATES = 2
SEED = 0


def make_screen(n_wells: int, dims: int, n_plates: int, control_share: float) -> tuple[FloatArray, Any, Any]:
    """Draw correlated wells with a shift and a gain a plate: X (N, D), plate number (N,), control mask (N,)."""
    rng = np.random.default_rng(SEED)
    x_ND = rng.standard_normal((n_wells, dims)) @ (rng.standard_normal((dims, dims)) / np.sqrt(dims))
    plate_N = np.repeat(np.arange(n_plates), n_wells // n_plates)
    x_ND *= rng.uniform(0.7, 1.4, (n_plates, dims))[plate_N]
    x_ND += 0.5 * rng.standard_normal((n_plates, dims))[plate_N]
    return x_ND, plate_N, np.arange(n_wells) % round(1 / control_share) == 0


def plain_tvn(x_ND: FloatArray, plate_N: Any, control_N: Any, ridge: float = 0.5) -> FloatArray:
    """Run the published order of steps on rows, with the tools that it names."""
    scaler = StandardScaler().fit(x_ND[control_N])
    pca = PCA().fit(scaler.transform(x_ND[control_N]))
    y_ND = pca.transform(scaler.transform(x_ND))
    y_ND = StandardScaler().fit(y_ND[control_N]).transform(y_ND)
    for plate in np.unique(plate_N):
        own_N = plate_N == plate
        cov_DD = np.cov(y_ND[own_N & control_N], rowvar=False, ddof=1) + ridge * np.eye(y_ND.shape[1])
        y_ND[own_N] = y_ND[own_N] @ fractional_matrix_power(cov_DD, -0.5).real
    return y_ND


def our_tvn(x_ND: FloatArray, plate_N: Any, control_N: Any) -> FloatArray:
    """Run the package from rows to rows: statistics of all plates, basis, transform, plate by plate."""
    stats = _statistics(x_ND, plate_N, control_N)
    return _corrected(x_ND, plate_N, {name: stats[name] for name in stats})


def streamed_tvn(x_ND: FloatArray, plate_N: Any, control_N: Any) -> FloatArray:
    """Run the package with statistics taken anew where they are asked for, so that never two plates' are held."""
    return _corrected(x_ND, plate_N, _statistics(x_ND, plate_N, control_N))


def _statistics(x_ND: FloatArray, plate_N: Any, control_N: Any) -> ByPlate[ControlStats]:
    own = {str(plate): np.flatnonzero((plate_N == plate) & control_N) for plate in np.unique(plate_N)}
    return ByPlate(list(own), lambda name: ControlStats.from_rows(x_ND[own[name]], name))


def _corrected(x_ND: FloatArray, plate_N: Any, stats: Mapping[str, ControlStats]) -> FloatArray:
    rows = {str(plate): np.flatnonzero(plate_N == plate) for plate in np.unique(plate_N)}
    fitted = TVN.fit(stats, {name: name for name in rows}, TVNSettings(center_per_batch=False))
    out_ND = np.empty((len(x_ND), fitted.whiten.shape[1]))
    for name, own in rows.items():
        out_ND[own] = fitted.transform(x_ND[own], stats[name], dtype=np.float64)
    return out_ND


def gemm_floor(x_ND: FloatArray, plate_N: Any, control_N: Any) -> FloatArray:
    """Multiply by one square matrix: the floor of any linear correction."""
    return x_ND @ np.eye(x_ND.shape[1])


def deviation(ours_ND: FloatArray, peer_ND: FloatArray) -> float:
    """Largest difference after aligning column signs, as a share of the largest value."""
    sign_D = np.sign((ours_ND * peer_ND).sum(axis=0))
    return float(np.abs(ours_ND * sign_D - peer_ND).max() / np.abs(peer_ND).max())


def _timed(function: Callable[..., FloatArray], *inputs: Any) -> tuple[float, float, FloatArray]:
    """Return wall seconds, CPU seconds and the result; CPU time is what a busy neighbour disturbs least."""
    start, cpu_start = time.perf_counter(), time.process_time()
    out_ND = function(*inputs)
    return time.perf_counter() - start, time.process_time() - cpu_start, out_ND


def measure(
    n_wells: int = 100_000, dims: int = 384, n_plates: int = 100, control_share: float = 0.1, runs: int = 3
) -> list[dict[str, Any]]:
    """Time package, plain recipe and floor in turn, ``runs`` times, and compare their results.

    Returns
    -------
    For statistics held, and taken anew: a row of times with task, ours, peer and ceiling (median seconds),
    unit, ratio (median of peer / ours of each run) and note (spread, CPU time, deviation), and a row of memory.
    """
    inputs = make_screen(n_wells, dims, n_plates, control_share)
    few = inputs[1] < WARM_UP_PLATES
    for function in (*OURS, plain_tvn):
        function(*(part[few] for part in inputs))
    ours: dict[Any, list[tuple[float, float]]] = {function: [] for function in OURS}
    peer, floor, worst = [], [], 0.0
    for _ in range(runs):
        *peer_s, peer_ND = _timed(plain_tvn, *inputs)
        peer.append(peer_s)
        floor.append(_timed(gemm_floor, *inputs)[0])
        for function in OURS:
            *ours_s, ours_ND = _timed(function, *inputs)
            ours[function].append((ours_s[0], ours_s[1]))
            worst = max(worst, deviation(ours_ND, peer_ND))
            del ours_ND
        del peer_ND
    task = f"TVN {n_wells:,} x {dims}, {n_plates} plates, {control_share:.0%} controls, float64, statistics"
    sizes = (n_wells, dims, n_plates, control_share)
    peer_mib = in_child(make_screen, plain_tvn, *sizes)["mib"]
    rows = []
    for function, name in OURS.items():
        ratios = [theirs[0] / mine[0] for theirs, mine in zip(peer, ours[function], strict=True)]
        of_cpu = statistics.median(theirs[1] / mine[1] for theirs, mine in zip(peer, ours[function], strict=True))
        spread = f"{runs} runs, ratio {min(ratios):.1f} to {max(ratios):.1f}, of CPU time {of_cpu:.1f}"
        spread += f", {os.environ.get('OMP_NUM_THREADS', 'all')} BLAS threads"
        note = f"{spread}; largest deviation {worst:.1e} of the largest value"
        medians = [
            statistics.median(values) for values in ([s for s, _ in ours[function]], [s for s, _ in peer], floor)
        ]
        times = dict(zip(("ours", "peer", "ceiling"), medians, strict=True))
        rows.append({"task": f"{task} {name}", **times, "unit": "s", "ratio": statistics.median(ratios), "note": note})
        rows.append(memory(f"{task} {name}: extra memory", function, peer_mib, sizes))
    return rows


def memory(task: str, function: Any, peer_mib: float, sizes: tuple[Any, ...]) -> dict[str, Any]:
    """Compare peak memory beside the input, each in a process of its own; the results are kept in both."""
    ours = in_child(make_screen, function, *sizes)["mib"]
    note = f"beside the input of {sizes[0] * sizes[1] * 8 / 2**20:.0f} MiB, the result of the same size included"
    row = {"ours": ours, "peer": peer_mib, "unit": "MiB", "ratio": ours / peer_mib}
    return {"task": task, **row, "note": f"{note}; ratio: ours / peer"}


OURS = {our_tvn: "held", streamed_tvn: "taken anew"}
"""The package, by where it has the statistics of plates."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--wells", type=int, default=100_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--plates", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    rows = measure(args.wells, args.dims, args.plates, runs=args.runs)
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(f"{value:.2f}" if isinstance(value, float) else value for value in row.values()) + " |")


if __name__ == "__main__":
    main()
