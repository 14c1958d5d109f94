"""Vision transformers trained on natural images, as timm has them (PAPER.md 1.1): no training here.

Shape legend: B batch, C channels, H W pixels, D width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from platemae.errors import ConfigError, ContractError, MissingError
from platemae.models.inputs import assert_sound, check_crops, check_keys, whole_numbers
from platemae.models.normalise import standardise
from platemae.models.pooling import check_poolings
from platemae.models.timm_gate import is_vision_transformer, vision_transformer
from platemae.models.weights_file import read_tensors

PAPER_BACKBONES = ("vit_small_patch16_384", "vit_base_patch16_384", "vit_base_patch8_224", "vit_large_patch16_384")
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_FRESH = ("fc_norm.",)
"""With mean pooling timm normalises the mean with a LayerNorm that these weights lack; it starts as the identity."""


@dataclass(frozen=True)
class PretrainedSpec:
    """What the network is.

    Attributes
    ----------
    backbone
        timm's name of a vision transformer; the papers' are ``PAPER_BACKBONES``.
    crop_px
        Side of the square crop, pixels; positions are interpolated to it.
    """

    backbone: str = PAPER_BACKBONES[0]
    crop_px: int = 256

    def __post_init__(self) -> None:
        assert_sound(whole_numbers(self, ("crop_px",)))
        known = isinstance(self.backbone, str) and _NAME.fullmatch(self.backbone)
        if not known or not is_vision_transformer(self.backbone):
            problem = f"timm has no vision transformer {self.backbone!r}"
            raise ConfigError(problem, "models: backbone", f"The papers use {', '.join(PAPER_BACKBONES)}.")


class Pretrained(nn.Module):
    """A timm vision transformer as the papers use it: any channels, mean over patches, per-image standardisation.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop; timm repeats the first layer's three, scaled to keep its response.
    """

    poolings: tuple[str, ...] = ("mean", "cls")

    def __init__(self, spec: PretrainedSpec, n_channels: int) -> None:
        super().__init__()
        if n_channels < 1:
            raise ConfigError("a model needs at least one channel", "n_channels", "Name the channels of the dataset.")
        self.spec, self.n_channels = spec, n_channels
        self.net = vision_transformer(spec.backbone, spec.crop_px, n_channels)

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> Pretrained:
        """Make the network, with random weights, from the fields of ``PretrainedSpec``.

        Raises
        ------
        ConfigError
            If a field or the number of channels is wrong.
        """
        return cls(PretrainedSpec(**check_keys(PretrainedSpec, architecture)), n_channels)

    @classmethod
    def describe(cls, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the architecture that a model's entry in the configuration asks for.

        Raises
        ------
        ConfigError
            If the backbone or a key of its ``architecture`` is unknown or wrong.
        """
        named = {} if entry["backbone"] is None else {"backbone": entry["backbone"]}
        return asdict(PretrainedSpec(**check_keys(PretrainedSpec, named | entry["architecture"])))

    def architecture(self) -> dict[str, Any]:
        """Return the fields of the spec, as model.json holds them."""
        return asdict(self.spec)

    def take_weights(self, file: Path | None, sha256: str | None = None) -> None:
        """Load the weights that the network was trained to elsewhere.

        Parameters
        ----------
        file
            safetensors, or torch's zip of tensors, in timm's layout; None asks timm, which downloads.
        sha256
            What the file's bytes must hash to; None: any.

        Raises
        ------
        MissingError
            If there is no such file, or timm cannot get its weights.
        ContractError
            If the file is no weights of this network.
        """
        if file is None:
            self.net = self._from_timm()
            return
        tensors = read_tensors(file, sha256)
        self._check(tensors, file)
        try:
            self.net = vision_transformer(self.spec.backbone, self.spec.crop_px, self.n_channels, tensors)
        except RuntimeError as error:
            what = f"the weights do not fit {self.spec.backbone}: {str(error).splitlines()[-1].strip()}"
            raise ContractError(what, str(file), "Name the backbone that the file belongs to.") from error

    def _from_timm(self) -> nn.Module:
        try:
            return vision_transformer(self.spec.backbone, self.spec.crop_px, self.n_channels, "timm")
        except (OSError, RuntimeError, ValueError) as error:  # what timm and its download clients raise
            what = f"timm cannot get the weights of {self.spec.backbone}: {(str(error).splitlines() or ['?'])[0]}"
            remedy = "Allow the download, or fetch the file elsewhere and name it."
            raise MissingError(what, "models: file", remedy) from error

    def _check(self, tensors: dict[str, Tensor], file: Path) -> None:
        missing = [n for n in self.net.state_dict() if n not in tensors and not n.startswith(_FRESH)]
        if missing:
            what = f"the file lacks {len(missing)} tensors of {self.spec.backbone}: {', '.join(missing[:5])}"
            raise ContractError(what, str(file), "Name the backbone that the file belongs to.")

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
            ``mean`` over the patches, or ``cls``.

        Raises
        ------
        ConfigError
            If a pooling is unknown.
        ContractError
            If the crops do not fit the network.
        """
        check_poolings(poolings, self.poolings, 0, "pretrained")
        with torch.autocast(x_BCHW.device.type, enabled=False):
            image_BCHW = standardise(check_crops(x_BCHW, self.n_channels, self.spec.crop_px))
        net: Any = self.net
        tokens_BTD = net.forward_features(image_BCHW)
        return {
            name: (tokens_BTD[:, 0] if name == "cls" else net.forward_head(tokens_BTD)).float() for name in poolings
        }
