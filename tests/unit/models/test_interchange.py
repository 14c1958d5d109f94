"""Weights of others: the released layout, from files made here, against a slow reference."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from platemae.models.blocks import ParallelScalingBlock
from platemae.models.camae import CAMAE
from platemae.models.interchange import read_checkpoint, released_shapes
from platemae.models.settings import PRESETS
from tests.unit.models.released import BACKBONE, DEPTH, PATCH, D, N, crops, network, path, released

__all__ = ["path"]  # the fixture


def _norm(v: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (v - v.mean()) / math.sqrt(v.var() + 1e-6) * weight + bias


def _gelu(v: np.ndarray) -> np.ndarray:
    return np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in v])


def _effective_bias(mlp_bias: np.ndarray) -> np.ndarray:
    """What timm 0.9.7 adds to the fused projection, split in the order mlp 4 D, q D, k D, v D (PAPER.md 1.2)."""
    width = len(mlp_bias) // 4
    mlp = [0.0] * (3 * width) + list(mlp_bias[:width])
    return np.array([*mlp, *mlp_bias[width : 2 * width], *mlp_bias[2 * width : 3 * width], *mlp_bias[3 * width :]])


def _block(x: list[np.ndarray], w: dict[str, np.ndarray], heads: int) -> list[np.ndarray]:
    """One parallel block of the released layout, one token and one head at a time."""
    width, size = len(x[0]), len(x[0]) // heads
    fused = [
        w["in_proj.weight"] @ _norm(t, w["in_norm.weight"], w["in_norm.bias"]) + _effective_bias(w["mlp_bias"])
        for t in x
    ]
    cut = [np.split(f, [4 * width, 5 * width, 6 * width]) for f in fused]
    out = []
    for token, (mlp, query, _, _) in zip(x, cut, strict=True):
        mixed = np.zeros(width)
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            q = _norm(query[part], w["q_norm.weight"], w["q_norm.bias"])
            keys = [_norm(k[part], w["k_norm.weight"], w["k_norm.bias"]) for _, _, k, _ in cut]
            weights = np.exp([q @ k / math.sqrt(size) for k in keys])
            mixed[part] = sum(a * v[part] for a, (_, _, _, v) in zip(weights / weights.sum(), cut, strict=True))
        attention = w["attn_out_proj.weight"] @ mixed + w["attn_out_proj.bias"]
        added = attention + w["mlp_out_proj.weight"] @ _gelu(mlp) + w["mlp_out_proj.bias"]
        out.append(token + w["ls.gamma"] * added)
    return out


def _predict(state: dict[str, Tensor], x_CHW: np.ndarray) -> np.ndarray:
    """Mean of the un-normalised tokens of each channel, (C, D), by loops."""
    w = {name: value.double().numpy() for name, value in state.items()}
    side, tokens = x_CHW.shape[1] // PATCH, [w[f"{BACKBONE}cls_token"][0, 0]]
    for channel in x_CHW / 255:
        standardised = (channel - channel.mean()) / math.sqrt(channel.var() + 1e-5)
        for y in range(side):
            for x in range(side):
                window = standardised[y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
                token = (w[f"{BACKBONE}patch_embed.proj.weight"][:, 0] * window).sum((1, 2))
                position = w[f"{BACKBONE}pos_embed"][0, 1 + y * side + x]
                tokens.append(token + w[f"{BACKBONE}patch_embed.proj.bias"] + position)
    for i in range(DEPTH):
        prefix = f"{BACKBONE}blocks.{i}."
        tokens = _block(tokens, {n.removeprefix(prefix): v for n, v in w.items() if n.startswith(prefix)}, D // 4)
    return np.array(tokens[1:]).reshape(len(x_CHW), N, D).mean(1)


@pytest.mark.parametrize("n_channels", [3, 1, 5])
def test_vectors_equal_the_released_forward_pass_by_loops(path: Path, n_channels: int) -> None:
    imported, x = read_checkpoint(path), crops(n_channels)
    expected = np.array([_predict(released(), sample.astype(np.float64)) for sample in x.numpy()])
    found = network(imported).embed(x, "channelwise").numpy()
    np.testing.assert_allclose(found, expected.reshape(2, -1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(network(imported).embed(x).numpy(), expected.mean(1), rtol=1e-3, atol=1e-5)
    assert imported.kind == "camae"
    assert imported.source["layout"] == "openphenom"
    assert imported.source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_shifted_bias_is_the_papers_toy() -> None:
    """D = 8, biases 1..32: the hidden units get 24 zeros and 1..8, q 9..16, k 17..24, v 25..32 (PAPER.md 1.2)."""
    block = ParallelScalingBlock(8, 2, 4.0, False, 1.0, 0.0, "shifted").requires_grad_(False)
    for parameter in block.parameters():
        parameter.zero_()
    block.mlp_bias.copy_(torch.arange(1.0, 33.0))
    seen: dict[str, Tensor] = {}
    block.q_norm.register_forward_hook(lambda m, i, o: seen.update(q=o[0, :, 0].flatten()))
    block.k_norm.register_forward_hook(lambda m, i, o: seen.update(k=o[0, :, 0].flatten()))
    block.attn_out_proj.register_forward_pre_hook(lambda m, i: seen.update(v=i[0][0, 0]))
    block.mlp_out_proj.register_forward_pre_hook(lambda m, i: seen.update(mlp=i[0][0, 0]))
    block(torch.randn(1, 3, 8))
    assert seen["q"].tolist() == list(range(9, 17))
    assert seen["k"].tolist() == list(range(17, 25))
    torch.testing.assert_close(seen["v"], torch.arange(25.0, 33.0))
    torch.testing.assert_close(seen["mlp"], torch.nn.functional.gelu(torch.tensor([0.0] * 24 + list(range(1, 9)))))


def test_the_released_size_has_765_tensors_of_178_million_values() -> None:
    with torch.device("meta"):
        shapes = released_shapes(CAMAE.from_dict(PRESETS["camae_s16"].to_dict(), 6), 1 + 11 * 256)
    assert len(shapes) == 765
    assert sum(shape.numel() for shape in shapes.values()) == 178_045_568
    assert shapes[f"{BACKBONE}blocks.11.in_proj.weight"] == (2688, 384)
    assert shapes["decoder.decoders.5.7.attn.qkv.weight"] == (1536, 512)


@pytest.mark.parametrize("wrap", [True, False])
def test_a_torch_pickle_under_the_name_of_safetensors(path: Path, wrap: bool) -> None:
    expected = network(read_checkpoint(path)).embed(crops())
    torch.save({"state_dict": released()} if wrap else released(), path)
    imported = read_checkpoint(path.parent)
    assert torch.equal(network(imported).embed(crops()), expected)
    assert network(imported).spec.bias_layout == "shifted"


def test_every_tensor_of_the_decoder_arrives(path: Path) -> None:
    module, state = network(read_checkpoint(path)), released()
    fixed = {f"{BACKBONE}pos_embed", "decoder.pos_embeddings", "decoder.placeholder"}
    fixed |= {f"{BACKBONE}fc_norm.weight", f"{BACKBONE}fc_norm.bias"}
    found = {n.replace("encoder.", BACKBONE) if n.startswith("encoder.") else n for n in module.state_dict()}
    assert found == set(state) - fixed
    assert torch.equal(
        module.decoder.state_dict()["decoders.2.0.mlp.fc2.weight"], state["decoder.decoders.2.0.mlp.fc2.weight"]
    )
    assert module.decoder.query_norm.eps == 1e-5  # type: ignore[attr-defined]
