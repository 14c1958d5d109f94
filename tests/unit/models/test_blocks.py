"""Blocks against slow loops over samples, heads and tokens, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from platemae.models.blocks import Block, ParallelScalingBlock, attend_matmul, attend_sdpa


def _norm(vector: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (vector - vector.mean()) / math.sqrt(vector.var() + 1e-6) * weight + bias


def _gelu(vector: np.ndarray) -> np.ndarray:
    return np.array([v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in vector])


def _mix(q: list[np.ndarray], k: list[np.ndarray], v: list[np.ndarray], heads: int) -> list[np.ndarray]:
    """Attention, one head and one query at a time."""
    size = len(q[0]) // heads
    out = [np.zeros_like(token) for token in q]
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        for t, query in enumerate(q):
            weights = np.exp([query[part] @ key[part] / math.sqrt(size) for key in k])
            for weight, value in zip(weights / weights.sum(), v, strict=True):
                out[t][part] += weight * value[part]
    return out


def _arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def _randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return module.double()


def _parallel_by_loops(x_TD: np.ndarray, w: dict[str, np.ndarray], heads: int, qk_norm: bool) -> np.ndarray:
    width, hidden = x_TD.shape[1], len(w["mlp_bias"])
    size = width // heads
    q: list[np.ndarray] = []
    k: list[np.ndarray] = []
    v: list[np.ndarray] = []
    mlp: list[np.ndarray] = []
    for token in x_TD:
        fused = w["in_proj.weight"] @ _norm(token, w["in_norm.weight"], w["in_norm.bias"])
        mlp.append(fused[:hidden] + w["mlp_bias"])
        parts = [fused[hidden + i * width : hidden + (i + 1) * width] for i in range(3)]
        for part, name in zip(parts[:2], ("q_norm", "k_norm"), strict=True):
            for h in range(heads if qk_norm else 0):
                cut = slice(h * size, (h + 1) * size)
                part[cut] = _norm(part[cut], w[f"{name}.weight"], w[f"{name}.bias"])
        for store, part in zip((q, k, v), parts, strict=True):
            store.append(part)
    out = []
    for token, mixed, unit in zip(x_TD, _mix(q, k, v, heads), mlp, strict=True):
        attention = w["attn_out_proj.weight"] @ mixed + w["attn_out_proj.bias"]
        out.append(
            token + w["ls.gamma"] * (attention + w["mlp_out_proj.weight"] @ _gelu(unit) + w["mlp_out_proj.bias"])
        )
    return np.array(out)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_parallel_block_equals_loops(qk_norm: bool) -> None:
    block = _randomised(ParallelScalingBlock(8, 2, 4.0, qk_norm, 1e-4, 0.0))
    x = torch.randn(2, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = block(x).detach().numpy()
    for sample, expected_of in zip(found, x.numpy(), strict=True):
        np.testing.assert_allclose(sample, _parallel_by_loops(expected_of, _arrays(block), 2, qk_norm), atol=1e-12)


def test_decoder_block_equals_loops() -> None:
    block = _randomised(Block(8, 2, 4.0))
    w = _arrays(block)
    x_TD = np.random.default_rng(0).standard_normal((5, 8))
    qkv = [w["attn.qkv.weight"] @ _norm(t, w["norm1.weight"], w["norm1.bias"]) + w["attn.qkv.bias"] for t in x_TD]
    mixed = _mix([t[:8] for t in qkv], [t[8:16] for t in qkv], [t[16:] for t in qkv], 2)
    expected = []
    for token, mix in zip(x_TD, mixed, strict=True):
        middle = token + w["attn.proj.weight"] @ mix + w["attn.proj.bias"]
        hidden = w["mlp.fc1.weight"] @ _norm(middle, w["norm2.weight"], w["norm2.bias"]) + w["mlp.fc1.bias"]
        expected.append(middle + w["mlp.fc2.weight"] @ _gelu(hidden) + w["mlp.fc2.bias"])
    found = block(torch.from_numpy(x_TD)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_some_tokens_of_a_block_are_those_of_all_forward_and_backward() -> None:
    block = _randomised(Block(8, 2, 4.0))
    generator = torch.Generator().manual_seed(1)
    x_BTD = torch.randn(3, 7, 8, dtype=torch.float64, generator=generator)
    index_BQ = torch.tensor([[4, 1, 6], [0, 2, 1], [3, 5, 0]])
    weight_BQD = torch.randn(3, 3, 8, dtype=torch.float64, generator=generator)
    results = []
    for few in (True, False):
        block.zero_grad()
        leaf = x_BTD.clone().requires_grad_()
        found = (
            block(leaf, index_BQ) if few else torch.stack([x[i] for x, i in zip(block(leaf), index_BQ, strict=True)])
        )
        (found * weight_BQD).sum().backward()
        results.append([found.detach(), leaf.grad, *(p.grad for p in block.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_parameter_names_follow_the_released_layout() -> None:
    names = {
        *("in_norm.weight", "in_norm.bias", "in_proj.weight", "q_norm.weight", "q_norm.bias", "k_norm.weight"),
        *("k_norm.bias", "attn_out_proj.weight", "attn_out_proj.bias", "mlp_out_proj.weight", "mlp_out_proj.bias"),
        *("ls.gamma", "mlp_bias"),
    }
    state = ParallelScalingBlock(384, 6, 4.0, True, 1e-4, 0.0).state_dict()
    assert set(state) == names
    assert state["in_proj.weight"].shape == (2688, 384)
    assert state["q_norm.weight"].shape == (64,)
    assert state["mlp_bias"].shape == (1536,)


@pytest.mark.parametrize(("tokens", "size"), [(17, 32), (65, 24), (257, 64)])
def test_attention_kernels_agree_forward_and_backward(tokens: int, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = [torch.randn(2, 3, tokens, size, generator=generator, dtype=torch.float64) for _ in range(3)]
    results = []
    for kernel in (attend_sdpa, attend_matmul):
        inputs = [t.clone().requires_grad_() for t in qkv]
        out = kernel(*inputs)
        out.square().sum().backward()
        results.append([out.detach(), *(t.grad for t in inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_stochastic_depth_skips_samples_and_keeps_the_mean() -> None:
    block = _randomised(ParallelScalingBlock(8, 2, 4.0, True, 1e-4, 0.25))
    x = torch.randn(4, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    full = block(x) - x
    noise = torch.tensor([0.1, 0.25, 0.9, 0.0])
    dropped = block(x, noise) - x
    torch.testing.assert_close(dropped[[0, 3]], torch.zeros_like(dropped[[0, 3]]))
    torch.testing.assert_close(dropped[[1, 2]], full[[1, 2]] / 0.75)
