"""Floating-point operations of the forward pass (matrix products and convolutions only, 2 a multiply-add).

In closed form for vision transformers, by torch's counter for convolutional networks.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from platemae.models.masking import n_kept
from platemae.models.settings import Architecture, ChannelArchitecture


class Flops(NamedTuple):
    """Operations a crop, forward pass; the backward pass costs about twice as much again."""

    encoder: int
    decoder: int

    @property
    def total(self) -> int:
        """Encoder and decoder."""
        return self.encoder + self.decoder


def _blocks(depth: int, tokens: int, width: int, mlp_ratio: float) -> int:
    """Count attention and MLP of blocks that compute all tokens."""
    return depth * _block(tokens, tokens, width, mlp_ratio)


def _block(asked: int, tokens: int, width: int, mlp_ratio: float) -> int:
    """Count a block, D wide, that computes Q tokens out of T.

    2 D^2 weights a token for keys and values, 2 D^2 + 2 D (ratio D) for what is asked, 2 Q T D for scores and mixture.
    """
    weights = 2 * width * width + 2 * width * int(width * mlp_ratio)
    return 2 * (tokens * 2 * width * width + asked * weights + 2 * asked * tokens * width)


def encoder_flops(spec: Architecture, n_channels: int, n_visible: int) -> int:
    """Count the encoder on ``n_visible`` patches and the class token of one crop."""
    embedding = 2 * n_visible * n_channels * spec.patch_px**2 * spec.width
    return embedding + _blocks(spec.depth, n_visible + 1, spec.width, spec.mlp_ratio)


def training_flops(spec: Architecture, n_channels: int, mask_ratio: float) -> Flops:
    """Count one forward pass of encoder and decoder in training.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    mask_ratio
        Fraction of patches hidden from the encoder.
    """
    visible = n_kept(spec.n_patches, mask_ratio)
    projection = 2 * (visible + 1) * spec.width * spec.decoder_width
    prediction = 2 * (spec.n_patches - visible) * spec.decoder_width * spec.patch_px**2 * n_channels
    tokens, width = spec.n_patches + 1, spec.decoder_width
    blocks = _blocks(spec.decoder_depth - 1, tokens, width, spec.mlp_ratio)
    blocks += _block(spec.n_patches - visible, tokens, width, spec.mlp_ratio)  # the last one: masked patches alone
    return Flops(encoder_flops(spec, n_channels, visible), projection + blocks + prediction)


def channel_training_flops(spec: ChannelArchitecture, n_channels: int, mask_ratio: float) -> Flops:
    """Count one forward pass in training of the network whose patches are of single channels.

    The decoder's cross-attention and MLP run once over the patches of all channels (S), the stacks over each channel's.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    mask_ratio
        Fraction of patches hidden from the encoder.
    """
    total, width = n_channels * spec.n_patches, spec.decoder_width
    visible = n_kept(total, mask_ratio)
    projection = 2 * (visible + 1) * spec.width * width
    shared = _blocks(1, total, width, spec.mlp_ratio)
    stacks = n_channels * _blocks(spec.decoder_depth, spec.n_patches, width, spec.mlp_ratio)
    prediction = 2 * (total - visible) * width * spec.patch_px**2
    return Flops(encoder_flops(spec, 1, visible), projection + shared + stacks + prediction)


@torch.no_grad()
def counted_flops(module: nn.Module) -> int:
    """Count one forward pass of the body of a network on one crop, which nothing computes: shapes alone.

    Parameters
    ----------
    module
        Its ``traced`` does the same products as its ``forward``, on a standardised crop (1, C, H, W).
    """
    shadow: Any = copy.deepcopy(module).to("meta").eval()
    side = shadow.spec.crop_px
    with FlopCounterMode(display=False) as counter:
        shadow.traced(torch.empty(1, shadow.n_channels, side, side, device="meta"))
    return int(counter.get_total_flops())
