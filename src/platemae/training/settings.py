"""How a network is trained. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from platemae.errors import ConfigError
from platemae.models.settings import Objective

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
SHARDINGS = ("auto", "ddp", "fsdp")
# These may change between a checkpoint and its continuation: they move the result no further than the machine does.
_FREE = (
    "device", "accumulate", "activation_checkpointing", "compile", "sharding",
    "checkpoint_minutes", "checkpoint_steps", "log_every", "validate_every",
)  # fmt: skip


@dataclass(frozen=True)
class TrainSettings:
    """One run of training; defaults follow PAPER.md 1.8 and 2.1 where it gives a value.

    Attributes
    ----------
    steps
        Optimiser steps; 0 leaves the network as it was drawn.
    global_batch
        Crops a step over all processes.
    lr
        Highest learning rate: 1e-4 up to ViT-B, 3e-5 for ViT-L.
    weight_decay
        Of weight matrices; norms, biases, tokens and other vectors have none.
    betas
        Lion's.
    warmup_fraction
        Part of the steps in which the rate rises.
    mask_ratio, fourier_weight, fourier_layout, fourier_norm
        As in ``platemae.models.settings.Objective``.
    clip_norm
        Upper bound of the gradient's norm; 0 for none.
    ema_decay
        Decay of the moving average of the weights, which is then what is validated and exported; 0 for none. Early on
        the decay is lower, (1 + step) / (10 + step), so that the initial weights are forgotten.
    accumulate
        Micro-batches that a process cuts its part of the global batch into, one after another: less memory, the same
        step but for rounding.
    activation_checkpointing
        Compute the inside of each block again in the backward pass instead of keeping it: less memory, more time.
    compile
        Compile the network with torch; where that fails, a warning says why and training goes on without.
    sharding
        How several processes hold the network. ``ddp``: each a whole one; ``fsdp``: each a part of every block;
        ``auto``: fsdp on GPUs for networks of ViT-L's size, else ddp. One process alone holds it whole.
    precision
        ``auto``: bfloat16 autocast on a GPU that has it and on a CPU with AMX tiles, else float32.
    device
        ``auto``: the GPU when there is one. ``cuda`` where there is none is an error.
    seed
        Of masks, stochastic depth and validation masks.
    checkpoint_minutes, checkpoint_steps
        A checkpoint is written when either has passed; 0 switches one off. The last step always writes one.
    validate_every
        Steps between two passes over the validation crops; 0 for the last step alone.
    log_every
        Steps a row of the history covers.
    """

    steps: int = 1000
    global_batch: int = 64
    lr: float = 1e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_fraction: float = 0.1
    mask_ratio: float = 0.75
    fourier_weight: float = 0.01
    fourier_layout: str = "patch"
    fourier_norm: str = "l1"
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    accumulate: int = 1
    activation_checkpointing: bool = False
    compile: bool = False
    sharding: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int = 0
    validate_every: int = 0
    log_every: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # a list when it comes from JSON
        assert_valid(self._problems())
        self.objective  # noqa: B018  (checks its own part)

    def _problems(self) -> list[str]:
        checks = {
            "global_batch and log_every must be at least 1": min(self.global_batch, self.log_every) >= 1,
            "steps must not be negative": self.steps >= 0,
            "lr must be positive": self.lr > 0,
            "weight_decay and clip_norm must not be negative": min(self.weight_decay, self.clip_norm) >= 0,
            "betas must be two numbers in [0, 1)": len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            "warmup_fraction must be in [0, 1)": 0 <= self.warmup_fraction < 1,
            "ema_decay must be in [0, 1)": 0 <= self.ema_decay < 1,
            "accumulate must be at least 1": self.accumulate >= 1,
            f"sharding must be one of {', '.join(SHARDINGS)}": self.sharding in SHARDINGS,
            f"precision must be one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"device must be one of {', '.join(DEVICES)}": self.device in DEVICES,
            "seed must not be negative": self.seed >= 0,
            "checkpoint_minutes, checkpoint_steps and validate_every must not be negative": min(
                self.checkpoint_minutes, self.checkpoint_steps, self.validate_every
            )
            >= 0,
        }
        return [problem for problem, fine in checks.items() if not fine]

    @property
    def objective(self) -> Objective:
        """The part of the settings that the network's loss needs."""
        return Objective(self.mask_ratio, self.fourier_weight, self.fourier_layout, self.fourier_norm)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must agree in to be continued under these settings."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _FREE}
        if not self.ema_decay:  # no average is what it was before there was a choice: trainings of then stay valid
            del values["ema_decay"]
        return values | {"betas": list(self.betas)}


def assert_valid(problems: list[str]) -> None:
    """Raise one ConfigError that names all problems; return quietly when there is none."""
    if problems:
        raise ConfigError("; ".join(problems), "training", "Correct the named keys.")
