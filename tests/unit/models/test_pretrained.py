"""timm backbones: the network timm would make, the weights of a file, and every way in which they are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from platemae.errors import ConfigError, ContractError, MissingError
from platemae.models.normalise import standardise
from platemae.models.pretrained import PAPER_BACKBONES, Pretrained, PretrainedSpec
from platemae.models.registry import build
from platemae.models.timm_gate import ensure_torchvision_importable

NAME = "test_vit"  # timm's own for tests: 64 wide, patches of 16 pixels, 160 pixels


def timms(**size: Any) -> torch.nn.Module:
    ensure_torchvision_importable()
    from timm import create_model

    torch.manual_seed(4)
    module: torch.nn.Module = create_model(NAME, pretrained=False, **size)
    return module.eval()


@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    """What timm would publish: three channels, 160 pixels, classes, a class token that is pooled."""
    state = timms(num_classes=10).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {name: t + 0.05 * torch.randn(t.shape, generator=generator) for name, t in state.items()}


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 5, 160, 160)).astype(np.uint8))


def network(channels: int = 5, crop: int = 160) -> Pretrained:
    built = build("pretrained", {"backbone": NAME, "crop_px": crop}, channels).eval()
    assert isinstance(built, Pretrained)
    return built


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_weights_of_a_file_by_hand(
    tmp_path: Path, released: dict[str, torch.Tensor], crops: torch.Tensor, form: str
) -> None:
    """Five channels are the released three in turn, each scaled by 3 / 5; the mean of all patches is the vector."""
    path = tmp_path / "weights"
    save_file(released, path) if form == "safetensors" else torch.save(released, path)
    module = network()
    module.take_weights(path)
    reference = timms(num_classes=0, in_chans=5, img_size=160, global_pool="avg")
    first = released["patch_embed.proj.weight"][:, [0, 1, 2, 0, 1]] * 3 / 5
    kept = {k: v for k, v in released.items() if not k.startswith(("head.", "norm."))}
    reference.load_state_dict(kept | {"patch_embed.proj.weight": first}, strict=False)
    expected = reference.forward_features(standardise(crops))[:, 1:].mean(1)  # type: ignore[operator]
    expected = torch.nn.functional.layer_norm(expected, (64,), eps=1e-6)
    torch.testing.assert_close(module.eval().embed(crops), expected, rtol=1e-4, atol=1e-4)


def test_another_crop_interpolates_positions(tmp_path: Path, released: dict[str, torch.Tensor]) -> None:
    save_file(released, tmp_path / "weights")
    module = network(crop=64)
    module.take_weights(tmp_path / "weights")
    assert module.net.pos_embed.shape == (1, 17, 64)  # type: ignore[union-attr]
    assert torch.equal(module.net.pos_embed[:, :1], released["pos_embed"][:, :1])  # type: ignore[index]
    x = torch.randint(0, 256, (2, 5, 64, 64), dtype=torch.uint8)
    assert module.eval().embed(x).shape == (2, 64)
    assert torch.equal(module.embed(x, "cls"), module.net.forward_features(standardise(x))[:, 0])  # type: ignore[operator]


def test_gain_and_offset_of_a_channel_do_not_matter(crops: torch.Tensor) -> None:
    module = network()
    torch.testing.assert_close(module.embed(crops.float() * 0.5 + 20), module.embed(crops), rtol=1e-2, atol=2e-3)
    torch.testing.assert_close(module.embed(crops[1:2]), module.embed(crops)[1:2], rtol=1e-4, atol=1e-5)


def test_weights_of_another_network_are_refused(tmp_path: Path, released: dict[str, torch.Tensor]) -> None:
    less = {k: v for k, v in released.items() if "blocks.1.attn" not in k}
    save_file(less, tmp_path / "less")
    with pytest.raises(ContractError, match=r"lacks .* blocks\.1\.attn"):
        network().take_weights(tmp_path / "less")
    save_file(released | {"blocks.0.mlp.fc1.weight": torch.zeros(7, 64)}, tmp_path / "shape")
    with pytest.raises(ContractError, match="do not fit test_vit"):
        network().take_weights(tmp_path / "shape")
    with pytest.raises(MissingError):
        network().take_weights(tmp_path / "nothing")
    with pytest.raises(ContractError, match="sha256"):
        network().take_weights(tmp_path / "less", "0" * 64)


def test_timm_without_a_network_names_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingError, match="cannot get the weights of test_vit") as caught:
        network().take_weights(None)
    assert "file" in caught.value.where


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "resnet18", "vit_unheard_of", "../vit", 3])
def test_names_that_are_no_vision_transformer(name: Any) -> None:
    with pytest.raises(ConfigError, match="no vision transformer"):
        PretrainedSpec(backbone=name)


def test_the_papers_backbones_are_timms() -> None:
    assert [PretrainedSpec(backbone=name).crop_px for name in PAPER_BACKBONES] == [256] * 4
    entry = {"backbone": None, "architecture": {"crop_px": 64}}
    assert Pretrained.describe(entry) == {"backbone": "vit_small_patch16_384", "crop_px": 64}
    with torch.device("meta"):
        small = Pretrained(PretrainedSpec(), 6)
    assert small.net.patch_embed.proj.weight.shape == (384, 6, 16, 16)  # type: ignore[union-attr]
    assert small.net.num_features == 384


def test_wrong_input_is_named() -> None:
    with pytest.raises(ConfigError, match="no pooling"):
        network().embed(torch.zeros(1, 5, 160, 160), "max")
    with pytest.raises(ContractError, match=r"\(1, 4, 160, 160\)"):
        network().embed(torch.zeros(1, 4, 160, 160))
    with pytest.raises(ConfigError, match="one channel"):
        network(channels=0)
