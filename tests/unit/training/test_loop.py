"""The loop: it learns, repeats, survives kills and signals, and stops on bad numbers."""

from __future__ import annotations

import copy
import itertools
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from platemae.errors import ConfigError, PlatemaeError, TrainingError
from platemae.models.registry import build
from platemae.training.loop import train
from platemae.training.monitor import WALL_CLOCK
from platemae.training.preempt import Interrupted
from platemae.training.randomness import VALIDATE, draw
from platemae.training.settings import TrainSettings

SPEC = {
    "crop_px": 16, "patch_px": 4, "width": 32, "depth": 2, "heads": 2, "layer_scale_init": 0.5, "drop_path": 0.2,
    "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2,
}  # fmt: skip
SETTINGS = TrainSettings(steps=12, global_batch=8, lr=1e-3, log_every=4, validate_every=6, checkpoint_steps=5)


def waves(step: int) -> np.ndarray:
    """Waves of random direction and phase in two related channels, (8, 2, 16, 16) uint8."""
    rng = np.random.default_rng([11, step])
    row, column = np.mgrid[:16, :16]
    (along_rows, along_columns), phase = rng.uniform(-0.6, 0.6, (2, 8, 1, 1)), rng.uniform(0, 6, (8, 1, 1))
    angle = along_rows * row + along_columns * column + phase
    return np.stack([127 + 100 * np.sin(angle), 127 + 60 * np.cos(angle)], 1).astype(np.uint8)


def forever(start: int) -> Iterator[np.ndarray]:
    """Yield the batches of step start, start + 1, ..."""
    return map(waves, itertools.count(start))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Sums in another order round differently: every run of these tests uses one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network() -> nn.Module:
    return build("mae", SPEC, 2, seed=1)


def _silent(_event: dict[str, Any]) -> None:
    pass


def _train(module: nn.Module, folder: Path, settings: TrainSettings = SETTINGS, **changes: Any) -> list[dict[str, Any]]:
    arguments: dict[str, Any] = {"batches": forever, "validation": [waves(900), waves(901)[:4]], "on_event": _silent}
    history: list[dict[str, Any]] = train(module, settings=settings, state_dir=folder, **(arguments | changes))  # type: ignore[assignment]
    return history


def _content(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in WALL_CLOCK} for row in history]


def _same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_one_batch_can_be_overfitted(tmp_path: Path) -> None:
    settings = TrainSettings(steps=200, global_batch=8, lr=2e-3, log_every=20, fourier_weight=0.0)
    spec = SPEC | {"drop_path": 0.0}
    history = _train(
        build("mae", spec, 2), tmp_path, settings, batches=lambda _: itertools.repeat(waves(0)), validation=[]
    )
    losses = [row["mse"] for row in history]
    assert losses[0] > 0.7
    assert losses[-1] < 0.5 * losses[0]


def test_history_has_a_row_per_period(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    history = _train(network(), tmp_path, on_event=events.append)
    assert [row["step"] for row in history] == [4, 6, 8, 12]
    assert [row["crops"] for row in history] == [32, 48, 64, 96]
    assert [row["val_loss"] is None for row in history] == [True, False, True, False]
    for row in history:
        assert row["loss"] == pytest.approx(0.99 * row["mse"] + 0.01 * row["fourier"], rel=1e-5)
        assert 0 <= row["data_wait_fraction"] <= 1
        assert row["crops_per_s"] > 0
    start = {"event": "start", "step": 0, "steps": 12, "world_size": 1, "device": "cpu", "history": []}
    assert events[0] == start | {"compiled": False, "sharded": False, "precision": events[0]["precision"]}
    assert [e["step"] for e in events if e["event"] == "checkpoint"] == [5, 10, 12]
    assert len(list(tmp_path.glob("step-*.pt"))) == 2


def test_first_loss_is_the_variance_of_masked_pixels(tmp_path: Path) -> None:
    """A fresh network predicts 0, so its squared error on all pixels of standardised crops is 1."""
    history = _train(network(), tmp_path, replace(SETTINGS, steps=1, fourier_weight=0.0), validation=[])
    assert history[0]["mse"] == pytest.approx(1.0, abs=0.08)


def test_runs_repeat_and_seeds_matter(tmp_path: Path) -> None:
    modules = [network() for _ in range(3)]
    seeds = (0, 0, 1)
    histories = [
        _train(m, tmp_path / str(i), replace(SETTINGS, seed=s))
        for i, (m, s) in enumerate(zip(modules, seeds, strict=True))
    ]
    assert _same(modules[0], modules[1])
    assert _content(histories[0]) == _content(histories[1])
    assert not _same(modules[0], modules[2])


class _KilledError(Exception):
    """Training ends here, without warning."""


def _dies_at(step: int) -> Callable[[int], Iterator[np.ndarray]]:
    def batches(start: int) -> Iterator[np.ndarray]:
        for number in itertools.count(start):
            if number == step:
                raise _KilledError
            yield waves(number)

    return batches


@pytest.mark.parametrize("died_at", [3, 6, 11])
def test_resuming_gives_the_same_weights_and_history(tmp_path: Path, died_at: int) -> None:
    whole, broken, resumed = network(), network(), build("mae", SPEC, 2, seed=99)
    expected = _train(whole, tmp_path / "a")
    with pytest.raises(_KilledError):
        _train(broken, tmp_path / "b", batches=_dies_at(died_at))
    start = build("mae", SPEC, 2, seed=1) if died_at < 5 else resumed  # no checkpoint yet, so the seed counts
    found = _train(start, tmp_path / "b")
    assert _same(whole, start)
    assert _content(found) == _content(expected)


def test_a_finished_state_trains_no_more(tmp_path: Path) -> None:
    done, again = network(), build("mae", SPEC, 2, seed=5)
    history = _train(done, tmp_path)
    assert _train(again, tmp_path, batches=_dies_at(0)) == history
    assert _same(done, again)


@pytest.mark.parametrize(
    ("spec", "channels", "named"),
    [(SPEC | {"depth": 3}, 2, "architecture depth"), (SPEC, 3, "architecture n_channels")],
)
def test_another_networks_state_is_refused(
    tmp_path: Path, spec: dict[str, Any], channels: int, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    _train(network(), tmp_path, replace(SETTINGS, steps=1), validation=[])
    with pytest.raises(TrainingError, match="none of 1"):
        _train(build("mae", spec, channels), tmp_path, replace(SETTINGS, steps=1), validation=[])
    assert f"other {named}" in caplog.text


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
import torch
from test_loop import SETTINGS, network, train, waves

def batches(start):
    for step in itertools.count(start):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        yield waves(step)

torch.set_num_threads(1)
train(network(), batches, [], SETTINGS, Path(sys.argv[1]))
"""


def test_kill_9_and_again_gives_the_same_bits(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    assert run_script(KILLED, str(tmp_path / "killed")).returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["step-000000005.pt"]
    whole, resumed = network(), build("mae", SPEC, 2, seed=99)
    _train(whole, tmp_path / "whole", validation=[])
    _train(resumed, tmp_path / "killed", validation=[])
    assert _same(whole, resumed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signals_stop_at_a_step_boundary(tmp_path: Path, number: signal.Signals) -> None:
    def batches(start: int) -> Iterator[np.ndarray]:
        for step in itertools.count(start):
            if step == 2:
                signal.raise_signal(number)  # to this thread: os.kill may reach another one, some steps later
            yield waves(step)

    whole, stopped = network(), network()
    _train(whole, tmp_path / "a")
    handler = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"after step 3 of 12: received {number.name}"):
        _train(stopped, tmp_path / "b", batches=batches)
    assert signal.getsignal(number) == handler
    _train(stopped, tmp_path / "b")
    assert _same(whole, stopped)


def test_nan_stops_training_and_keeps_state_and_batch(tmp_path: Path) -> None:
    def batches(start: int) -> Iterator[np.ndarray]:
        for step in itertools.count(start):
            crops = waves(step).astype(np.float32)
            if step == 7:
                crops[3, 1, 0, 0] = np.nan
            yield crops

    module, good = network(), network()
    with pytest.raises(TrainingError, match="step 7; 1 pixels") as caught:
        _train(module, tmp_path / "a", batches=batches)
    saved = np.load(caught.value.where)
    assert np.isnan(saved[3, 1, 0, 0])
    assert np.isnan(saved).sum() == 1
    with pytest.raises(_KilledError):
        _train(good, tmp_path / "b", replace(SETTINGS, checkpoint_steps=7), batches=_dies_at(7))
    assert _same(module, good)  # the weights of step 7 have not seen the bad batch
    assert (tmp_path / "a" / "step-000000007.pt").is_file()


def test_batches_that_end_or_have_another_size(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no more batches"):
        _train(network(), tmp_path, batches=lambda _: iter([waves(0)]))
    with pytest.raises(TrainingError, match="5 crops, not 8"):
        _train(network(), tmp_path, batches=lambda _: iter([waves(0)[:5]]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_and_absent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU"):
        _train(network(), tmp_path, replace(SETTINGS, device="cuda"))


def test_clipping_bounds_the_gradient(tmp_path: Path) -> None:
    """With clip and a frozen rate the logged norm is the one before clipping, and the momentum is bounded by it."""
    history = _train(network(), tmp_path, replace(SETTINGS, clip_norm=1e-3, steps=1, checkpoint_steps=1))
    state = torch.load(next(tmp_path.glob("step-*.pt")), weights_only=True)["state"]["optimizer"]["state"]
    momentum = torch.cat([s["exp_avg"].flatten() for s in state.values()]).norm()
    assert history[0]["grad_norm"] > 1e-2
    assert float(momentum) == pytest.approx(0.05 * 1e-3, rel=1e-3)  # (1 - beta2) times the clipped gradient


def test_bfloat16_stays_close(tmp_path: Path) -> None:
    rows = [
        _train(network(), tmp_path / precision, replace(SETTINGS, precision=precision))[0]
        for precision in ("float32", "bfloat16")
    ]
    assert math.isclose(rows[0]["loss"], rows[1]["loss"], rel_tol=0.03)
    assert rows[0]["loss"] != rows[1]["loss"]


def _saved(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(max(folder.glob("step-*.pt")), weights_only=True)["state"]
    return state


@pytest.mark.parametrize("accumulate", [2, 8])
def test_micro_batches_take_the_same_step(tmp_path: Path, accumulate: int) -> None:
    """After one step Lion's momentum is the gradient times 1 - beta2."""
    settings = replace(SETTINGS, steps=1, checkpoint_steps=1, precision="float32")
    histories, momenta, module = [], [], network()
    nn.init.normal_(module.decoder_pred.weight, std=0.1)  # type: ignore[union-attr, arg-type]  # all else then learns
    for count in (1, accumulate):
        folder = tmp_path / str(count)
        histories.append(_train(copy.deepcopy(module), folder, replace(settings, accumulate=count)))
        momenta.append([value["exp_avg"] for value in _saved(folder)["optimizer"]["state"].values()])
    for key in ("loss", "mse", "fourier", "grad_norm", "val_loss"):
        assert histories[1][0][key] == pytest.approx(histories[0][0][key], rel=1e-5)
    for one, other in zip(*momenta, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-8)


def test_micro_batches_must_be_equal(tmp_path: Path) -> None:
    with pytest.raises(PlatemaeError, match="accumulate 3 does not divide the 8 crops"):
        _train(network(), tmp_path, replace(SETTINGS, accumulate=3))


def test_the_moving_average_is_validated_kept_and_exported(tmp_path: Path) -> None:
    """Against a loop over the weights of every checkpoint; the average starts from the initial weights."""
    module, weights = network(), []
    average = {name: p.detach().double().clone() for name, p in module.named_parameters()}

    def on_event(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint":
            weights.append(_saved(tmp_path)["model"])

    settings = replace(SETTINGS, steps=9, ema_decay=0.5, checkpoint_steps=1, precision="float32")
    history = _train(module, tmp_path, settings, on_event=on_event)
    for step, after in enumerate(weights):
        decay = min(0.5, (1 + step) / (10 + step))
        average = {name: decay * value + (1 - decay) * after[name].double() for name, value in average.items()}
    state = _saved(tmp_path)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), average[name], rtol=1e-5, atol=1e-7)
        assert torch.equal(parameter, state["ema"][name])
        assert torch.equal(weights[-1][name], state["model"][name])
    assert not all(torch.equal(state["ema"][name], state["model"][name]) for name in state["ema"])
    finished = build("mae", SPEC, 2, seed=5)
    assert _train(finished, tmp_path, settings) == history
    assert _same(module, finished)
    x, (noise_BN, _) = waves(900), draw(0, VALIDATE, 0, 8, (16, 2), slice(None))
    only = _train(build("mae", SPEC, 2, seed=1), tmp_path / "b", settings, validation=[waves(900)])
    with torch.no_grad():
        loss = module.eval()(torch.from_numpy(x), noise_BN, None, settings.objective)[0]
    assert only[-1]["val_loss"] == pytest.approx(float(loss), rel=1e-5)


def test_history_tells_the_machines_work(tmp_path: Path) -> None:
    history = _train(network(), tmp_path / "a", step_flops=3e9)
    for before, row in zip([None, *history], history, strict=False):
        seconds = (row["crops"] - (before["crops"] if before else 0)) / row["crops_per_s"]
        steps = row["step"] - (before["step"] if before else 0)
        assert row["tflops"] == pytest.approx(3e9 * steps / seconds / 1e12)
        assert 0.05 < row["memory_gb"] < 50  # torch alone takes more, this network nothing
    assert all(row["tflops"] is None for row in _train(network(), tmp_path / "b"))
