"""Settings, learning rates and the optimiser against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from platemae.errors import ConfigError
from platemae.models.registry import build
from platemae.training.optim import decays, make_lion
from platemae.training.schedule import one_cycle_lr
from platemae.training.settings import TrainSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": -1},
        {"lr": 0.0},
        {"betas": (0.9, 1.0)},
        {"warmup_fraction": 1.0},
        {"precision": "float16"},
        {"device": "tpu"},
        {"fourier_weight": 1.0},
        {"clip_norm": -1.0},
        {"checkpoint_minutes": -1.0},
        {"accumulate": 0},
        {"ema_decay": 1.0},
        {"sharding": "zero"},
    ],
)
def test_wrong_values_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainSettings(**wrong)  # type: ignore[arg-type]


def test_identity_is_what_moves_the_weights() -> None:
    settings = TrainSettings()
    assert replace(settings, log_every=3, checkpoint_minutes=1.0, device="cpu").identity() == settings.identity()
    free = {"accumulate": 4, "activation_checkpointing": True, "compile": True, "sharding": "fsdp", "device": "cpu"}
    assert replace(settings, **free).identity() == settings.identity()  # type: ignore[arg-type]
    assert replace(settings, lr=2e-4).identity() != settings.identity()
    assert replace(settings, ema_decay=0.99).identity() == settings.identity() | {"ema_decay": 0.99}
    assert "ema_decay" not in settings.identity()  # as it was before there was an average
    assert TrainSettings(betas=[0.9, 0.95]).identity() == settings.identity()  # type: ignore[arg-type]


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (37, 0.3), (1000, 0.05)])
def test_rates_equal_torchs_one_cycle(steps: int, warmup: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-4, total_steps=steps, pct_start=warmup)
    for step in range(steps):
        assert one_cycle_lr(step, steps, 3e-4, warmup) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step + 1 < steps:
            reference.step()


def test_rates_by_the_formula() -> None:
    rate = [one_cycle_lr(s, 101, 1.0, 11 / 101) for s in range(101)]
    assert rate[0] == pytest.approx(1 / 25)
    assert rate[10] == pytest.approx(1)
    assert rate[5] == pytest.approx((1 / 25 + 1) / 2)
    assert rate[40] == pytest.approx(4e-6 + (1 - 4e-6) * (1 + math.cos(math.pi / 3)) / 2)
    assert rate[100] == pytest.approx(4e-6)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_short_runs_have_rates_too(steps: int) -> None:
    rates = [one_cycle_lr(s, steps, 1.0, 0.1) for s in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[0] == 1  # no step is left for the warm-up


def test_lion_takes_the_published_step() -> None:
    """Chen et al. 2023, algorithm 2, three steps with changing gradients."""
    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((3, 4)), rng.standard_normal(3)
    layer = nn.Linear(4, 3).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    optimizer = make_lion(layer, TrainSettings(lr=0.01, weight_decay=0.1, betas=(0.8, 0.9)))
    momentum = [np.zeros_like(weight), np.zeros_like(bias)]
    for _ in range(3):
        gradients = [rng.standard_normal((3, 4)), rng.standard_normal(3)]
        layer.weight.grad, layer.bias.grad = (torch.from_numpy(g) for g in gradients)
        optimizer.step()
        weight -= 0.01 * (np.sign(0.8 * momentum[0] + 0.2 * gradients[0]) + 0.1 * weight)
        bias -= 0.01 * np.sign(0.8 * momentum[1] + 0.2 * gradients[1])  # no decay
        momentum = [0.9 * m + 0.1 * g for m, g in zip(momentum, gradients, strict=True)]
    np.testing.assert_allclose(layer.weight.detach(), weight, atol=1e-12)
    np.testing.assert_allclose(layer.bias.detach(), bias, atol=1e-12)


def test_decay_acts_on_matrices_alone() -> None:
    network = build("mae", {"crop_px": 16, "width": 16, "depth": 1, "heads": 2, "decoder_depth": 1}, 3)
    decayed = {name for name, p in network.named_parameters() if decays(name, p)}
    assert decayed == {
        name
        for name, _ in network.named_parameters()
        if name.endswith("weight") and "norm" not in name  # patch embedding and linear layers
    }
    groups = make_lion(network, TrainSettings()).param_groups
    assert [g["weight_decay"] for g in groups] == [0.05, 0.0]
    assert sum(len(g["params"]) for g in groups) == len(list(network.parameters()))
