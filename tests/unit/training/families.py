"""Every family of networks at a tiny width, and what it learns from; as a script, all of them one after another."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from platemae.models.registry import build
from platemae.training import compiling
from platemae.training.distributed import Ranks, ranks
from platemae.training.loop import train
from platemae.training.preempt import Interrupted
from platemae.training.settings import TrainSettings
from tests.unit.training.test_labelled_loop import labelled
from tests.unit.training.test_loop import SPEC, waves

STEPS = 6


@dataclass
class Family:
    """A kind of network, its batches and its settings."""

    kind: str
    spec: dict[str, Any]
    batch: Callable[[int], Any] = waves
    train: dict[str, Any] = field(default_factory=dict)

    def network(self, seed: int = 1) -> nn.Module:
        """Make the network."""
        return build(self.kind, self.spec, 2, seed)

    def settings(self, **changes: Any) -> TrainSettings:
        """Return the settings, with changes; what cuts batches is left out where they cannot be."""
        own = {"steps": STEPS, "global_batch": 24 if self.labelled else 8, "lr": 1e-3, "precision": "float32"}
        own |= {"log_every": 1, "validate_every": 3, "checkpoint_minutes": 0, "device": "cpu"}
        more = {k: v for k, v in changes.items() if not (k == "accumulate" and self.labelled)}
        return TrainSettings(**(own | self.train | more))

    @property
    def labelled(self) -> bool:
        """Whether batches carry labels."""
        return self.kind == "wsl"

    def batches(self, mine: Ranks, stop_at: int = -1) -> Callable[[int], Iterator[Any]]:
        """Return the batches of one process, which is asked to stop while it gets that of step ``stop_at``."""
        part = mine.part(self.settings().global_batch)

        def stream(start: int) -> Iterator[Any]:
            for step in itertools.count(start):
                if step == stop_at and mine.is_main:
                    signal.raise_signal(signal.SIGUSR1)
                batch = self.batch(step)
                yield tuple(values[part] for values in batch) if self.labelled else batch[part]

        return stream

    def fit(self, module: nn.Module, folder: Path, stop_at: int = -1, **changes: Any) -> list[dict[str, Any]]:
        """Train in this process."""
        settings, batches = self.settings(**changes), self.batches(ranks(), stop_at)
        checked = [self.batch(900), self.batch(901)] if settings.validate_every else []
        history: list[dict[str, Any]] = train(module, batches, checked, settings, folder, lambda _event: None)  # type: ignore[assignment]
        return history


_VIT = {key: value for key, value in SPEC.items() if not key.startswith("decoder")}
_CLASSES = {"embedding": 12, "n_classes": 3}
FAMILIES = {
    "mae": Family("mae", SPEC, train={"fourier_weight": 0.0}),
    "mae+": Family("mae", SPEC),
    "camae": Family("camae", SPEC | {"cross_heads": 2}),
    "munet": Family(
        "munet",
        {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 1, "norm_groups": 4},
        train={"mask_ratio": 0.25},
    ),
    "wsl": Family(
        "wsl", _CLASSES | {"backbone": "densenet", "crop_px": 16, "stem": 8, "growth": 4, "blocks": "1-1"}, labelled
    ),
    "vit_wsl": Family("wsl", _CLASSES | {"backbone": "vit"} | _VIT, labelled),
}


def main(folder: Path, stop_at: int, changes: dict[str, Any]) -> None:
    """Train all families in float64 under torchrun or alone, and keep histories and weights."""
    torch.set_num_threads(1)
    if changes.pop("double", True):  # the compiler sees through the second line
        torch.set_default_dtype(torch.float64)
        torch.Tensor.float = torch.Tensor.double  # type: ignore[assignment]  # what is computed in float32 elsewhere
    mine = ranks()
    compiling.BACKEND = changes.pop("backend", compiling.BACKEND)
    if mine.world_size > 1:
        dist.init_process_group("nccl" if changes.get("device") == "cuda" else "gloo")
    for name in changes.pop("only", FAMILIES):
        family = FAMILIES[name]
        module = family.network()
        try:
            history = family.fit(module, folder / name, stop_at, **changes)
        except Interrupted:
            continue
        if mine.is_main:
            torch.save({"history": history, "weights": module.state_dict()}, folder / f"{name}.pt")
    if mine.world_size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
