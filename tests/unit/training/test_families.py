"""Every family of networks in the loop: it learns, resumes, and is the same however it is spread over processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from platemae.training.loop import train
from platemae.training.monitor import WALL_CLOCK
from platemae.training.preempt import Interrupted
from tests.unit.training.families import FAMILIES, STEPS, Family


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def _same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _content(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in WALL_CLOCK} for row in history]


def test_few_steps_move_every_weight_that_learns(family: Family, tmp_path: Path) -> None:
    module, fresh = family.network(), family.network().state_dict()
    history = family.fit(module, tmp_path, steps=4, validate_every=0)
    assert all(math.isfinite(row["loss"]) for row in history)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert not torch.equal(parameter, fresh[name]), name


@pytest.mark.slow
def test_200_steps_learn_a_batch(family: Family, tmp_path: Path) -> None:
    fixed, settings = family.batch(0), family.settings(steps=200, validate_every=0, lr=2e-3, log_every=20)
    history = train(family.network(), lambda _: repeat(fixed), [], settings, tmp_path, lambda _event: None)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]


def test_resuming_gives_the_same_bits(family: Family, tmp_path: Path) -> None:
    """With a moving average, micro-batches and clipping, too."""
    changes = {"ema_decay": 0.9, "accumulate": 2, "clip_norm": 0.5}
    whole, stopped, resumed = family.network(), family.network(), family.network(seed=9)
    expected = family.fit(whole, tmp_path / "a", **changes)
    with pytest.raises(Interrupted, match="after step 4"):
        family.fit(stopped, tmp_path / "b", stop_at=3, **changes)
    found = family.fit(resumed, tmp_path / "b", **changes)
    assert _same(whole, resumed)
    np.testing.assert_equal(_content(found), _content(expected))


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in float64, also what is float32 elsewhere."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["mae+", "camae", "munet"])
def test_micro_batches_take_the_step_of_the_whole_batch(name: str, tmp_path: Path) -> None:
    """Masks and stochastic depth included: random numbers belong to places in the global batch."""
    family, losses, weights = FAMILIES[name], [], []
    for accumulate in (1, 4):
        module = family.network()
        history = family.fit(module, tmp_path / str(accumulate), accumulate=accumulate, clip_norm=0.5)
        losses.append([row["loss"] for row in history])
        weights.append(_comparable(module.state_dict()))
    assert weights[0][next(iter(weights[0]))].dtype == torch.float64
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-9, atol=1e-9)


def test_blocks_computed_twice_give_the_same_bits(family: Family, tmp_path: Path) -> None:
    """Running averages count a batch once; a block computes twice as often."""
    modules, calls = [family.network(), family.network()], []
    for module, again in zip(modules, (False, True), strict=True):
        count = [0]
        inner = next(layer for layer in module.units()[0].modules() if not list(layer.children()))  # type: ignore[operator]
        hook = inner.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        family.fit(module, tmp_path / str(again), steps=3, validate_every=0, activation_checkpointing=again)
        hook.remove()
        calls.append(count[0])
        assert all("forward" not in vars(unit) for unit in module.units())  # type: ignore[operator]
    assert calls == [3, 6]
    assert _same(*modules)


RUNS: dict[str, list[tuple[int, int, dict[str, Any]]]] = {
    "ddp": [(2, -1, {"accumulate": 2})],
    "fsdp": [(2, -1, {"sharding": "fsdp", "accumulate": 2, "activation_checkpointing": True})],
    "fsdp-compiled": [(2, -1, {"sharding": "fsdp", "compile": True, "backend": "eager", "only": ["mae+", "wsl"]})],
    "fsdp-uncompiled": [(2, -1, {"sharding": "fsdp", "compile": True, "backend": "no such", "only": ["mae+", "wsl"]})],
    "1-2-1": [(1, 1, {}), (2, 3, {"sharding": "fsdp"}), (1, -1, {})],
}
"""Calls of one training: processes, the step at which they are asked to stop, settings."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a run, made when it is first asked for."""
    base, root = tmp_path_factory.mktemp("families"), Path(__file__).parents[3]

    def result(name: str) -> Path:
        folder = base / name
        for n_procs, stop_at, changes in [] if folder.exists() else {"one": [(1, -1, {})], **RUNS}[name]:
            torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={n_procs}"]
            arguments = [str(folder), str(stop_at), json.dumps({"ema_decay": 0.9, "clip_norm": 0.5} | changes)]
            line = [
                sys.executable,
                *(torchrun if n_procs > 1 else []),
                "-m",
                "tests.unit.training.families",
                *arguments,
            ]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=root, check=False)
            assert done.returncode == 0, done.stderr
            told = "torch.compile failed, training goes on without it" in done.stderr
            assert told == (changes.get("backend") == "no such"), done.stderr
        return folder

    return result


def _comparable(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out what shifts all keys of attention alike: softmax takes it away, its gradient is rounding noise."""
    kept = {name: value for name, value in weights.items() if not name.endswith("k_norm.bias")}
    for name in [name for name in kept if name.endswith("attn.qkv.bias")]:
        query, _, value = kept[name].chunk(3)
        kept[name] = torch.cat([query, value])
    return kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "name"), [(run, name) for run, calls in RUNS.items() for name in calls[0][2].get("only", FAMILIES)]
)
def test_spread_over_processes_it_is_the_same(name: str, run: str, results: Callable[[str], Path]) -> None:
    """In float64, where a sign that Lion follows turns only if there is no gradient at all."""
    expected, found = (torch.load(results(run) / f"{name}.pt", weights_only=True) for run in ("one", run))
    assert len(found["history"]) == STEPS
    for row, other in zip(expected["history"], found["history"], strict=True):
        for key in ("loss", "grad_norm", "val_loss"):
            assert other[key] == (None if row[key] is None else pytest.approx(row[key], rel=1e-10))
    weights, others = _comparable(expected["weights"]), _comparable(found["weights"])
    torch.testing.assert_close(others, weights, rtol=1e-9, atol=1e-10)
