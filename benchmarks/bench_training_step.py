"""A training step against transformers' and lightly's masked autoencoders at an equal configuration, in one run.

ViT-S/16 on 6 x 256 x 256, mask 0.75, decoder 512 x 8; all sides take turns, see ``mae_step.py``. ``ceiling`` is the
crops a second that the step's matrix products would take at the rate of plain ones in the same run. Rows add our
Fourier term, which no peer has, and our network compiled; the last one says where our step's time goes.

``python benchmarks/bench_training_step.py`` prints the rows.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import replace
from typing import Any

import torch
from mae_step import Job, Ours, Peer, in_turns, matmul_rate, median_ratio, open_peers
from torch.profiler import ProfilerActivity, profile

from platemae.models.settings import Architecture

SPEC = Architecture(drop_path=0.0)
ROUNDS = 5
MATMUL_EDGE = {"cpu": 2048, "cuda": 8192}
LABELS = {
    "ours": "MAE training step",
    "with Fourier term": "the same with the Fourier term",
    "compiled": "the same with train.compile, peers as they are",
}
PARTS = {
    "matrix products": ("::mm", "::addmm", "::bmm", "::baddbmm"),
    "attention kernel": ("::_scaled_dot_product", "::_softmax"),
    "norms": ("layer_norm", "::linalg_vector_norm"),
    "GELU": ("::gelu",),
    "optimiser (foreach)": ("::lerp", "::sign", "::_foreach"),
}
"""Operators by a part of their name; all others are element-wise work, copies and fills."""


def job_of(device: str, precision: str) -> Job:
    """Return the job of a device; a CPU without AMX multiplies bfloat16 slowly and gets fewer crops."""
    if device == "cuda":
        return Job(device, precision, batch=256, steps=10, warm_up=5, threads=os.cpu_count() or 1)
    slow = precision == "bfloat16" and not torch.cpu._is_amx_tile_supported()
    return Job(device, precision, batch=2 if slow else 8, threads=os.cpu_count() or 1)


def measure_one(device: str, precision: str) -> list[dict[str, Any]]:
    """Return the rows of one precision."""
    job = job_of(device, precision)
    peers: dict[str, Peer] = open_peers(job, SPEC)
    ours = Ours(job, "mae", SPEC)
    with_fourier = Ours(job, "mae", SPEC, fourier_weight=0.01)
    sides = {**peers, "ours": ours, "with Fourier term": with_fourier}
    if precision == "float32" or device == "cuda":
        sides["compiled"] = Ours(replace(job, compile=True), "mae", SPEC)
    edge = MATMUL_EDGE[device]
    times, rates = in_turns(sides, ROUNDS, lambda: matmul_rate(device, precision, edge))
    for peer in peers.values():
        peer.close()
    ceiling = statistics.median(rates) / ours.step_flops
    task = f"ViT-S/16, {job.channels} x {SPEC.crop_px}^2, mask {job.mask_ratio}, decoder {SPEC.decoder_width} x "
    task += f"{SPEC.decoder_depth}, batch {job.batch}, {device} {precision}"
    rows = []
    for name, label in LABELS.items():
        if name in sides:
            rows.append(_row(f"{label}, {task}", name, times, job, ceiling))
    rows[0]["note"] += f"; {sum(p.numel() for p in ours.parameters) / 1e6:.2f} M parameters"
    rows[0]["note"] += "".join(f", {name} {peer.n_parameters / 1e6:.2f} M" for name, peer in peers.items())
    if device == "cpu" and precision == "bfloat16" and not torch.cpu._is_amx_tile_supported():
        rows[0]["note"] += "; this CPU has no AMX: its bfloat16 figures say little"
    return [*rows, {"task": f"where the time of our step goes, {device} {precision}", "note": profiled(ours)}]


def _row(task: str, name: str, times: dict[str, Any], job: Job, ceiling: float) -> dict[str, Any]:
    """Return a row: ratio to the faster peer, where there are peers, else to the ceiling."""
    crops_per_s = {key: job.crops / statistics.median(wall for wall, _ in value) for key, value in times.items()}
    peers = [key for key in times if key not in LABELS]
    note = [f"{crops_per_s[name] / ceiling:.2f} of the matrix products' rate ({ceiling:.3g} crops/s)"]
    for peer in peers:
        clock, processor = (median_ratio(times[name], times[peer], which) for which in (0, 1))
        note.append(f"{clock:.2f} times {peer} ({crops_per_s[peer]:.3g}; by processor time {processor:.2f})")
    faster = max(peers, key=crops_per_s.__getitem__, default=None)
    walls = [job.crops / wall for wall, _ in times[name]]
    note.append(f"median of {len(walls)}, {min(walls):.3g} to {max(walls):.3g}; torch {torch.__version__}")
    return {
        "task": task,
        "ours": crops_per_s[name],
        "peer": crops_per_s[faster] if faster else None,
        "ceiling": ceiling,
        "unit": "crops/s",
        "ratio": median_ratio(times[name], times[faster]) if faster else crops_per_s[name] / ceiling,
        "note": ("" if peers else "no peers (see benchmarks/peers.txt), ratio to the ceiling; ") + "; ".join(note),
    }


def profiled(ours: Ours) -> str:
    """Return the shares of a step's operators in the time of all."""
    cuda = ours.job.device == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as found:
        ours.step()
    shares = dict.fromkeys([*PARTS, "element-wise, copies, fills"], 0.0)
    for event in found.key_averages():
        if event.key.startswith("aten::"):
            part = next((part for part, keys in PARTS.items() if any(key in event.key for key in keys)), None)
            spent = event.self_device_time_total if cuda else event.self_cpu_time_total
            shares[part or "element-wise, copies, fills"] += spent
    total = sum(shares.values())
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return "by torch's profiler: " + ", ".join(f"{part} {spent / total:.0%}" for part, spent in ordered)


def measure() -> list[dict[str, Any]]:
    """Return the rows of this machine: its GPU where there is one, else its CPU."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return [row for precision in ("float32", "bfloat16") for row in measure_one(device, precision)]


if __name__ == "__main__":
    for row in measure():
        print(row, flush=True)
