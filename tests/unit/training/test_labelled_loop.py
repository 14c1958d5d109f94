"""The loop with a classifier: batches that carry labels, batch statistics, processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from platemae.errors import ConfigError, TrainingError
from platemae.models.registry import build
from platemae.training.loop import train
from platemae.training.monitor import WALL_CLOCK
from platemae.training.settings import TrainSettings

SPEC = {"backbone": "densenet", "crop_px": 16, "stem": 8, "growth": 4, "blocks": "1-1", "embedding": 12, "n_classes": 3}
SETTINGS = TrainSettings(steps=60, global_batch=24, lr=2e-3, log_every=20, checkpoint_steps=7, precision="float32")


def labelled(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise that is smooth along no, one or both axes, by class; each batch (domain) has a gain of its own."""
    rng = np.random.default_rng([5, step])
    label = np.arange(24) % 3
    shapes = [(1, 16, 16), (1, 1, 16), (1, 16, 1)]
    noise = np.stack([np.broadcast_to(rng.normal(size=shapes[k]), (2, 16, 16)) for k in label])
    crops = 120 + 20 * noise + rng.uniform(5, 40) * rng.normal(size=(24, 2, 16, 16))
    return crops.clip(0, 255).astype(np.uint8), label


def forever(start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return map(labelled, itertools.count(start))


def network() -> nn.Module:
    return build("wsl", SPEC, 2, seed=1)


def run(folder: Path, module: nn.Module, settings: TrainSettings = SETTINGS, **more: Any) -> list[dict[str, Any]]:
    arguments: dict[str, Any] = {"batches": forever, "validation": [labelled(900)]} | more
    return train(module, settings=settings, state_dir=folder, on_event=lambda _event: None, **arguments)  # type: ignore[return-value]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_loss_falls_and_unseen_crops_are_told_apart(tmp_path: Path) -> None:
    module = network()
    history = run(tmp_path, module)
    assert history[-1]["loss"] < 0.7 * np.log(3)
    assert history[-1]["val_loss"] < 0.8 * np.log(3)
    x, label = labelled(901)
    right = module.eval().classify(torch.from_numpy(x)).argmax(1).numpy() == label  # type: ignore[operator]
    assert right.mean() > 0.7


def test_resuming_gives_the_same_bits_statistics_included(tmp_path: Path) -> None:
    def dies(start: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return itertools.islice(forever(start), 10 - start)

    settings = TrainSettings(**(SETTINGS.__dict__ | {"steps": 16}))
    whole, broken, resumed = network(), network(), build("wsl", SPEC, 2, seed=9)
    expected = run(tmp_path / "a", whole, settings)
    with pytest.raises(TrainingError, match="no more batches"):
        run(tmp_path / "b", broken, settings, batches=dies)
    found = run(tmp_path / "b", resumed, settings)
    states = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    told = [[{k: v for k, v in row.items() if k not in WALL_CLOCK} for row in rows] for rows in (expected, found)]
    np.testing.assert_equal(told[0], told[1])


def test_micro_batches_would_have_statistics_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="statistics of its own"):
        run(tmp_path, network(), TrainSettings(**(SETTINGS.__dict__ | {"accumulate": 2})))


TRAIN_CODE = """
import sys
from pathlib import Path
import torch
from test_labelled_loop import SETTINGS, TrainSettings, labelled, network, run
from platemae.training.distributed import ranks
from itertools import count

mine = ranks()
share = slice(mine.rank * 24 // mine.world_size, (mine.rank + 1) * 24 // mine.world_size)

def batches(start):
    for step in count(start):
        x, label = labelled(step)
        yield x[share], label[share]

torch.set_num_threads(1)
module = network()
run(Path(sys.argv[1]), module, TrainSettings(**(SETTINGS.__dict__ | {"steps": 5})), batches=batches)
if mine.is_main:
    torch.save(module.state_dict(), sys.argv[2])
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    """Batch statistics are of the global batch, so they and the weights are those of one process."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    states = []
    for name, launcher in (("one", ()), ("two", torchrun)):
        done = run_script(TRAIN_CODE, str(tmp_path / name), str(tmp_path / f"{name}.pt"), launcher=launcher)
        assert done.returncode == 0, done.stderr
        states.append(torch.load(tmp_path / f"{name}.pt", weights_only=True))
    for name, tensor in states[0].items():
        if "running" in name:
            torch.testing.assert_close(states[1][name], tensor, rtol=1e-5, atol=1e-5)
    moved = torch.cat([(states[0][n] - states[1][n]).abs().flatten() for n in states[0] if "running" not in n])
    # Lion moves by the sign of its momentum: a rounding that turns a sign moves one weight by two steps.
    assert float((moved > 1e-5).float().mean()) < 0.01
