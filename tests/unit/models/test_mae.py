"""The whole network: invariances, pooling, reconstruction, operations counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from platemae.errors import ConfigError, ContractError
from platemae.models import blocks
from platemae.models.flops import encoder_flops, training_flops
from platemae.models.mae import MAE
from platemae.models.registry import REGISTRY, build, resolve
from platemae.models.settings import PRESETS, Architecture, Objective, architecture

SMALL = {
    "crop_px": 16, "patch_px": 4, "width": 32, "depth": 3, "heads": 2, "layer_scale_init": 0.3, "drop_path": 0.5,
    "decoder_width": 24, "decoder_depth": 2, "decoder_heads": 2,
}  # fmt: skip


@pytest.fixture
def mae() -> MAE:
    network = build("mae", SMALL, 3)
    assert isinstance(network, MAE)
    generator = torch.Generator().manual_seed(2)
    torch.nn.init.normal_(network.decoder_pred.weight, std=0.1, generator=generator)  # a fresh one predicts 0
    return network


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16)).astype(np.uint8))


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.rand(5, 16, generator=torch.Generator().manual_seed(0))


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build("mae", SMALL, 3, seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build("untrained", SMALL, 3, seed=4).state_dict(), build("mae", SMALL, 3, seed=5).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["encoder.patch_embed.proj.weight"], other["encoder.patch_embed.proj.weight"])


def test_a_fresh_network_predicts_the_mean(crops: torch.Tensor, noise: torch.Tensor) -> None:
    shown = build("mae", SMALL, 3).reconstruct(crops, noise)  # type: ignore[operator]
    assert not shown.reconstruction[torch.isnan(shown.masked)].any()


def test_samples_do_not_see_each_other(mae: MAE, crops: torch.Tensor, noise: torch.Tensor) -> None:
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(mae.embed(crops[order]), mae.embed(crops)[order], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mae.embed(crops[2:3]), mae.embed(crops)[2:3], rtol=1e-5, atol=1e-5)
    parts = torch.stack([mae(crops[i : i + 1], noise[i : i + 1]).total for i in range(5)])
    torch.testing.assert_close(parts.mean(), mae(crops, noise).total, rtol=1e-5, atol=1e-5)


def test_encoder_does_not_see_masked_patches(mae: MAE, crops: torch.Tensor, noise: torch.Tensor) -> None:
    patches = mae.patches(crops)
    hidden = noise.argsort(1)[:, 4:]
    changed = patches.scatter(1, hidden[..., None].expand(-1, -1, patches.shape[-1]), 99.0)
    kept = noise.argsort(1)[:, :4]
    assert torch.equal(mae.encoder(patches, kept), mae.encoder(changed, kept))


def test_order_of_visible_patches_is_carried_by_positions(mae: MAE, crops: torch.Tensor) -> None:
    patches = mae.patches(crops)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0)).expand(5, -1)
    shuffled, plain = mae.encoder(patches, order), mae.encoder(patches)
    torch.testing.assert_close(shuffled[:, 1:], plain[:, 1:][:, order[0]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shuffled[:, 0], plain[:, 0], rtol=1e-4, atol=1e-5)


def test_pooling(mae: MAE, crops: torch.Tensor) -> None:
    tokens = mae.encode(crops)
    assert tokens.shape == (5, 17, 32)
    torch.testing.assert_close(mae.embed(crops), sum(tokens[:, 1 + i] for i in range(16)) / 16)
    torch.testing.assert_close(mae.embed(crops, "cls"), tokens[:, 0])
    with pytest.raises(ConfigError, match="pooling"):
        mae.embed(crops, "max")


def test_embedding_ignores_gain_and_offset_and_training_mode(mae: MAE, crops: torch.Tensor) -> None:
    halved = crops.float() * 0.5 + 20
    torch.testing.assert_close(mae.embed(halved), mae.embed(crops), rtol=1e-2, atol=2e-3)
    assert torch.equal(mae.train().embed(crops), mae.eval().embed(crops))


def test_final_norm_is_of_the_whole_token() -> None:
    network = build("mae", SMALL | {"final_norm": "layer"}, 3)
    tokens = network.encode(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))  # type: ignore[operator]
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 17), atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens.var(-1, unbiased=False), torch.ones(2, 17), atol=1e-3, rtol=0)
    assert "encoder.norm.weight" not in build("mae", SMALL, 3).state_dict()


def test_reconstruction_shows_what_the_loss_measures(mae: MAE, crops: torch.Tensor, noise: torch.Tensor) -> None:
    shown = mae.reconstruct(crops, noise, 0.75)
    hidden = torch.isnan(shown.masked)
    assert float(hidden.float().mean()) == 0.75
    assert torch.equal(shown.masked[~hidden], shown.target[~hidden])
    assert torch.equal(shown.reconstruction[~hidden], shown.target[~hidden])
    error = (shown.reconstruction - shown.target)[hidden].square().mean()
    torch.testing.assert_close(error, mae(crops, noise, None, Objective(fourier_weight=0.0)).mse)


def test_stochastic_depth_comes_from_its_noise_alone(mae: MAE, crops: torch.Tensor, noise: torch.Tensor) -> None:
    assert mae.noise_sizes == (16, 3)
    never = torch.full((5, 3), 0.99)
    always = torch.zeros(5, 3)
    assert mae(crops, noise).total != mae(crops, noise, never).total  # survivors are scaled up
    assert mae(crops, noise, always).total == mae(crops, noise, always).total


def test_every_weight_learns(mae: MAE, crops: torch.Tensor, noise: torch.Tensor) -> None:
    mae(crops, noise, torch.rand(5, 3, generator=torch.Generator().manual_seed(1))).total.backward()
    silent = [name for name, p in mae.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_wrong_crops_are_named(mae: MAE, noise: torch.Tensor) -> None:
    with pytest.raises(ContractError, match=r"\(5, 2, 16, 16\)"):
        mae(torch.zeros(5, 2, 16, 16), noise)


@pytest.mark.parametrize("spec", [PRESETS["tiny"], architecture("vit_b8", crop_px=64, depth=2, decoder_depth=3)])
def test_operations_equal_torchs_count(spec: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "attend", blocks.attend_matmul)  # the counter knows no fused kernel of the CPU
    network = MAE(spec, 6)
    crop, noise = torch.zeros(1, 6, spec.crop_px, spec.crop_px), torch.rand(1, spec.n_patches)
    with FlopCounterMode(display=False) as counter:
        network(crop, noise, None, Objective(0.75, 0.0))
    assert counter.get_total_flops() == training_flops(spec, 6, 0.75).total
    with FlopCounterMode(display=False) as counter:
        network.embed(crop)
    assert counter.get_total_flops() == encoder_flops(spec, 6, spec.n_patches)


def test_registry_names_resolve_and_unknown_ones_are_refused() -> None:
    assert all(issubclass(resolve(kind), torch.nn.Module) for kind in REGISTRY)
    with pytest.raises(ConfigError, match="'vae'"):
        build("vae", SMALL, 3)
    with pytest.raises(ConfigError, match="channel"):
        build("mae", SMALL, 0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"widht": 32}, "widht"),
        ({"patch_px": 5}, "patch_px"),
        ({"heads": 3}, "heads"),
        ({"width": "32"}, "width"),
        ({"depth": True}, "depth"),
        ({"depth": 0}, "depth"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"final_norm": "batch"}, "final_norm"),
    ],
)
def test_wrong_architectures_are_named(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Architecture.from_dict(SMALL | wrong)


def test_presets_take_overrides() -> None:
    assert architecture("vit_s16", crop_px=128).n_patches == 64
    assert Architecture.from_dict(PRESETS["tiny"].to_dict()) == PRESETS["tiny"]
    with pytest.raises(ConfigError, match="vit_h14"):
        architecture("vit_h14")
