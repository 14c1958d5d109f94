"""Ranks, shares of a batch, and two processes against one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed as dist

from platemae.data.crops import default_cache_bytes
from platemae.errors import ConfigError, TrainingError
from platemae.models.registry import build
from platemae.models.settings import architecture
from platemae.training.distributed import Ranks, choose_device, process_group, ranks
from platemae.training.launch import command, launch
from platemae.training.randomness import TRAIN, VALIDATE, draw
from platemae.training.sharding import shards

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert ranks() == Ranks(0, 1, 0)
    assert ranks().is_main
    assert ranks().neighbours == 1


def test_memory_is_shared_by_the_processes_of_a_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines with four processes each: a process has a quarter of what a machine has, not an eighth."""
    for name, value in zip(VARIABLES, "5814", strict=True):
        monkeypatch.setenv(name, value)
    mine = ranks()
    assert mine == Ranks(5, 8, 1, 4)
    assert mine.neighbours == 4
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**32))
    assert default_cache_bytes(mine.neighbours) == 2**32 / 4 / 4


@pytest.mark.parametrize(
    "values",
    [("1", "2", None, "2"), ("2", "2", "0", "2"), ("x", "2", "0", "2"), ("0", "2", "1", "2"), ("1", "2", "1", "1")],
)
def test_half_an_environment_is_refused(values: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, values, strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError):
        ranks()


def test_parts_tile_the_batch() -> None:
    rows = [row for rank in range(3) for row in range(12)[Ranks(rank, 3).part(12)]]
    assert rows == list(range(12))
    with pytest.raises(ConfigError, match="multiple of 5"):
        Ranks(0, 5).part(12)


def test_micro_batches_tile_the_part() -> None:
    mine = Ranks(1, 2)
    rows = [row for micro in mine.micro_batches(12, 3) for row in range(12)[mine.part(12)][micro]]
    assert rows == [6, 7, 8, 9, 10, 11]
    for count in (4, 7):
        with pytest.raises(ConfigError, match=f"accumulate {count}"):
            mine.micro_batches(12, count)


def test_large_networks_are_held_in_parts_by_several_gpus() -> None:
    """By parameters: ViT-L with its decoder is large, ViT-B and CA-MAE B/16 are not."""
    gpu, two = torch.device("cuda"), Ranks(0, 2)
    with torch.device("meta"):
        large, small = (build("mae", architecture(preset).to_dict(), 6) for preset in ("vit_l16", "vit_b8"))
        channels = build("camae", architecture("camae_b16").to_dict(), 6)
    assert [shards("auto", net, two, gpu) for net in (large, small, channels)] == [True, False, False]
    assert not shards("auto", large, two, torch.device("cpu"))
    assert not shards("ddp", large, two, gpu)
    assert shards("fsdp", small, two, torch.device("cpu"))
    assert not shards("fsdp", large, Ranks(), gpu)


def test_one_machine_may_copy_plates_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own patience with GPUs, ten minutes, is less than a copy of 200 GB and its check take."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(dist, "init_process_group", lambda _backend, **more: asked.update(more))
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    with process_group(Ranks(0, 2), torch.device("cpu")):
        pass
    assert asked["timeout"] >= timedelta(hours=1)


def test_cpu_is_the_cpu() -> None:
    assert choose_device("cpu", Ranks()) == torch.device("cpu")


def test_noise_does_not_depend_on_the_number_of_processes() -> None:
    whole, depth = draw(3, TRAIN, 17, 8, (16, 4), slice(None))
    parts = [draw(3, TRAIN, 17, 8, (16, 4), Ranks(rank, 4).part(8)) for rank in range(4)]
    assert torch.equal(torch.cat([p[0] for p in parts]), whole)
    assert depth is not None
    assert torch.equal(torch.cat([p[1] for p in parts if p[1] is not None]), depth)
    for other in ((4, TRAIN, 17), (3, VALIDATE, 17), (3, TRAIN, 18)):
        assert not torch.equal(draw(*other, 8, (16, 4), slice(None))[0], whole)
    assert draw(3, TRAIN, 17, 8, (16, 0), slice(None))[1] is None


TRAIN_CODE = """
import itertools, json, os, signal, sys
from pathlib import Path
from dataclasses import replace
import torch
from test_loop import SETTINGS, network, train, waves
from platemae.training.distributed import ranks
from platemae.training.preempt import Interrupted

folder, stop_at = Path(sys.argv[1]), int(sys.argv[2])
mine = ranks()

def batches(start):
    for step in itertools.count(start):
        if step == stop_at and mine.rank == mine.world_size - 1:
            signal.raise_signal(signal.SIGUSR1)
        yield waves(step)[mine.part(8)]

torch.set_num_threads(1)
module = network()
settings = replace(SETTINGS, lr=1e-4, steps=6, log_every=1, validate_every=3)
try:
    history = train(module, batches, [waves(900), waves(901)[:4], waves(902)], settings, folder)
except Interrupted as stopped:
    if mine.is_main:
        (folder / "stopped.txt").write_text(str(stopped))
    sys.exit(3)
if mine.is_main:
    (folder / "history.json").write_text(json.dumps(history))
    torch.save(module.state_dict(), folder / "weights")
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def _assert_equal_training(one: Path, other: Path) -> None:
    rows = [json.loads((folder / "history.json").read_text()) for folder in (one, other)]
    for expected, found in zip(*rows, strict=True):
        for key in ("loss", "mse", "fourier", "grad_norm"):
            assert found[key] == pytest.approx(expected[key], rel=2e-5)
        if expected["val_loss"] is not None:
            assert found["val_loss"] == pytest.approx(expected["val_loss"], rel=2e-5)
    weights = [torch.load(folder / "weights", weights_only=True) for folder in (one, other)]
    # Lion moves by the sign: where a gradient is 0 but for rounding, a step of at most 1e-4 may go the other way.
    distances = torch.cat([(weights[0][name] - weights[1][name]).abs().flatten() for name in weights[0]])
    assert float((distances > 1e-6).float().mean()) < 0.01
    assert float(distances.mean()) < 1e-6
    assert float(distances.max()) < 2 * 6 * 1e-4


def test_two_processes_equal_one(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    for name, launcher in (("one", ()), ("two", TORCHRUN)):
        done = run_script(TRAIN_CODE, str(tmp_path / name), "-1", launcher=launcher)
        assert done.returncode == 0, done.stderr
    _assert_equal_training(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_two_processes_stop_together_and_one_goes_on(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    """A signal to the second process stops both, after a checkpoint; one process can go on from there."""
    stopped = run_script(TRAIN_CODE, str(tmp_path / "mixed"), "2", launcher=TORCHRUN)
    assert stopped.returncode != 0
    assert "after step 3 of 6" in (tmp_path / "mixed" / "stopped.txt").read_text()
    for name in ("mixed", "one"):
        assert run_script(TRAIN_CODE, str(tmp_path / name), "-1").returncode == 0
    _assert_equal_training(tmp_path / "one", tmp_path / "mixed")


def test_one_process_needs_no_torchrun() -> None:
    assert command(["-m", "x"], 1) == [sys.executable, "-m", "x"]
    assert command(["-m", "x"], 4)[1:] == [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=4",
        "-m",
        "x",
    ]


def test_launch_reports_failure(tmp_path: Path) -> None:
    launch(["-c", "pass"], 1)
    with pytest.raises(TrainingError, match="code 5"):
        launch(["-c", "raise SystemExit(5)"], 1)


LAUNCHER = """
import sys
from platemae.training.launch import launch
from platemae.training.preempt import Interrupted
try:
    launch(sys.argv[2:], int(sys.argv[1]))
except Interrupted as stopped:
    print(stopped)
    sys.exit(7)
"""
SLEEPER = """
import sys, time
from pathlib import Path
from platemae.training.preempt import catch_signals
with catch_signals() as stop:
    Path(sys.argv[1]).touch()
    while not stop.reason():
        time.sleep(0.02)
Path(sys.argv[1]).write_text(stop.reason())
sys.exit(3)
"""


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("n_procs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_signals_are_handed_on(tmp_path: Path, n_procs: int) -> None:
    sleeper, flag = tmp_path / "sleeper.py", tmp_path / "flag"
    sleeper.write_text(SLEEPER)
    line = [sys.executable, "-c", LAUNCHER, str(n_procs), str(sleeper), str(flag)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        _wait_for(flag.exists)
        process.send_signal(signal.SIGUSR1)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "SIGUSR1" in out
    assert "received" in flag.read_text()


def test_a_killed_launcher_leaves_no_orphans(tmp_path: Path) -> None:
    sleeper, flag = tmp_path / "sleeper.py", tmp_path / "flag"
    sleeper.write_text(SLEEPER)
    with subprocess.Popen([sys.executable, "-c", LAUNCHER, "1", str(sleeper), str(flag)]) as process:
        _wait_for(flag.exists)
        process.kill()
    _wait_for(lambda: "gone" in flag.read_text())
