"""One training step against transformers.ViTMAEForPreTraining at an equal configuration, alternating in one run.

Both sides: forward, backward, clipped gradient norm, optimiser step, the loss read back; the same sizes, mask ratio,
precision, threads and torch version; pixels in memory. Ours standardises its crops and uses Lion (the papers' recipe),
the peer gets AdamW; a second row adds our Fourier term, which the peer has not.

The peer lives in an environment of its own, see ``peers.txt``: the interpreter is $PLATEMAE_PEERS_PYTHON, or
``.venv-peers/bin/python``. Without it the rows say so. ``python benchmarks/bench_training_step.py`` prints the rows.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from platemae.models.registry import build
from platemae.models.settings import Architecture, Objective
from platemae.training.optim import make_lion
from platemae.training.settings import TrainSettings

HERE = Path(__file__).resolve().parent
ROUNDS = 5
CPU_SIZES = {
    "crop_px": 128, "patch_px": 16, "width": 192, "depth": 6, "heads": 3,
    "decoder_width": 128, "decoder_depth": 2, "decoder_heads": 4, "batch": 16, "steps": 2,
}  # fmt: skip
GPU_SIZES = {
    "crop_px": 256, "patch_px": 16, "width": 384, "depth": 12, "heads": 6,
    "decoder_width": 512, "decoder_depth": 8, "decoder_heads": 16, "batch": 256, "steps": 10,
}  # fmt: skip
CHANNELS, MASK_RATIO = 6, 0.75


def job_of(device: str, precision: str) -> dict[str, Any]:
    """Return the sizes of one comparison."""
    sizes = GPU_SIZES if device == "cuda" else CPU_SIZES
    common = {"device": device, "precision": precision, "channels": CHANNELS, "mask_ratio": MASK_RATIO}
    return sizes | common | {"threads": os.cpu_count() or 1}


def our_step(job: dict[str, Any], fourier_weight: float) -> tuple[Callable[[], None], int]:
    """Return a function that takes one step, and the number of trained parameters."""
    spec = Architecture(
        **{k: job[k] for k in ("crop_px", "patch_px", "width", "depth", "heads")},
        **{k: job[k] for k in ("decoder_width", "decoder_depth", "decoder_heads")},
        drop_path=0.0,
    )
    device = torch.device(job["device"])
    module = build("mae", spec.to_dict(), CHANNELS).to(device).train()
    optimizer = make_lion(module, TrainSettings(lr=1e-4))
    objective = Objective(mask_ratio=MASK_RATIO, fourier_weight=fourier_weight)
    x_BCHW = torch.rand(job["batch"], CHANNELS, spec.crop_px, spec.crop_px, device=device) * 255
    parameters = [p for p in module.parameters() if p.requires_grad]
    bfloat16 = job["precision"] == "bfloat16"

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        noise_BN = torch.rand(job["batch"], spec.n_patches, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            losses = module(x_BCHW, noise_BN, None, objective)
        losses[0].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses[0].item()

    return step, sum(p.numel() for p in parameters)


def peers_python() -> Path | None:
    """Return the interpreter of the peers' environment; None when there is none."""
    path = Path(os.environ.get("PLATEMAE_PEERS_PYTHON", HERE.parent / ".venv-peers" / "bin" / "python"))
    return path if path.exists() else None


class Peer:
    """The peer's process: waits between its rounds, so that one side runs at a time."""

    def __init__(self, python: Path, job: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [str(python), str(HERE / "peer_vitmae.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.parameters = int(json.loads(self._ask(json.dumps(job)))["parameters"])

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: PT018
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the peer's process ended; see its message above")
        return answer

    def round(self) -> float:
        """Return the seconds of one round."""
        return float(self._ask("go"))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def measure_one(device: str, precision: str, fourier_weight: float, python: Path | None) -> dict[str, Any]:
    """Return one row: crops a second, median of alternating rounds."""
    job = job_of(device, precision)
    torch.set_num_threads(job["threads"])
    step, parameters = our_step(job, fourier_weight)
    step()
    peer = Peer(python, job) if python else None
    crops = job["batch"] * job["steps"]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        if peer:
            theirs.append(crops / peer.round())
        begin = time.perf_counter()
        for _ in range(job["steps"]):
            step()
        ours.append(crops / (time.perf_counter() - begin))
    note = f"{parameters / 1e6:.2f} M parameters, peer "
    note += f"{peer.parameters / 1e6:.2f} M; " if peer else "absent (see benchmarks/peers.txt); "
    if peer:
        peer.close()
    sizes = f"{CHANNELS} x {job['crop_px']}^2 / {job['patch_px']}, {job['width']} x {job['depth']}, decoder "
    sizes += f"{job['decoder_width']} x {job['decoder_depth']}, batch {job['batch']}, {device} {precision}"
    return {
        "task": f"MAE training step{' with the Fourier term' if fourier_weight else ''}, {sizes}",
        "ours": round(statistics.median(ours), 2),
        "peer": round(statistics.median(theirs), 2) if theirs else None,
        "ceiling": None,
        "unit": "crops/s",
        "ratio": round(statistics.median(o / t for o, t in zip(ours, theirs, strict=True)), 3) if theirs else None,
        "note": note + f"spread {min(ours):.1f}-{max(ours):.1f}, torch {torch.__version__}",
    }


def measure() -> list[dict[str, Any]]:
    """Return the rows of this machine: its GPU where there is one, else its CPU."""
    python = peers_python()
    if torch.cuda.is_available():
        return [measure_one("cuda", p, f, python) for p in ("float32", "bfloat16") for f in (0.0, 0.01)]
    precisions = ["float32", *(["bfloat16"] if torch.cpu._is_amx_tile_supported() else [])]
    return [measure_one("cpu", p, f, python) for p in precisions for f in (0.0, 0.01)]


if __name__ == "__main__":
    if peers_python() is None:
        print("the peer is absent: make its environment as benchmarks/peers.txt says", file=sys.stderr)
    for row in measure():
        print(row)
