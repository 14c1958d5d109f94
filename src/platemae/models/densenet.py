"""DenseNet, with the names of parameters of torchvision's and timm's.

Shape legend: B batch, C channels, H W pixels, D features.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from platemae.models.adabn import DomainBatchNorm
from platemae.models.inputs import assert_sound, whole_numbers


@dataclass(frozen=True)
class DenseNetSpec:
    """What a DenseNet is.

    Attributes
    ----------
    crop_px
        Side of the square crop, pixels.
    stem
        Channels of the first convolution.
    growth
        Channels that each dense layer adds.
    blocks
        Dense layers of each block, as text: ``6-12-36-24`` is DenseNet-161.
    bottleneck
        Width of the 1 x 1 convolution in a dense layer over ``growth``.
    """

    crop_px: int = 256
    stem: int = 96
    growth: int = 48
    blocks: str = "6-12-36-24"
    bottleneck: int = 4

    def __post_init__(self) -> None:
        problems = whole_numbers(self, ("crop_px", "stem", "growth", "bottleneck"))
        parts = self.blocks.split("-") if isinstance(self.blocks, str) else [""]
        if not all(part.isdecimal() and int(part) > 0 for part in parts):
            problems.append(f"blocks must be numbers joined by '-', such as 6-12-36-24, not {self.blocks!r}")
        assert_sound(problems)
        least = 2 ** (len(self.layers) + 1)
        assert_sound([f"crop_px must be at least {least} for {self.blocks}"] if self.crop_px < least else [])

    @property
    def layers(self) -> list[int]:
        """Dense layers of each block."""
        return [int(part) for part in self.blocks.split("-")]


class DenseLayer(nn.Module):
    """Two normalised convolutions, whose result is joined to all features before."""

    def __init__(self, n_in: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.norm1 = DomainBatchNorm(n_in)
        self.conv1 = nn.Conv2d(n_in, bottleneck * growth, 1, bias=False)
        self.norm2 = DomainBatchNorm(bottleneck * growth)
        self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Return the features with ``growth`` more."""
        new = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x_BDHW))))))
        return torch.cat([x_BDHW, new], dim=1)


class Transition(nn.Module):
    """Half the features at half the side, between two blocks."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.norm = DomainBatchNorm(n_in)
        self.conv = nn.Conv2d(n_in, n_in // 2, 1, bias=False)

    def forward(self, x_BDHW: Tensor) -> Tensor:
        """Shrink."""
        return F.avg_pool2d(self.conv(F.relu(self.norm(x_BDHW))), 2)


class DenseNet(nn.Module):
    """The features of a DenseNet, averaged over the crop: ``width`` of them.

    Parameters
    ----------
    spec
        The architecture.
    n_channels
        Channels of a crop.
    """

    def __init__(self, spec: DenseNetSpec, n_channels: int) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv0"] = nn.Conv2d(n_channels, spec.stem, 7, stride=2, padding=3, bias=False)
        layers["norm0"] = DomainBatchNorm(spec.stem)
        layers["relu0"] = nn.ReLU()
        layers["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        width = spec.stem
        for number, count in enumerate(spec.layers, start=1):
            layers[f"denseblock{number}"] = _block(width, count, spec)
            width += count * spec.growth
            if number < len(spec.layers):
                layers[f"transition{number}"] = Transition(width)
                width //= 2
        layers["norm5"] = DomainBatchNorm(width)
        self.features, self.width = nn.Sequential(layers), width
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the features of standardised crops, (B, D)."""
        features_BDHW: Tensor = self.features(x_BCHW)
        return F.relu(features_BDHW).mean(dim=(2, 3))


def _block(width: int, count: int, spec: DenseNetSpec) -> nn.Sequential:
    widths = [width + index * spec.growth for index in range(count)]
    layers = [DenseLayer(n_in, spec.growth, spec.bottleneck) for n_in in widths]
    return nn.Sequential(OrderedDict((f"denselayer{i}", layer) for i, layer in enumerate(layers, start=1)))
