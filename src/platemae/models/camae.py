"""The channel-agnostic masked autoencoder (PAPER.md 1.5, 1.6).

Every channel is cut in patches of its own and goes through the same projection; nothing tells the encoder which channel
a patch is from. So crops of any channels, in any order, can be encoded; the decoder belongs to the channels it trained
on.

Shape legend: B batch, C channels, H W pixels, N patches of a channel, S = C * N patches of a crop (channel-major, then
row-major), K visible and M masked patches (K + M = S), T = 1 + S, D encoder width, E decoder width, A heads,
F features of a head, P = patch * patch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from platemae.errors import ConfigError, ContractError
from platemae.models.blocks import Block, Mlp, attend
from platemae.models.flops import channel_training_flops
from platemae.models.mae import MAE
from platemae.models.masking import Mask, restore, take
from platemae.models.normalise import standardise, to_image, to_patches
from platemae.models.positions import sincos_positions
from platemae.models.settings import ChannelArchitecture
from platemae.models.vit import ViT

RELEASED_MAX_CHANNELS = 11
"""Channels that the released encoder's stored position table has rows for; ours is computed for as many as come."""


class ChannelViT(ViT):
    """The encoder: a ViT of single-channel patches, whose spatial positions repeat for every channel.

    Parameters
    ----------
    spec
        The architecture.
    """

    def __init__(self, spec: ChannelArchitecture) -> None:
        super().__init__(spec, 1, spec.bias_layout)

    def positions(self, n_patches: int) -> Tensor:
        """Return the table for ``n_patches`` of any number of channels, (1, 1 + S, D)."""
        cls_11D, spatial_1ND = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        return torch.cat([cls_11D, spatial_1ND.repeat(1, n_patches // spatial_1ND.shape[1], 1)], dim=1)


class CrossAttention(nn.Module):
    """Multi-head attention of queries to a context; only the output has a bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, query_BSE: Tensor, context_BSE: Tensor) -> Tensor:
        """Mix the context for each query."""
        parts = (self.q(query_BSE), *self.kv(context_BSE).chunk(2, dim=-1))
        q_BASF, k_BASF, v_BASF = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed: Tensor = self.proj(attend(q_BASF, k_BASF, v_BASF).transpose(1, 2).flatten(2))
        return mixed


class ChannelDecoder(nn.Module):
    """Every channel's patches look at all channels, then go through a stack of blocks of their own.

    x = tokens + positions + modality token of the channel; x = cross_attention(query_norm(x), context_norm(x)), without
    residual; x = x + mlp(out_norm(x)); x_c = blocks_c(x_c) (PAPER.md 1.5). Queries of all channels share weights and
    context, so that one attention over all patches serves them. The class token takes no part.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels that are decoded.
    """

    pos_embeddings: Tensor

    def __init__(self, spec: ChannelArchitecture, n_channels: int) -> None:
        super().__init__()
        width = spec.decoder_width
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.modality_tokens = nn.ParameterList(torch.zeros(1, 1, width) for _ in range(n_channels))
        table = sincos_positions(spec.crop_px // spec.patch_px, width)[:, 1:]
        self.register_buffer("pos_embeddings", table, persistent=False)
        self.cross_attention = CrossAttention(width, spec.cross_heads)
        self.mlp = Mlp(width, int(width * spec.mlp_ratio))
        self.query_norm, self.context_norm, self.out_norm = (nn.LayerNorm(width) for _ in range(3))
        self.decoders = nn.ModuleList(
            nn.ModuleList(Block(width, spec.decoder_heads, spec.mlp_ratio) for _ in range(spec.decoder_depth))
            for _ in range(n_channels)
        )
        for layer in self.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.eps = spec.decoder_norm_epsilon

    def forward(self, x_BTE: Tensor, mask: Mask) -> Tensor:
        """Decode the class token and visible tokens, (B, 1 + K, E), to the masked patches, (B, M, E)."""
        filler_BME = self.mask_token.expand(*mask.hidden_BM.shape, -1)
        x_BSE = self._placed(restore(x_BTE[:, 1:], filler_BME, mask.restore_BN))
        x_BSE = self.cross_attention(self.query_norm(x_BSE), self.context_norm(x_BSE))
        x_BSE = x_BSE + self.mlp(self.out_norm(x_BSE))
        decoded = []
        for blocks, x_BNE in zip(self.decoders, x_BSE.chunk(len(self.decoders), dim=1), strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                x_BNE = block(x_BNE)
            decoded.append(x_BNE)
        return take(torch.cat(decoded, dim=1), mask.hidden_BM)

    def _placed(self, x_BSE: Tensor) -> Tensor:
        """Add to each patch its position and its channel's token."""
        return x_BSE + torch.cat([self.pos_embeddings + token for token in self.modality_tokens], dim=1)


class CAMAE(MAE):
    """A masked autoencoder of channels: trained on some, it embeds crops of any.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of the training crops.
    """

    spec: ChannelArchitecture
    poolings = ("mean", "cls", "channelwise", "block")
    any_channels = True
    """The encoder takes crops of other channels than it trained on."""

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> CAMAE:
        """Make the network from the fields of its architecture.

        Raises
        ------
        ConfigError
            If a field or the number of channels is wrong.
        """
        if n_channels < 1:
            raise ConfigError("a model needs at least one channel", "n_channels", "Name the channels of the dataset.")
        spec = ChannelArchitecture.from_dict(architecture)
        assert isinstance(spec, ChannelArchitecture)
        return cls(spec, n_channels)

    def _build(self) -> None:
        spec = self.spec
        self.stacked_channels = self.n_channels
        self.encoder = ChannelViT(spec)
        self.encoder_decoder_proj = nn.Linear(spec.width, spec.decoder_width)
        self.decoder = ChannelDecoder(spec, self.n_channels)  # type: ignore[assignment]
        self.decoder_pred = nn.Linear(spec.decoder_width, spec.patch_px**2)

    def _initialise(self) -> None:
        """As the plain network, and modality tokens N(0, 0.02)."""
        super()._initialise()
        for token in self.decoder.modality_tokens:  # type: ignore[union-attr]
            nn.init.normal_(token, std=0.02)

    @property
    def noise_sizes(self) -> tuple[int, int]:
        """Uniform numbers that one sample needs: one permutation runs over the patches of all channels."""
        return self.n_channels * self.spec.n_patches, super().noise_sizes[1]

    def units(self) -> list[nn.Module]:
        """Blocks of the encoder and of every channel's stack, as in ``MAE``."""
        stacks: Any = self.decoder.decoders
        return [*self.encoder.blocks, *(block for stack in stacks for block in stack)]

    def forward_flops(self, mask_ratio: float) -> int:
        """Operations of one forward pass in training, one crop."""
        return channel_training_flops(self.spec, self.n_channels, mask_ratio).total

    def patches(self, x_BCHW: Tensor) -> Tensor:
        """Standardise crops and cut each channel in patches, (B, S, P).

        Raises
        ------
        ContractError
            If the crops have another size than the network, or no channel.
        """
        size = (self.spec.crop_px, self.spec.crop_px)
        if x_BCHW.ndim != 4 or tuple(x_BCHW.shape[2:]) != size or x_BCHW.shape[1] < 1:
            found = f"crops have shape {tuple(x_BCHW.shape)}, the model needs (batch, channels, {size[0]}, {size[1]})"
            raise ContractError(found, "model input", "Cut crops of the model's size.")
        with torch.autocast(x_BCHW.device.type, enabled=False):
            single_BC1HW = standardise(x_BCHW).flatten(0, 1)[:, None]
            return to_patches(single_BC1HW, self.spec.patch_px).unflatten(0, x_BCHW.shape[:2]).flatten(1, 2)

    def predict(self, patches_BNP: Tensor, mask: Mask, path_noise_BL: Tensor | None = None) -> Tensor:
        """Predict the masked patches, (B, M, P), from the visible ones of all channels.

        Raises
        ------
        ContractError
            If the crops have other channels than the decoder.
        """
        found = patches_BNP.shape[1] // self.spec.n_patches
        if found != self.n_channels:
            what = f"crops have {found} channels, the decoder has stacks for {self.n_channels}"
            raise ContractError(what, "model input", "Reconstruct the channels of the training; embed any.")
        return super().predict(patches_BNP, mask, path_noise_BL)

    def image(self, patches_BNP: Tensor) -> Tensor:
        """Put patches together again, (B, C, H, W)."""
        single_BNP = patches_BNP.unflatten(1, (-1, self.spec.n_patches)).flatten(0, 1)
        return to_image(single_BNP, self.spec.patch_px)[:, 0].unflatten(0, (len(patches_BNP), -1))

    def _pooled(self, pooling: str, tokens_BTD: Tensor) -> Tensor:
        """Pool the patches of all channels whatever their order; or, ``channelwise``, of each channel.

        The means of each channel's patches then stand one after another, (B, C * D), in the order of the channels.
        """
        if pooling != "channelwise":
            return super()._pooled(pooling, tokens_BTD)
        return tokens_BTD[:, 1:].unflatten(1, (-1, self.spec.n_patches)).mean(dim=2).flatten(1)


class Counts(NamedTuple):
    """Parameters of a network: ``trained`` here, ``fixed`` as the released checkpoint stores them beside, and both."""

    trained: int
    fixed: int

    @property
    def total(self) -> int:
        """All values of a checkpoint in the released layout."""
        return self.trained + self.fixed


def count_parameters(network: CAMAE) -> Counts:
    """Count as the released checkpoint does (PAPER.md 1.9).

    Fixed there are both position tables, the zeros in place of the class token, and a norm after pooling that training
    never reaches; here the tables are computed and the norm is left out.
    """
    spec, n_channels = network.spec, network.n_channels
    encoder_rows = 1 + max(n_channels, RELEASED_MAX_CHANNELS) * spec.n_patches
    decoder_rows = 1 + n_channels * spec.n_patches
    fixed = (encoder_rows + 2) * spec.width + (decoder_rows + 1) * spec.decoder_width
    return Counts(sum(p.numel() for p in network.parameters()), fixed)
