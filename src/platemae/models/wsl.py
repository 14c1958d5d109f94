"""The weakly supervised baseline: a classifier of perturbations, whose embedding is the layer before its classes.

The papers name DenseNet-161 with AdaBN and no recipe. The neck is that of a public solution by one of their authors
(PAPER.md 2.4): that it underlies the papers is inference. Its ArcFace head, CutMix and ImageNet start are left out
(docs/decisions.md).

Shape legend: B batch, C channels, H W pixels, N patches, L encoder blocks, D features, E embedding, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platemae.errors import ConfigError
from platemae.models.adabn import DomainBatchNorm, adapt, averages_kept, use_batch
from platemae.models.blocks import ParallelScalingBlock
from platemae.models.densenet import DenseLayer, DenseNet, DenseNetSpec
from platemae.models.inputs import assert_sound, check_crops, check_keys, preset_of, whole_numbers
from platemae.models.normalise import standardise, to_patches
from platemae.models.pooling import check_poolings
from platemae.models.settings import PRESETS as VIT_PRESETS
from platemae.models.settings import Architecture, Objective
from platemae.models.vit import ViT

Body = DenseNetSpec | Architecture
BODIES: dict[str, type[Body]] = {"densenet": DenseNetSpec, "vit": Architecture}
PRESETS: dict[str, Body] = {
    "wsl_tiny": DenseNetSpec(crop_px=32, stem=16, growth=8, blocks="2-2"),
    "wsl_densenet161": DenseNetSpec(),
}
WSL_OBJECTIVE = Objective()


@dataclass(frozen=True)
class Head:
    """What stands on the features.

    Attributes
    ----------
    n_classes
        K; the training set says how many labels there are.
    embedding
        E: 1024 in the public recipe; public embeddings of RxRx1 have 128, unverified (PAPER.md 2.4).
    adabn
        Whether statistics are of one domain, or running averages over all batches.
    """

    n_classes: int = 2
    embedding: int = 1024
    adabn: bool = True

    def __post_init__(self) -> None:
        problems = whole_numbers(self, ("n_classes", "embedding"))
        if self.n_classes == 1:
            problems.append("a classifier needs at least two classes, there is one")
        if type(self.adabn) is not bool:
            problems.append("adabn must be true or false")
        assert_sound(problems)


def _neck(width: int, embedding: int) -> nn.Sequential:
    """BN, linear, ReLU, BN, linear, BN; no biases (PAPER.md 2.4)."""
    inner = DomainBatchNorm(embedding)
    # The last norm takes any shift away: the gradient of this one is rounding noise, whose sign Lion would follow.
    inner.bias.requires_grad_(False)
    return nn.Sequential(
        DomainBatchNorm(width),
        nn.Linear(width, embedding, bias=False),
        nn.ReLU(),
        inner,
        nn.Linear(embedding, embedding, bias=False),
        DomainBatchNorm(embedding),
    )


class TokenMean(nn.Module):
    """The encoder of the masked autoencoders as features: the mean of its patch tokens."""

    def __init__(self, spec: Architecture, n_channels: int) -> None:
        super().__init__()
        self.encoder, self.patch_px, self.width = ViT(spec, n_channels), spec.patch_px, spec.width
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight.view(layer.weight.shape[0], -1))
        nn.init.normal_(self.encoder.cls_token, std=0.02)

    def forward(self, x_BCHW: Tensor, path_noise_BL: Tensor | None = None) -> Tensor:
        """Return the features of standardised crops, (B, D)."""
        tokens_BTD = self.encoder(to_patches(x_BCHW, self.patch_px), None, path_noise_BL)
        return tokens_BTD[:, 1:].mean(dim=1)


class WSL(nn.Module):
    """A network that learns to tell perturbations apart.

    Parameters
    ----------
    body
        What computes features: a DenseNet or the encoder of the masked autoencoders.
    head
        What stands on them.
    n_channels
        Channels of a crop.
    """

    poolings: tuple[str, ...] = ("mean",)

    batch_statistics = True
    """The loss of a batch is no mean over its crops: batches cannot be cut."""

    def __init__(self, body: Body, head: Head, n_channels: int) -> None:
        super().__init__()
        if n_channels < 1:
            raise ConfigError("a model needs at least one channel", "n_channels", "Name the channels of the dataset.")
        self.spec, self.head_spec, self.n_channels = body, head, n_channels
        self.body: nn.Module = (
            DenseNet(body, n_channels) if isinstance(body, DenseNetSpec) else TokenMean(body, n_channels)
        )
        self.neck = _neck(int(self.body.width), head.embedding)  # type: ignore[arg-type]
        self.head = nn.Linear(head.embedding, head.n_classes)

    @classmethod
    def from_dict(cls, architecture: dict[str, Any], n_channels: int) -> WSL:
        """Make the network from ``backbone``, the fields of its spec and those of ``Head``.

        Raises
        ------
        ConfigError
            If a field or the number of channels is wrong.
        """
        values = dict(architecture)
        kind = _backbone(values.pop("backbone", "densenet"))
        head = Head(**{f.name: values.pop(f.name) for f in fields(Head) if f.name in values})
        return cls(kind(**check_keys(kind, values)), head, n_channels)

    @classmethod
    def describe(cls, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the architecture that a model's entry in the configuration asks for; its classes are counted later.

        Raises
        ------
        ConfigError
            If backbone, preset or a key of its ``architecture`` is unknown or wrong.
        """
        backbone = entry["backbone"] or "densenet"
        presets: dict[str, Any] = PRESETS if _backbone(backbone) is DenseNetSpec else VIT_PRESETS
        start = asdict(preset_of(presets, entry["preset"], f"wsl with backbone {backbone}"))
        head = asdict(Head(adabn=entry["domain"] != "none"))
        values = {"backbone": backbone} | start | head | entry["architecture"]
        return cls._checked(values)

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> dict[str, Any]:
        body = {key: value for key, value in values.items() if key not in {"backbone", *(f.name for f in fields(Head))}}
        kind = _backbone(values["backbone"])
        head = Head(**{f.name: values[f.name] for f in fields(Head)})
        return {"backbone": values["backbone"]} | asdict(kind(**check_keys(kind, body))) | asdict(head)

    def architecture(self) -> dict[str, Any]:
        """Return what ``from_dict`` takes, as model.json holds it."""
        backbone = next(name for name, kind in BODIES.items() if isinstance(self.spec, kind))
        return {"backbone": backbone} | asdict(self.spec) | asdict(self.head_spec)

    @property
    def noise_sizes(self) -> tuple[int, int]:
        """Uniform numbers that one sample needs: none for masks, one a block for a ViT's stochastic depth."""
        if isinstance(self.spec, Architecture) and self.spec.drop_path > 0:
            return 0, self.spec.depth
        return 0, 0

    def units(self) -> list[nn.Module]:
        """Dense layers or blocks, which a trainer may compute twice, or spread over processes one by one."""
        return [layer for layer in self.body.modules() if isinstance(layer, DenseLayer | ParallelScalingBlock)]

    def recomputing(self) -> AbstractContextManager[None]:
        """Return the context in which a part computed again counts in no running average a second time."""
        return averages_kept(self)

    def _features(self, x_BCHW: Tensor, path_noise_BL: Tensor | None = None) -> Tensor:
        with torch.autocast(x_BCHW.device.type, enabled=False):
            image_BCHW = standardise(check_crops(x_BCHW, self.n_channels, self.spec.crop_px))
        noise = () if path_noise_BL is None else (path_noise_BL,)
        features_BE: Tensor = self.neck(self.body(image_BCHW, *noise))
        return features_BE

    def classify(self, x_BCHW: Tensor, path_noise_BL: Tensor | None = None) -> Tensor:
        """Score the classes of crops of one domain, (B, K); with AdaBN each batch is normalised by itself.

        Raises
        ------
        ContractError
            If the crops do not fit the network.
        """
        use_batch(self, self.head_spec.adabn)
        scores_BK: Tensor = self.head(self._features(x_BCHW, path_noise_BL))
        use_batch(self, False)
        return scores_BK

    def forward(
        self,
        x_BCHW: Tensor,
        _noise: Tensor,
        path_noise_BL: Tensor | None = None,
        _objective: Objective = WSL_OBJECTIVE,
        label_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross entropy; there is no squared error and no Fourier term, which are NaN.

        Parameters
        ----------
        x_BCHW
            Crops of one domain, uint8 or float, 0..255.
        _noise, _objective
            What the trainer gives for masks, which a classifier has none of.
        path_noise_BL
            Uniform numbers for the stochastic depth of a ViT; None drops nothing.
        label_B
            Class of each crop.

        Raises
        ------
        ContractError
            If the crops do not fit the network.
        ConfigError
            If there are no labels.
        """
        if label_B is None:
            raise ConfigError("a classifier got crops without labels", "models: label", "Train it on labelled fields.")
        scores_BK = self.classify(x_BCHW, path_noise_BL)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            loss = F.cross_entropy(scores_BK.float(), label_B.long())
        absent = loss.detach() * torch.nan
        return loss, absent, absent

    def adapt(self, batches: Callable[[], Iterable[Tensor]], exact: bool = False) -> int:
        """Take the statistics of a domain (see ``adabn.adapt``); without AdaBN do nothing, and return 0."""
        return adapt(self, self._features, batches, exact) if self.head_spec.adabn else 0

    def embed(self, x_BCHW: Tensor, pooling: str = "mean") -> Tensor:
        """Embed whole crops, (B, E) float32; see ``embed_each``."""
        return self.embed_each(x_BCHW, (pooling,))[pooling]

    def embed_each(self, x_BCHW: Tensor, poolings: Sequence[str]) -> dict[str, Tensor]:
        """Embed whole crops, (B, E) float32, by the statistics of the last ``adapt``; the classes play no part.

        Parameters
        ----------
        x_BCHW
            Crops, uint8 or float, 0..255.
        poolings
            ``mean``: the features over the whole crop, which is what the classes were learned from.

        Raises
        ------
        ConfigError
            For any other pooling.
        """
        check_poolings(poolings, self.poolings, 0, "wsl")
        return dict.fromkeys(poolings, self._features(x_BCHW).float())

    def traced(self, x_BCHW: Tensor) -> Tensor:
        """Pass a standardised crop through all layers, for counting their operations."""
        scores_BK: Tensor = self.head(self.neck(self.body(x_BCHW)))
        return scores_BK


def _backbone(name: Any) -> type[Body]:
    if name not in BODIES:
        raise ConfigError(f"wsl has no backbone {name!r}", "models: backbone", f"Use one of {', '.join(BODIES)}.")
    return BODIES[name]
