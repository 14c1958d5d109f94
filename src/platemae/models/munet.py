"""MU-Net: a U-Net that fills in patches masked in the image (PAPER.md 1.7).

The papers say no more than that it is a U-Net trained as a masked autoencoder. Widths and sizes below follow a note
that nobody confirmed; kinds of layer, norm and pooling are choices of this program (docs/decisions.md).

Shape legend: B batch, C channels, H W pixels, N patches, M masked patches, W width of a level, D bottleneck width,
P = C * patch * patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platemae.errors import ConfigError
from platemae.models.inputs import assert_sound, check_crops, check_keys, preset_of, whole_numbers
from platemae.models.losses import LossParts, reconstruction_loss
from platemae.models.masking import Mask, mask_from_noise, restore, take
from platemae.models.normalise import standardise, to_image, to_patches
from platemae.models.pooling import block_of, check_poolings
from platemae.models.settings import Objective

MUNET_OBJECTIVE = Objective(mask_ratio=0.25)
"""25 % is reported for MU-Nets, unverified (PAPER.md 1.7)."""


@dataclass(frozen=True)
class MUNetSpec:
    """What a MU-Net is.

    Attributes
    ----------
    crop_px, patch_px
        Side of the square crop and of a masked patch, pixels.
    width
        Width of the first level; each level below it is twice as wide.
    levels
        Levels above the bottleneck, each halving the side.
    convs
        3 x 3 convolutions of a level, on the way down and again on the way up.
    norm_groups
        Groups of the GroupNorm after each convolution: a crop's vector depends on no other crop.
    """

    crop_px: int = 256
    patch_px: int = 16
    width: int = 32
    levels: int = 5
    convs: int = 3
    norm_groups: int = 8

    def __post_init__(self) -> None:
        problems = whole_numbers(self, ("crop_px", "patch_px", "width", "levels", "convs", "norm_groups"))
        assert_sound(problems)
        if self.crop_px % self.patch_px:
            problems.append(f"patch_px {self.patch_px} does not divide crop_px {self.crop_px}")
        if self.crop_px % 2**self.levels:
            problems.append(f"{self.levels} levels need a crop_px that {2**self.levels} divides, not {self.crop_px}")
        if self.width % self.norm_groups:
            problems.append(f"norm_groups {self.norm_groups} does not divide width {self.width}")
        assert_sound(problems)

    @property
    def n_patches(self) -> int:
        """Patches of a crop."""
        return (self.crop_px // self.patch_px) ** 2

    @property
    def widths(self) -> list[int]:
        """Width of each level from the top, and of the bottleneck."""
        return [self.width * 2**level for level in range(self.levels + 1)]


# 50.3 M and 138.3 M parameters with six channels, near the 52 M and 135 M of PAPER.md 1.7 (unverified there).
PRESETS = {
    "munet_tiny": MUNetSpec(crop_px=32, patch_px=4, width=16, levels=2, convs=1, norm_groups=4),
    "munet_m": MUNetSpec(),
    "munet_l": MUNetSpec(width=64, convs=2),
}


def _stage(n_in: int, n_out: int, convs: int, groups: int) -> nn.Sequential:
    """Return convolutions that keep the side, each with norm and GELU."""
    layers: list[nn.Module] = []
    for index in range(convs):
        conv = nn.Conv2d(n_in if index == 0 else n_out, n_out, 3, padding=1, bias=False)
        layers += [conv, nn.GroupNorm(groups, n_out), nn.GELU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Levels down, a bottleneck, levels up with the skip of each.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    """

    def __init__(self, spec: MUNetSpec, n_channels: int) -> None:
        super().__init__()
        widths, convs, groups = spec.widths, spec.convs, spec.norm_groups
        pairs = list(zip([n_channels, *widths[:-1]], widths, strict=True))
        self.down = nn.ModuleList(_stage(n_in, n_out, convs, groups) for n_in, n_out in pairs)
        above = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.widen = nn.ModuleList(nn.Conv2d(n_in, n_out, 3, padding=1) for n_in, n_out in above)
        self.up = nn.ModuleList(_stage(2 * n_out, n_out, convs, groups) for _, n_out in above)
        self.head = nn.Conv2d(spec.width, n_channels, 1)
        nn.init.zeros_(self.head.weight)  # a fresh network predicts the mean of every standardised patch
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def levels(self, x_BCHW: Tensor) -> list[Tensor]:
        """Return what each level holds on the way down, the bottleneck last."""
        found: list[Tensor] = []
        for index, stage in enumerate(self.down):
            x_BCHW = stage(x_BCHW if index == 0 else F.max_pool2d(x_BCHW, 2))
            found.append(x_BCHW)
        return found

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return an image of the same shape."""
        *skips, x_BWHW = self.levels(x_BCHW)
        for widen, stage, skip_BWHW in zip(self.widen, self.up, reversed(skips), strict=True):
            grown_BWHW = widen(F.interpolate(x_BWHW, scale_factor=2.0, mode="nearest"))
            x_BWHW = stage(torch.cat([skip_BWHW, grown_BWHW], dim=1))
        image_BCHW: Tensor = self.head(x_BWHW)
        return image_BCHW


class MUNet(nn.Module):
    """A U-Net that learns to fill in masked patches; the mean over its bottleneck embeds whole crops.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    """

    poolings: tuple[str, ...] = ("mean", "block")

    def __init__(self, spec: MUNetSpec, n_channels: int) -> None:
        super().__init__()
        if n_channels < 1:
            raise ConfigError("a model needs at least one channel", "n_channels", "Name the channels of the dataset.")
        self.spec, self.n_channels = spec, n_channels
        self.unet = UNet(spec, n_channels)

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> MUNet:
        """Make the network from the fields of ``MUNetSpec``.

        Raises
        ------
        ConfigError
            If a field or the number of channels is wrong.
        """
        return cls(MUNetSpec(**check_keys(MUNetSpec, architecture)), n_channels)

    @classmethod
    def describe(cls, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the architecture that a model's entry in the configuration asks for.

        Raises
        ------
        ConfigError
            If the preset or a key of its ``architecture`` is unknown or wrong.
        """
        spec = preset_of(PRESETS, entry["preset"], "munet")
        return asdict(replace(spec, **check_keys(MUNetSpec, entry["architecture"])))

    def architecture(self) -> dict[str, Any]:
        """Return the fields of the spec, as model.json holds them."""
        return asdict(self.spec)

    @property
    def noise_sizes(self) -> tuple[int, int]:
        """Uniform numbers that one sample needs: one a patch for the mask, none else."""
        return self.spec.n_patches, 0

    def units(self) -> list[nn.Module]:
        """Levels on the way down and up, which a trainer may compute twice, or spread over processes one by one."""
        return [*self.unet.down, *self.unet.up]

    def image(self, x_BCHW: Tensor) -> Tensor:
        """Check and standardise crops, float32.

        Raises
        ------
        ContractError
            If the crops have other channels or another size than the network.
        """
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return standardise(check_crops(x_BCHW, self.n_channels, self.spec.crop_px))

    def predict(self, patches_BNP: Tensor, mask: Mask) -> Tensor:
        """Predict the masked patches, (B, M, P), from an image that is 0, its mean, where they were."""
        visible_BKP = take(patches_BNP, mask.keep_BK)
        blank_BMP = torch.zeros_like(take(patches_BNP, mask.hidden_BM))
        masked_BCHW = to_image(restore(visible_BKP, blank_BMP, mask.restore_BN), self.spec.patch_px)
        return take(to_patches(self.unet(masked_BCHW), self.spec.patch_px), mask.hidden_BM)

    def forward(
        self,
        x_BCHW: Tensor,
        noise_BN: Tensor,
        _path_noise: Tensor | None = None,
        objective: Objective = MUNET_OBJECTIVE,
    ) -> LossParts:
        """Loss of filling in the masked patches.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        noise_BN
            Uniform numbers that decide the mask.
        _path_noise
            The trainer's numbers for stochastic depth, which a U-Net has none of.
        objective
            Mask ratio and Fourier term.

        Raises
        ------
        ContractError
            If the crops do not fit the network.
        """
        patches_BNP = to_patches(self.image(x_BCHW), self.spec.patch_px)
        mask = mask_from_noise(noise_BN, objective.mask_ratio)
        return reconstruction_loss(self.predict(patches_BNP, mask), patches_BNP, mask, self.spec.patch_px, objective)

    def traced(self, x_BCHW: Tensor) -> Tensor:
        """Pass a standardised image through all layers, for counting their operations."""
        image_BCHW: Tensor = self.unet(x_BCHW)
        return image_BCHW

    def embed(self, x_BCHW: Tensor, pooling: str = "mean") -> Tensor:
        """Embed whole crops, (B, D) float32; see ``embed_each``."""
        return self.embed_each(x_BCHW, (pooling,))[pooling]

    def embed_each(self, x_BCHW: Tensor, poolings: Sequence[str]) -> dict[str, Tensor]:
        """Embed whole crops in several ways by one forward pass, each (B, D) float32.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        poolings
            ``mean`` over the bottleneck; ``block<k>``: over level k on the way down, 1 being the top and the last the
            bottleneck. There is no class token to take instead.

        Raises
        ------
        ConfigError
            For any other pooling.
        """
        check_poolings(poolings, self.poolings, self.spec.levels + 1, "munet")
        levels = self.unet.levels(self.image(x_BCHW))
        chosen = {name: levels[(block_of(name) or len(levels)) - 1] for name in poolings}
        return {name: x_BWHW.float().mean(dim=(2, 3)) for name, x_BWHW in chosen.items()}

    @torch.no_grad()
    def reconstruct(self, x_BCHW: Tensor, noise_BN: Tensor, mask_ratio: float = 0.25) -> tuple[Tensor, Tensor, Tensor]:
        """Return target, masked (NaN where hidden) and reconstruction, each (B, C, H, W) in standardised units."""
        patches_BNP = to_patches(self.image(x_BCHW), self.spec.patch_px)
        mask = mask_from_noise(noise_BN, mask_ratio)
        predicted_BMP = self.predict(patches_BNP, mask)
        visible_BKP = take(patches_BNP, mask.keep_BK)
        blank_BNP, filled_BNP = (
            restore(visible_BKP, masked_BMP, mask.restore_BN)
            for masked_BMP in (torch.full_like(predicted_BMP, torch.nan), predicted_BMP)
        )
        side = self.spec.patch_px
        return to_image(patches_BNP, side), to_image(blank_BNP, side), to_image(filled_BNP, side)
