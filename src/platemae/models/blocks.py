"""Transformer blocks. Names of parameters follow PAPER.md 1.9.

Shape legend: B batch, T tokens (class token included), Q tokens that ask, D width, A heads, F features of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platemae.models.masking import take

NORM_EPSILON = 1e-6


def attend_sdpa(q_BATF: Tensor, k_BATF: Tensor, v_BATF: Tensor) -> Tensor:
    """Attention by torch's fused kernel."""
    return F.scaled_dot_product_attention(q_BATF, k_BATF, v_BATF)


def attend_matmul(q_BATF: Tensor, k_BATF: Tensor, v_BATF: Tensor) -> Tensor:
    """Attention as matmul, softmax, matmul."""
    scores_BATT = (q_BATF * q_BATF.shape[-1] ** -0.5) @ k_BATF.transpose(-2, -1)
    return scores_BATT.softmax(dim=-1) @ v_BATF


def attend(q_BATF: Tensor, k_BATF: Tensor, v_BATF: Tensor) -> Tensor:
    """Attention by the kernel that is fastest where the tensors lie; both give the same numbers.

    Measured forward and backward: in float32 on a CPU the fused kernel wins from 65 tokens up (257 tokens:
    1.2 to 2.4 times); in bfloat16 on a CPU its backward pass takes 38 % of a step and plain products train 1.3 times
    faster.
    """
    plain = v_BATF.device.type == "cpu" and v_BATF.dtype == torch.bfloat16  # autocast may leave q and k in float32
    return (attend_matmul if plain else attend_sdpa)(q_BATF, k_BATF, v_BATF)


def _heads(x_BTD: Tensor, heads: int) -> Tensor:
    return x_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)


class LayerScale(nn.Module):
    """Multiply each feature with a trained factor."""

    def __init__(self, width: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), init))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Scale the last dimension."""
        return x_BTD * self.gamma


class ParallelScalingBlock(nn.Module):
    """The ViT-22B block: attention and MLP side by side (PAPER.md 1.2).

    y = LN(x); one fused projection of y, without bias, split in the order mlp, q, k, v; q and k normalised over each
    head; x + drop_path(gamma * (attn_out_proj(attention) + mlp_out_proj(GELU(mlp + mlp_bias)))).

    Parameters
    ----------
    width, heads
        Token width and attention heads.
    mlp_ratio
        Hidden width over width.
    qk_norm
        LayerNorm of q and k.
    layer_scale_init
        Initial gamma.
    drop_path
        Probability that a sample skips this block in training.
    bias_layout
        ``mlp``: the bias belongs to the hidden units; ``shifted``: it lies 3 D values further on, over the last D
        hidden units, q, k and v, as timm up to 1.0.24 computed it (PAPER.md 1.2, "checkpoint-parity trap").
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        qk_norm: bool,
        layer_scale_init: float,
        drop_path: float,
        bias_layout: str = "mlp",
    ) -> None:
        super().__init__()
        self.bias_layout = bias_layout
        hidden, head_width = int(width * mlp_ratio), width // heads
        self.heads, self.drop_path, self.splits = heads, drop_path, (hidden, width, width, width)
        self.in_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.in_proj = nn.Linear(width, sum(self.splits), bias=False)
        self.q_norm = nn.LayerNorm(head_width, eps=NORM_EPSILON) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(head_width, eps=NORM_EPSILON) if qk_norm else nn.Identity()
        self.attn_out_proj = nn.Linear(width, width)
        self.mlp_bias = nn.Parameter(torch.zeros(hidden))
        self.mlp_out_proj = nn.Linear(hidden, width)
        self.ls = LayerScale(width, layer_scale_init)

    def forward(self, x_BTD: Tensor, path_noise_B: Tensor | None = None) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x_BTD
            Tokens.
        path_noise_B
            Uniform numbers in [0, 1): a sample below ``drop_path`` skips the block and the others are scaled up to
            keep the mean. None drops nothing.
        """
        others = sum(self.splits[1:])
        bias = F.pad(self.mlp_bias, (0, others) if self.bias_layout == "mlp" else (others, 0))
        fused = F.linear(self.in_norm(x_BTD), self.in_proj.weight, bias)
        mlp, q, k, v = fused.split(self.splits, dim=-1)
        q, k, v = (_heads(part, self.heads) for part in (q, k, v))
        mixed = attend(self.q_norm(q), self.k_norm(k), v).transpose(1, 2).flatten(2)
        out = self.ls(self.attn_out_proj(mixed) + self.mlp_out_proj(F.gelu(mlp)))
        if path_noise_B is not None and self.drop_path > 0:
            out = out * ((path_noise_B >= self.drop_path) / (1 - self.drop_path)).to(out.dtype)[:, None, None]
        return x_BTD + out


class Attention(nn.Module):
    """Multi-head self-attention with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, index_BQ: Tensor | None = None) -> Tensor:
        """Mix tokens: those of ``index_BQ`` alone, or all, each out of all."""
        parts = self.qkv(x_BTD).chunk(3, dim=-1) if index_BQ is None else self._of_some(x_BTD, index_BQ)
        q, k, v = (_heads(part, self.heads) for part in parts)
        mixed: Tensor = self.proj(attend(q, k, v).transpose(1, 2).flatten(2))
        return mixed

    def _of_some(self, x_BTD: Tensor, index_BQ: Tensor) -> tuple[Tensor, ...]:
        """Project queries of some tokens, keys and values of all."""
        width = x_BTD.shape[-1]
        weights, biases = (whole.split([width, 2 * width]) for whole in (self.qkv.weight, self.qkv.bias))
        q_BQD = F.linear(take(x_BTD, index_BQ), weights[0], biases[0])
        return q_BQD, *F.linear(x_BTD, weights[1], biases[1]).chunk(2, dim=-1)


class Mlp(nn.Module):
    """Linear, GELU, linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Transform each token by itself."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x_BTD)))
        return out


class Block(nn.Module):
    """The plain pre-norm block of the decoder: x += attn(norm1(x)); x += mlp(norm2(x)) (PAPER.md 1.5)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x_BTD: Tensor, index_BQ: Tensor | None = None) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x_BTD
            Tokens.
        index_BQ
            Tokens that are wanted of it, each made from all; None for all. The others are not computed.
        """
        rest_BQD = x_BTD if index_BQ is None else take(x_BTD, index_BQ)
        rest_BQD = rest_BQD + self.attn(self.norm1(x_BTD), index_BQ)
        out: Tensor = rest_BQD + self.mlp(self.norm2(rest_BQD))
        return out
