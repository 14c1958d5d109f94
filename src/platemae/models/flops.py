"""Floating-point operations of the forward pass in closed form (matrix products only, 2 a multiply-add)."""

from __future__ import annotations

from typing import NamedTuple

from platemae.models.masking import n_kept
from platemae.models.settings import Architecture


class Flops(NamedTuple):
    """Operations a crop, forward pass; the backward pass costs about twice as much again."""

    encoder: int
    decoder: int

    @property
    def total(self) -> int:
        """Encoder and decoder."""
        return self.encoder + self.decoder


def _blocks(depth: int, tokens: int, width: int, mlp_ratio: float) -> int:
    """Count attention and MLP: 4 D^2 + 2 D (ratio D) weights a token, and 2 T^2 D for scores and mixture."""
    weights = 4 * width * width + 2 * width * int(width * mlp_ratio)
    return depth * 2 * (tokens * weights + 2 * tokens * tokens * width)


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
    blocks = _blocks(spec.decoder_depth, spec.n_patches + 1, spec.decoder_width, spec.mlp_ratio)
    return Flops(encoder_flops(spec, n_channels, visible), projection + blocks + prediction)


def embedding_flops(spec: Architecture, n_channels: int) -> int:
    """Count the encoder on one whole crop."""
    return encoder_flops(spec, n_channels, spec.n_patches)
