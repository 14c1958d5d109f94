"""One training step, ours and the peers', to be timed in turns on one device.

All sides: forward, backward, clipped gradient norm, optimiser step, the loss read back; the same sizes, mask ratio,
precision and threads; pixels in memory. Ours standardises its crops and uses Lion (the papers' recipe), a peer gets
AdamW. The peers live in an environment of their own, see ``peers.txt``: the interpreter is $PLATEMAE_PEERS_PYTHON, or
``.venv-peers/bin/python``.

Shape legend: B batch, C channels, H W pixels, N patches.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from platemae.models.registry import build
from platemae.models.settings import Architecture, Objective
from platemae.training.optim import make_lion
from platemae.training.settings import TrainSettings

HERE = Path(__file__).resolve().parent
PEERS = ("transformers", "lightly")
PEER_KEYS = ("crop_px", "patch_px", "width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads")


@dataclass(frozen=True)
class Job:
    """What is timed.

    Attributes
    ----------
    batch, steps
        Crops a step, and steps a round.
    """

    device: str
    precision: str
    batch: int
    steps: int = 1
    warm_up: int = 1
    compile: bool = False
    channels: int = 6
    mask_ratio: float = 0.75
    threads: int = 1

    @property
    def crops(self) -> int:
        """Crops a round."""
        return self.batch * self.steps


class Side(Protocol):
    """Something that takes ``job.steps`` steps and says how long they took."""

    def round(self) -> tuple[float, float]:
        """Return seconds by the clock, and of processor time."""
        ...


class Ours:
    """Our step.

    Parameters
    ----------
    job
        How it is taken.
    kind, spec
        The network.
    fourier_weight
        Of the loss.
    """

    def __init__(self, job: Job, kind: str, spec: Architecture, fourier_weight: float = 0.0) -> None:
        self.job, self.device = job, torch.device(job.device)
        torch.set_num_threads(job.threads)
        self.module = build(kind, asdict(spec), job.channels).to(self.device).train()
        self.network = torch.compile(self.module) if job.compile else self.module
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = make_lion(self.module, TrainSettings(lr=1e-4))
        self.objective = Objective(mask_ratio=job.mask_ratio, fourier_weight=fourier_weight)
        shape = (job.batch, job.channels, spec.crop_px, spec.crop_px)
        self.x_BCHW = torch.rand(shape, device=self.device) * 255
        for _ in range(job.warm_up):
            self.step()

    @property
    def step_flops(self) -> int:
        """Operations of a step, one crop: forward, and twice that backward; matrix products alone."""
        forward: int = self.module.forward_flops(self.job.mask_ratio)  # type: ignore[operator]
        return 3 * forward

    def step(self) -> None:
        """Take one step."""
        self.optimizer.zero_grad(set_to_none=True)
        n_patches, n_blocks = self.module.noise_sizes  # type: ignore[misc]
        noise_BN = torch.rand(self.job.batch, n_patches, device=self.device)
        path_BL = torch.rand(self.job.batch, n_blocks, device=self.device) if n_blocks else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.job.precision == "bfloat16"):
            losses = self.network(self.x_BCHW, noise_BN, path_BL, self.objective)
        losses[0].backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        losses[0].item()

    def round(self) -> tuple[float, float]:
        """Time the steps of a round."""
        begin, spent = time.perf_counter(), time.process_time()
        for _ in range(self.job.steps):
            self.step()
        return time.perf_counter() - begin, time.process_time() - spent


class Peer:
    """A peer's process: waits between its rounds, so that one side runs at a time."""

    def __init__(self, python: Path, name: str, job: Job, spec: Architecture) -> None:
        command = [str(python), "-W", "ignore", str(HERE / "peer_mae.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sizes = {key: getattr(spec, key) for key in PEER_KEYS}
        self.n_parameters = int(self._ask(json.dumps(asdict(job) | sizes | {"peer": name}))["parameters"])

    def _ask(self, line: str) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: PT018
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("a peer's process ended; see its message above")
        return json.loads(answer)

    def round(self) -> tuple[float, float]:
        """Time the steps of a round."""
        wall, processor = self._ask("go")
        return float(wall), float(processor)

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self.process.communicate()


def peers_python() -> Path | None:
    """Return the interpreter of the peers' environment; None when there is none."""
    path = Path(os.environ.get("PLATEMAE_PEERS_PYTHON", HERE.parent / ".venv-peers" / "bin" / "python"))
    return path if path.exists() else None


def open_peers(job: Job, spec: Architecture) -> dict[str, Peer]:
    """Start the peers; none where they have no environment."""
    python = peers_python()
    return {name: Peer(python, name, job, spec) for name in PEERS} if python else {}


def matmul_rate(device: str, precision: str, edge: int, repeats: int = 2) -> float:
    """Return operations a second of products of square matrices."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a = torch.randn(edge, edge, device=device, dtype=dtype)
    begin = 0.0
    for index in range(repeats + 1):
        if index == 1:  # the first one warms up
            _wait(device)
            begin = time.perf_counter()
        a @ a
    _wait(device)
    return repeats * 2 * edge**3 / (time.perf_counter() - begin)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def in_turns(
    sides: Mapping[str, Side], rounds: int, rate: Callable[[], float]
) -> tuple[dict[str, list[tuple[float, float]]], list[float]]:
    """Time every side once a round, and the rate of matrix products; returns both lists."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    rates = []
    for _ in range(rounds):
        rates.append(rate())
        for name, side in sides.items():
            times[name].append(side.round())
    return times, rates


def median_ratio(ours: Sequence[tuple[float, float]], theirs: Sequence[tuple[float, float]], which: int = 0) -> float:
    """Return how many times faster ours is: the median over rounds, by the clock (0) or by processor time (1)."""
    return statistics.median(t[which] / o[which] for o, t in zip(ours, theirs, strict=True))
