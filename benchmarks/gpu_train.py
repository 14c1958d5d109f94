"""Training steps of every size on one GPU: crops a second, MFU, memory, and the peers beside them.

    python benchmarks/gpu_train.py --out benchmarks/RESULTS_GPU.md

prints a Markdown table with the device's name, and writes it. MFU is the share of the measured rate of large bfloat16
matrix products (not of a data sheet) that the step's own products take, recomputation not counted. Sizes: S/16, B/16,
L/16, L/8 and CA-S/16 on 6 x 256 x 256 crops, mask 0.75, bfloat16, each with and without torch.compile; targets are an
MFU of 0.50 for L/16 and 1.5 times the faster peer. The peers' environment is that of ``peers.txt``. ``--tiny --device
cpu`` walks the same way in a minute with nets that say nothing about speed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mae_step import PEERS, Job, Ours, Peer, in_turns, matmul_rate, peers_python
from run import cpu, table

from platemae.models.settings import PRESETS, Architecture

# name: kind, preset, crops a step; a batch that does not fit is halved
MODELS = {
    "S/16": ("mae", "vit_s16", 512),
    "B/16": ("mae", "vit_b16", 512),
    "L/16": ("mae", "vit_l16", 256),
    "L/8": ("mae", "vit_l8", 64),
    "CA-S/16": ("camae", "camae_s16", 64),
}
COLUMNS = ("model", "batch", "crops/s", "TFLOP/s", "MFU", "memory GB", "peer crops/s", "times faster", "note")
TARGET_MFU, TARGET_PEER = 0.5, 1.5


def shrunk(spec: Architecture) -> Architecture:
    """Return a small network of the same family."""
    sizes = {"crop_px": 32, "width": 32, "depth": 2, "heads": 2}
    return replace(spec, **sizes, decoder_width=32, decoder_depth=1, decoder_heads=2, **_cross(spec))


def _cross(spec: Architecture) -> dict[str, int]:
    return {"cross_heads": 2} if hasattr(spec, "cross_heads") else {}


def start(job: Job, kind: str, spec: Architecture) -> tuple[Job, Ours]:
    """Return our side, warmed up, with the largest batch that fits."""
    while True:
        try:
            return job, Ours(job, kind, spec, fourier_weight=0.01)
        except torch.OutOfMemoryError:
            if job.batch == 1:
                raise
            torch.cuda.empty_cache()
            job = replace(job, batch=job.batch // 2)


def peer_rate(name: str, job: Job, spec: Architecture, rounds: int) -> float:
    """Return a peer's crops a second, with the largest batch that fits; ours has left the device by then."""
    python = peers_python()
    assert python is not None
    while True:
        peer = None
        try:
            peer = Peer(python, name, job, spec)
            return job.crops / statistics.median(peer.round()[0] for _ in range(rounds))
        except RuntimeError:  # its process ended: most likely for want of memory
            if job.batch == 1:
                raise
            job = replace(job, batch=job.batch // 2)
        finally:
            if peer is not None:
                peer.close()


def measure_model(name: str, job: Job, tiny: bool, rounds: int, edge: int) -> dict[str, Any]:
    """Return one row: ours in turns with plain matrix products, then each peer by itself, for memory's sake."""
    kind, preset, batch = MODELS[name]
    spec = shrunk(PRESETS[preset]) if tiny else PRESETS[preset]
    if job.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    job, ours = start(replace(job, batch=4 if tiny else batch), kind, spec)
    times, rates = in_turns({"ours": ours}, rounds, lambda: matmul_rate(job.device, job.precision, edge, repeats=10))
    memory = torch.cuda.max_memory_allocated() / 1e9 if job.device == "cuda" else None
    step_flops = ours.step_flops
    del ours
    if job.device == "cuda":
        torch.cuda.empty_cache()
    peers = PEERS if kind == "mae" and peers_python() else ()
    beside = {peer: peer_rate(peer, job, spec, rounds) for peer in peers}
    rounds_per_s = [job.crops / wall for wall, _ in times["ours"]]
    crops_per_s, peak = statistics.median(rounds_per_s), statistics.median(rates)
    faster = max(beside.values(), default=None)
    note = f"matmul {peak / 1e12:.3g} TFLOP/s; spread {min(rounds_per_s):.4g} to {max(rounds_per_s):.4g}"
    return {
        "model": label(name, job),
        "batch": job.batch,
        "crops/s": crops_per_s,
        "TFLOP/s": crops_per_s * step_flops / 1e12,
        "MFU": crops_per_s * step_flops / peak,
        "memory GB": memory,
        "peer crops/s": faster,
        "times faster": crops_per_s / faster if faster else None,
        "note": note + "".join(f"; {peer} {found:.4g}" for peer, found in beside.items()),
    }


def label(name: str, job: Job) -> str:
    """Return what a row is called."""
    return f"{name}, compiled" if job.compile else name


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """Say whether the targets are met by the better of plain and compiled."""
    large = [row["MFU"] for row in rows if row["model"].startswith("L/16") and row.get("MFU") is not None]
    ratios = [row["times faster"] for row in rows if row.get("times faster") is not None]
    lines = []
    if large:
        lines.append(f"MFU of L/16: {max(large):.2f}, target {TARGET_MFU}: {_met(max(large) >= TARGET_MFU)}.")
    if ratios:
        least, most = min(ratios), max(ratios)
        met = f"target {TARGET_PEER}: {_met(most >= TARGET_PEER)}"
        lines.append(f"Against the faster peer: {least:.2f} to {most:.2f} times, {met} by the best row.")
    else:
        lines.append("No peers: their environment is missing (benchmarks/peers.txt).")
    return " ".join(lines)


def _met(met: bool) -> str:
    return "met" if met else "not met"


def page(rows: Sequence[dict[str, Any]], device: str, precision: str, tiny: bool) -> str:
    """Return the Markdown page."""
    where = torch.cuda.get_device_name() if device == "cuda" else cpu()
    head = f"# Training steps on {where}\n\nWritten by `python benchmarks/gpu_train.py`; torch {torch.__version__}, "
    head += f"{precision}, 6 channels, mask 0.75, Lion, Fourier term; medians, sides in turns.\n"
    note = "\nTiny networks: this page says that the script runs, nothing about speed.\n" if tiny else ""
    return f"{head}{note}\n{table(rows, COLUMNS)}\n\n{verdict(rows)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--compile", choices=("both", "yes", "no"), default="both")
    parser.add_argument("--steps", type=int, default=10, help="steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="small networks, to try the script")
    parser.add_argument("--out", type=Path, help="also write the page here")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("torch sees no GPU: nothing was measured (--tiny --device cpu tries the script)", file=sys.stderr)
        return 2
    edge = 256 if chosen.tiny else 8192
    rows = []
    for name in chosen.models:
        for compiled in {"both": (False, True), "yes": (True,), "no": (False,)}[chosen.compile]:
            job = Job(chosen.device, chosen.precision, 1, chosen.steps, warm_up=3, compile=compiled)
            print(f"{label(name, job)} ...", file=sys.stderr, flush=True)
            rows.append(_row_or_failure(name, job, chosen, edge))
            if chosen.device == "cuda":
                torch.cuda.empty_cache()
    text = page(rows, chosen.device, chosen.precision, chosen.tiny)
    print(text)
    if chosen.out:
        chosen.out.write_text(text)
    return 0


def _row_or_failure(name: str, job: Job, chosen: argparse.Namespace, edge: int) -> dict[str, Any]:
    """Return the row; a size that fails says why and does not cost the others."""
    try:
        return measure_model(name, job, chosen.tiny, chosen.rounds, edge)
    except (RuntimeError, OSError) as error:  # torch's compiler and memory errors are RuntimeErrors
        why = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return {"model": label(name, job), "note": why}


if __name__ == "__main__":
    sys.exit(main())
