"""MU-Net: what is masked stays unseen, the loss is that of the masked pixels, sizes are as the presets say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from platemae.errors import ConfigError, ContractError
from platemae.models.flops import counted_flops
from platemae.models.munet import PRESETS, MUNet, MUNetSpec
from platemae.models.normalise import standardise
from platemae.models.registry import build
from platemae.models.settings import Objective

SMALL = {"crop_px": 16, "patch_px": 4, "width": 8, "levels": 2, "convs": 2, "norm_groups": 2}


@pytest.fixture
def munet() -> MUNet:
    network = build("munet", SMALL, 3, seed=1)
    assert isinstance(network, MUNet)
    torch.nn.init.normal_(network.unet.head.weight, std=0.3, generator=torch.Generator().manual_seed(2))
    return network


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)).astype(np.uint8))


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.rand(4, 16, generator=torch.Generator().manual_seed(0))


def test_level_by_level_by_hand(munet: MUNet, crops: torch.Tensor) -> None:
    """The same weights applied one functional call at a time, skips joined by hand."""
    w = munet.state_dict()

    def stage(x: torch.Tensor, name: str) -> torch.Tensor:
        for index in (0, 3):
            x = F.conv2d(x, w[f"unet.{name}.{index}.weight"], padding=1)
            x = F.gelu(F.group_norm(x, 2, w[f"unet.{name}.{index + 1}.weight"], w[f"unet.{name}.{index + 1}.bias"]))
        return x

    def grow(x: torch.Tensor, name: str) -> torch.Tensor:
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return F.conv2d(x, w[f"unet.{name}.weight"], w[f"unet.{name}.bias"], padding=1)

    top = stage(standardise(crops), "down.0")
    middle = stage(F.max_pool2d(top, 2), "down.1")
    bottom = stage(F.max_pool2d(middle, 2), "down.2")
    up = stage(torch.cat([middle, grow(bottom, "widen.0")], 1), "up.0")
    up = stage(torch.cat([top, grow(up, "widen.1")], 1), "up.1")
    expected = F.conv2d(up, w["unet.head.weight"], w["unet.head.bias"])
    torch.testing.assert_close(munet.unet(standardise(crops)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(munet.embed(crops), bottom.mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [0.25, 0.75])
def test_the_loss_is_the_error_on_masked_pixels(
    munet: MUNet, crops: torch.Tensor, noise: torch.Tensor, ratio: float
) -> None:
    target, masked, filled = munet.reconstruct(crops, noise, ratio)
    hidden = torch.isnan(masked)
    assert float(hidden.float().mean()) == ratio
    assert torch.equal(filled[~hidden], target[~hidden])
    error = (filled - target)[hidden].square().mean()
    torch.testing.assert_close(munet(crops, noise, None, Objective(ratio, 0.0)).total, error)
    mixed = munet(crops, noise, None, Objective(ratio, 0.1))
    assert mixed.fourier > 0
    torch.testing.assert_close(mixed.total.detach(), 0.9 * mixed.mse + 0.1 * mixed.fourier)


def test_masked_pixels_are_not_seen(munet: MUNet, crops: torch.Tensor, noise: torch.Tensor) -> None:
    target, masked, filled = munet.reconstruct(crops, noise, 0.5)
    seen = munet.unet(torch.where(torch.isnan(masked), 0.0, target))
    hidden = torch.isnan(masked)
    torch.testing.assert_close(filled[hidden], seen[hidden])


def test_samples_do_not_see_each_other(munet: MUNet, crops: torch.Tensor) -> None:
    torch.testing.assert_close(munet.embed(crops[2:3]), munet.embed(crops)[2:3], rtol=1e-5, atol=1e-5)
    assert torch.equal(munet.train().embed(crops), munet.eval().embed(crops))
    assert munet.embed(crops).shape == (4, 32)


def test_every_weight_learns(munet: MUNet, crops: torch.Tensor, noise: torch.Tensor) -> None:
    munet(crops, noise, None, Objective(0.25, 0.01)).total.backward()
    assert not [name for name, p in munet.named_parameters() if p.grad is None or not p.grad.any()]


def test_a_fresh_network_predicts_the_mean(crops: torch.Tensor, noise: torch.Tensor) -> None:
    target, masked, _ = build("munet", SMALL, 3).reconstruct(crops, noise)  # type: ignore[operator]
    loss = build("munet", SMALL, 3)(crops, noise, None, Objective(0.25, 0.0)).total
    torch.testing.assert_close(loss.detach(), target[torch.isnan(masked)].square().mean())


def test_sizes_of_the_presets() -> None:
    with torch.device("meta"):
        sizes = {name: sum(p.numel() for p in MUNet(spec, 6).parameters()) for name, spec in PRESETS.items()}
    assert sizes == {"munet_tiny": 70454, "munet_m": 50321894, "munet_l": 138343622}
    assert [PRESETS[name].widths[-1] for name in PRESETS] == [64, 1024, 2048]


def test_operations_are_those_of_a_real_pass(munet: MUNet, crops: torch.Tensor, noise: torch.Tensor) -> None:
    with FlopCounterMode(display=False) as counter:
        munet(crops[:1], noise[:1], None, Objective(0.25, 0.0))
    assert counted_flops(munet) == counter.get_total_flops()
    first = 2 * 16 * 16 * 3 * 9 * 8  # one of the convolutions, 2 a multiply-add
    assert counted_flops(munet) > first


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"wide": 3}, "wide"),
        ({"levels": 5}, "levels"),
        ({"patch_px": 5}, "patch_px"),
        ({"width": 9}, "norm_groups"),
        ({"convs": 0}, "convs"),
        ({"width": "32"}, "width"),
    ],
)
def test_wrong_architectures_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        build("munet", SMALL | wrong, 3)


def test_presets_take_overrides_and_wrong_input_is_named(munet: MUNet) -> None:
    entry = {"preset": "munet_m", "architecture": {"crop_px": 64}}
    assert MUNet.describe(entry)["crop_px"] == 64
    assert MUNetSpec(**MUNet.describe(entry)).levels == 5
    with pytest.raises(ConfigError, match="no preset 'tiny'"):
        MUNet.describe(entry | {"preset": "tiny"})
    with pytest.raises(ConfigError, match="no pooling 'cls'"):
        munet.embed(torch.zeros(1, 3, 16, 16), "cls")
    with pytest.raises(ContractError, match=r"\(1, 2, 16, 16\)"):
        munet.embed(torch.zeros(1, 2, 16, 16))
    with pytest.raises(ConfigError, match="one channel"):
        build("munet", SMALL, 0)
