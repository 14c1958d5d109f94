"""Encoder parts: sizes of the paper, positions, masking, patches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from platemae.models.masking import mask_from_noise, n_kept, restore, take
from platemae.models.normalise import standardise, to_image, to_patches
from platemae.models.positions import sincos_positions
from platemae.models.settings import PRESETS, Architecture
from platemae.models.vit import Decoder, ViT

# PAPER.md 1.2, trainable parameters of the encoder in millions
PAPER_MILLIONS = {"vit_s16": 21.87, "vit_b16": 86.20, "vit_b8": 85.32, "vit_l16": 303.79, "vit_l8": 302.61}


def _millions(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6


@pytest.mark.parametrize("preset", PAPER_MILLIONS)
def test_encoder_has_the_papers_size(preset: str) -> None:
    with torch.device("meta"):
        assert _millions(ViT(PRESETS[preset], 6)) == pytest.approx(PAPER_MILLIONS[preset], abs=0.006)


def test_decoder_has_the_papers_size() -> None:
    with torch.device("meta"):
        assert _millions(Decoder(PRESETS["vit_s16"])) == pytest.approx(25.22, abs=0.006)


@pytest.mark.parametrize("depth", [1, 3])
def test_the_decoder_gives_what_all_its_tokens_through_all_its_blocks_give(depth: int) -> None:
    torch.manual_seed(0)
    decoder = Decoder(Architecture(crop_px=16, patch_px=4, decoder_width=16, decoder_depth=depth, decoder_heads=2))
    decoder.double()
    mask = mask_from_noise(torch.rand(3, 16), 0.75)
    x_BTE = torch.randn(3, 5, 16, dtype=torch.float64)
    all_BTE = decoder.mask_token.expand(3, 17, 16).clone()
    for sample, keep_K in enumerate(mask.keep_BK.tolist()):
        all_BTE[sample, [0, *(1 + place for place in keep_K)]] = x_BTE[sample]
    all_BTE = all_BTE + decoder.pos_embeddings
    for block in decoder.blocks:
        all_BTE = block(all_BTE)
    expected = decoder.norm(torch.stack([x[1 + i] for x, i in zip(all_BTE, mask.hidden_BM, strict=True)]))
    torch.testing.assert_close(decoder(x_BTE, mask), expected, rtol=1e-10, atol=1e-10)


def test_positions_follow_the_formula() -> None:
    side, width = 3, 16
    table = sincos_positions(side, width)[0].numpy()
    assert table.shape == (10, 16)
    assert not table[0].any()
    for row in range(side):
        for column in range(side):
            for k in range(4):
                w = 10000.0 ** (-k / 4)
                expected = [math.sin(row * w), math.cos(row * w), math.sin(column * w), math.cos(column * w)]
                np.testing.assert_allclose(table[1 + row * side + column][k::4], expected, atol=1e-6)


def test_mask_by_hand() -> None:
    noise = torch.tensor([[0.9, 0.1, 0.5, 0.3], [0.2, 0.8, 0.1, 0.9]])
    mask = mask_from_noise(noise, 0.5)
    assert mask.keep_BK.tolist() == [[1, 3], [2, 0]]
    assert mask.hidden_BM.tolist() == [[2, 0], [1, 3]]
    x = torch.arange(8.0).view(2, 4, 1)
    visible, hidden = take(x, mask.keep_BK), take(x, mask.hidden_BM)
    torch.testing.assert_close(restore(visible, hidden, mask.restore_BN), x)
    assert restore(visible, torch.full_like(hidden, -1), mask.restore_BN)[0, :, 0].tolist() == [-1, 1, -1, 3]


def test_constant_noise_is_reproducible_and_keeps_the_first() -> None:
    mask = mask_from_noise(torch.full((2, 64), 0.5), 0.75)
    assert mask.keep_BK.tolist() == [list(range(16))] * 2


@pytest.mark.parametrize(("n", "ratio", "kept"), [(256, 0.75, 64), (1024, 0.75, 256), (64, 0.25, 48), (4, 0.99, 1)])
def test_number_of_visible_patches(n: int, ratio: float, kept: int) -> None:
    assert n_kept(n, ratio) == kept


def test_masks_are_uniform_over_patches() -> None:
    noise = torch.rand(4000, 16, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(mask_from_noise(noise, 0.75).keep_BK.flatten(), minlength=16).numpy()
    assert np.abs(counts - 1000).max() < 5 * math.sqrt(4000 * 0.25 * 0.75)


def test_standardise_equals_numpy_and_survives_blank_channels() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
    x[1, 2] = 7
    unit = x.astype(np.float64) / 255
    mean, variance = unit.mean((2, 3), keepdims=True), unit.var((2, 3), keepdims=True)
    found = standardise(torch.from_numpy(x)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (unit - mean) / np.sqrt(variance + 1e-5), atol=2e-5)
    assert not found[1, 2].any()


def test_patches_by_slicing_and_back() -> None:
    x = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    patches = to_patches(x, 4)
    assert patches.shape == (2, 4, 48)
    torch.testing.assert_close(patches[1, 2], x[1, :, 4:8, 0:4].flatten())
    torch.testing.assert_close(to_image(patches, 4), x)


def test_patch_embedding_is_the_convolution() -> None:
    encoder = ViT(Architecture(crop_px=16, patch_px=4, width=8, depth=1, heads=2), 3)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    conv = encoder.patch_embed.proj
    expected = F.conv2d(x, conv.weight, conv.bias, stride=4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(encoder.patch_embed(to_patches(x, 4)), expected, rtol=1e-5, atol=1e-5)


def test_stochastic_depth_rises_linearly() -> None:
    with torch.device("meta"):
        rates = [block.drop_path for block in ViT(PRESETS["vit_l16"], 6).blocks]
    assert rates == pytest.approx([0.3 * i / 23 for i in range(24)])
