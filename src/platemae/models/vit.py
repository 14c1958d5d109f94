"""The ViT encoder and the MAE decoder (PAPER.md 1.2, 1.5).

Shape legend: B batch, N patches, K visible and M masked patches, T = 1 + patches, D encoder width, E decoder width,
L blocks, P = C * patch * patch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platemae.models.blocks import NORM_EPSILON, Block, ParallelScalingBlock
from platemae.models.masking import Mask, restore, take
from platemae.models.positions import sincos_positions
from platemae.models.settings import Architecture


class PatchEmbedding(nn.Module):
    """A convolution whose stride is its size, applied to patches already cut: masked ones then cost nothing."""

    def __init__(self, n_channels: int, width: int, patch_px: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(n_channels, width, patch_px, stride=patch_px)

    def forward(self, patches_BKP: Tensor) -> Tensor:
        """Embed patches, (B, K, P) to (B, K, D)."""
        return F.linear(patches_BKP, self.proj.weight.flatten(1), self.proj.bias)


class ViT(nn.Module):
    """The encoder.

    Positions are added before masking; the class token stands first, has the zero position and is never masked.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    bias_layout
        Of ``ParallelScalingBlock``.
    """

    pos_embed: Tensor

    def __init__(self, spec: Architecture, n_channels: int, bias_layout: str = "mlp") -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(n_channels, spec.width, spec.patch_px)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.register_buffer("pos_embed", sincos_positions(spec.crop_px // spec.patch_px, spec.width), persistent=False)
        rates = [spec.drop_path * i / max(spec.depth - 1, 1) for i in range(spec.depth)]
        self.blocks = nn.ModuleList(
            ParallelScalingBlock(
                spec.width, spec.heads, spec.mlp_ratio, spec.qk_norm, spec.layer_scale_init, rate, bias_layout
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(spec.width, eps=NORM_EPSILON) if spec.final_norm == "layer" else nn.Identity()

    def positions(self, n_patches: int) -> Tensor:
        """Return the table for crops of ``n_patches``, (1, 1 + N, D)."""
        return self.pos_embed

    def forward(
        self, patches_BNP: Tensor, keep_BK: Tensor | None = None, path_noise_BL: Tensor | None = None
    ) -> Tensor:
        """Encode patches.

        Parameters
        ----------
        patches_BNP
            All patches, standardised.
        keep_BK
            Indices of the visible ones; None for all.
        path_noise_BL
            Uniform numbers for stochastic depth, one a block; None drops nothing.

        Returns
        -------
        Tensor
            (B, 1 + K, D), class token first.
        """
        table_1TD = self.positions(patches_BNP.shape[1])
        position_BND = table_1TD[:, 1:]
        if keep_BK is not None:
            patches_BNP = take(patches_BNP, keep_BK)
            position_BND = table_1TD[0, 1:][keep_BK]
        tokens = self.patch_embed(patches_BNP) + position_BND
        cls = (self.cls_token + table_1TD[:, :1]).to(tokens.dtype).expand(len(tokens), -1, -1)
        x_BTD = torch.cat([cls, tokens], dim=1)
        for index, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, None if path_noise_BL is None else path_noise_BL[:, index])
        normed: Tensor = self.norm(x_BTD)
        return normed


class Decoder(nn.Module):
    """Visible tokens back in place, mask tokens elsewhere, plain blocks, final norm of what is to be predicted.

    Parameters
    ----------
    spec
        The architecture.
    """

    pos_embeddings: Tensor

    def __init__(self, spec: Architecture) -> None:
        super().__init__()
        width, side = spec.decoder_width, spec.crop_px // spec.patch_px
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("pos_embeddings", sincos_positions(side, width), persistent=False)
        self.blocks = nn.ModuleList(Block(width, spec.decoder_heads, spec.mlp_ratio) for _ in range(spec.decoder_depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)

    def forward(self, x_BTE: Tensor, mask: Mask) -> Tensor:
        """Decode the class token and visible tokens, (B, 1 + K, E), to the masked patches, (B, M, E)."""
        filler_BME = self.mask_token.expand(*mask.hidden_BM.shape, -1)
        full = torch.cat([x_BTE[:, :1], restore(x_BTE[:, 1:], filler_BME, mask.restore_BN)], dim=1)
        x = full + self.pos_embeddings
        *earlier, last = self.blocks
        for block in earlier:
            x = block(x)
        masked: Tensor = self.norm(last(x, 1 + mask.hidden_BM))  # nothing reads its other tokens
        return masked
