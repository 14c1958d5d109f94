"""The masked autoencoder (PAPER.md 1.2-1.8).

All randomness comes in as arguments, so that a result depends on its inputs alone, whatever the process layout.

Shape legend: B batch, C channels, H W pixels, N patches, M masked patches, D encoder width, L encoder blocks,
P = C * patch * patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from platemae.errors import ConfigError, ContractError
from platemae.models.flops import training_flops
from platemae.models.losses import LossParts, reconstruction_loss
from platemae.models.masking import Mask, mask_from_noise, restore, take
from platemae.models.normalise import standardise, to_image, to_patches
from platemae.models.pooling import check_poolings, outputs_of
from platemae.models.settings import Architecture, Objective
from platemae.models.vit import Decoder, ViT

PAPER_OBJECTIVE = Objective()


class Reconstruction(NamedTuple):
    """Images in standardised units, (B, C, H, W) float32.

    Attributes
    ----------
    target
        The standardised crop.
    masked
        The crop with NaN where it was masked.
    reconstruction
        The crop with the network's prediction where it was masked.
    """

    target: Tensor
    masked: Tensor
    reconstruction: Tensor


class MAE(nn.Module):
    """A ViT that learns to fill in masked patches; its encoder embeds whole crops.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    """

    poolings: tuple[str, ...] = ("mean", "cls", "block")
    stacked_channels = 1
    """Channels that lie one after another among the patches; here a patch holds them all."""

    def __init__(self, spec: Architecture, n_channels: int) -> None:
        super().__init__()
        self.spec, self.n_channels = spec, n_channels
        self._build()
        self._initialise()

    def _build(self) -> None:
        spec = self.spec
        self.encoder = ViT(spec, self.n_channels)
        self.encoder_decoder_proj = nn.Linear(spec.width, spec.decoder_width)
        self.decoder = Decoder(spec)
        self.decoder_pred = nn.Linear(spec.decoder_width, spec.patch_px**2 * self.n_channels)

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> MAE:
        """Make the network from the fields of its architecture.

        Raises
        ------
        ConfigError
            If a field or the number of channels is wrong.
        """
        if n_channels < 1:
            raise ConfigError("a model needs at least one channel", "n_channels", "Name the channels of the dataset.")
        return cls(Architecture.from_dict(architecture), n_channels)

    def architecture(self) -> dict[str, Any]:
        """Return the fields of the spec, as model.json holds them."""
        return self.spec.to_dict()

    def _initialise(self) -> None:
        """Xavier-uniform weights (a patch is one vector), zero biases, tokens N(0, 0.02) (PAPER.md 1.5).

        The prediction starts at zero, the mean of every standardised patch: from random predictions a small network
        needs hundreds of steps to come back to it before it learns anything else.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight.view(layer.weight.shape[0], -1))
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.decoder_pred.weight)
        nn.init.normal_(self.encoder.cls_token, std=0.02)
        nn.init.normal_(self.decoder.mask_token, std=0.02)

    @property
    def noise_sizes(self) -> tuple[int, int]:
        """Uniform numbers that one sample needs: one a patch for the mask, one a block for stochastic depth."""
        return self.spec.n_patches, self.spec.depth if self.spec.drop_path > 0 else 0

    def units(self) -> list[nn.Module]:
        """Blocks, which a trainer may compute twice to save memory, or spread over processes one by one."""
        return [*self.encoder.blocks, *self.decoder.blocks]

    def forward_flops(self, mask_ratio: float) -> int:
        """Operations of one forward pass in training, one crop."""
        return training_flops(self.spec, self.n_channels, mask_ratio).total

    def patches(self, x_BCHW: Tensor) -> Tensor:
        """Standardise crops and cut them in patches, (B, N, P).

        Raises
        ------
        ContractError
            If the crops have other channels or another size than the network.
        """
        expected = (self.n_channels, self.spec.crop_px, self.spec.crop_px)
        if tuple(x_BCHW.shape[1:]) != expected:
            found = f"crops have shape {tuple(x_BCHW.shape)}, the model needs (batch, {', '.join(map(str, expected))})"
            raise ContractError(found, "model input", "Cut crops of the model's size, in its channels.")
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return to_patches(standardise(x_BCHW), self.spec.patch_px)

    def predict(self, patches_BNP: Tensor, mask: Mask, path_noise_BL: Tensor | None = None) -> Tensor:
        """Predict the masked patches, (B, M, P), from the visible ones."""
        visible = self.encoder(patches_BNP, mask.keep_BK, path_noise_BL)
        decoded = self.decoder(self.encoder_decoder_proj(visible), mask)
        predicted: Tensor = self.decoder_pred(decoded)
        return predicted

    def forward(
        self,
        x_BCHW: Tensor,
        noise_BN: Tensor,
        path_noise_BL: Tensor | None = None,
        objective: Objective = PAPER_OBJECTIVE,
    ) -> LossParts:
        """Loss of reconstructing the masked patches.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        noise_BN
            Uniform numbers that decide the mask.
        path_noise_BL
            Uniform numbers for stochastic depth; None drops nothing.
        objective
            Mask ratio and Fourier term.

        Raises
        ------
        ContractError
            If the crops do not fit the network.
        """
        patches_BNP = self.patches(x_BCHW)
        mask = mask_from_noise(noise_BN, objective.mask_ratio)
        predicted_BMP = self.predict(patches_BNP, mask, path_noise_BL)
        n_stacked = self.stacked_channels
        return reconstruction_loss(predicted_BMP, patches_BNP, mask, self.spec.patch_px, objective, n_stacked)

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """Encode whole crops without a mask, (B, 1 + N, D), class token first."""
        tokens: Tensor = self.encoder(self.patches(x_BCHW))
        return tokens

    def embed(self, x_BCHW: Tensor, pooling: str = "mean") -> Tensor:
        """Embed whole crops, (B, D) float32; see ``embed_each``."""
        return self.embed_each(x_BCHW, (pooling,))[pooling]

    def embed_each(self, x_BCHW: Tensor, poolings: Sequence[str]) -> dict[str, Tensor]:
        """Embed whole crops in several ways by one forward pass, each (B, D) float32, deterministic.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        poolings
            ``mean`` of the patch tokens, class token left out (PAPER.md 3); ``cls``; ``block<k>``: the mean of the
            patch tokens after block k, of 1 to the depth.

        Raises
        ------
        ConfigError
            If a pooling is unknown.
        """
        check_poolings(poolings, self.poolings, self.spec.depth, "the network")
        with outputs_of(self.encoder.blocks, poolings) as inner:
            tokens_BTD = self.encode(x_BCHW)
        return {name: self._pooled(name, inner.get(name, tokens_BTD).float()) for name in poolings}

    def _pooled(self, pooling: str, tokens_BTD: Tensor) -> Tensor:
        return tokens_BTD[:, 0] if pooling == "cls" else tokens_BTD[:, 1:].mean(dim=1)

    def image(self, patches_BNP: Tensor) -> Tensor:
        """Put patches together again, (B, C, H, W)."""
        return to_image(patches_BNP, self.spec.patch_px)

    @torch.no_grad()
    def reconstruct(self, x_BCHW: Tensor, noise_BN: Tensor, mask_ratio: float = 0.75) -> Reconstruction:
        """Show what the network makes of masked crops."""
        patches_BNP = self.patches(x_BCHW)
        mask = mask_from_noise(noise_BN, mask_ratio)
        predicted_BMP = self.predict(patches_BNP, mask)
        visible_BKP = take(patches_BNP, mask.keep_BK)
        blank_BNP, filled_BNP = (
            restore(visible_BKP, masked, mask.restore_BN)
            for masked in (torch.full_like(predicted_BMP, torch.nan), predicted_BMP)
        )
        return Reconstruction(*map(self.image, (patches_BNP, blank_BNP, filled_BNP)))
