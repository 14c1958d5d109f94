"""Every network that a configuration can name, with its number of parameters beside the published one.

Networks are made on torch's meta device, without memory: the largest takes a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from platemae.models.camae import CAMAE, count_parameters
from platemae.models.munet import PRESETS as MUNET_PRESETS
from platemae.models.pretrained import PAPER_BACKBONES
from platemae.models.registry import build, resolve
from platemae.models.settings import PRESETS as VIT_PRESETS
from platemae.models.wsl import PRESETS as WSL_PRESETS

PUBLISHED: dict[tuple[str, str], dict[str, int]] = {
    ("mae", "vit_s16"): {"encoder": 21_870_000, "decoder": 25_220_000},
    ("mae", "vit_b16"): {"encoder": 86_200_000, "decoder": 25_220_000},
    ("mae", "vit_b8"): {"encoder": 85_320_000, "decoder": 25_220_000},
    ("mae", "vit_l16"): {"encoder": 303_790_000, "decoder": 25_220_000},
    ("mae", "vit_l8"): {"encoder": 302_610_000, "decoder": 25_220_000},
    ("camae", "camae_s16"): {"encoder": 21_380_000, "all": 178_045_568},
}
"""PAPER.md 1.2, 1.5 and 1.9: of six channels; to four or five digits where the last are zeros."""
PRECISION = 5_000
"""Half of the last digit that the sources give of encoders and decoders."""
_PARTS = {"encoder": ("encoder", "unet", "body", "net"), "decoder": ("decoder",)}


@dataclass(frozen=True)
class Size:
    """One network and its parameters.

    Attributes
    ----------
    kind, preset, backbone
        As an entry of ``models`` names it; no backbone where the kind has none.
    encoder, decoder
        Trained parameters of these parts; the U-Net, DenseNet or timm network counts as encoder; 0 without decoder.
    trained
        Trained parameters of the whole network, projections and heads included.
    all
        Those, and what is fixed in a checkpoint of the released layout (kind camae): position tables and the like.
    published
        What the sources say of ``encoder``, ``decoder`` or ``all``.
    """

    kind: str
    preset: str
    backbone: str | None
    encoder: int
    decoder: int
    trained: int
    all: int
    published: dict[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool | None:
        """Whether every published count is met to its last digit; None where nothing is published."""
        checks = [abs(getattr(self, part) - count) <= _slack(part) for part, count in self.published.items()]
        return all(checks) if checks else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and ``agrees``, as JSON takes them."""
        return asdict(self) | {"agrees": self.agrees}


def _slack(part: str) -> int:
    return 0 if part == "all" else PRECISION


def entries() -> Iterator[dict[str, Any]]:
    """Yield ``kind``, ``preset`` and ``backbone`` of every preset of every kind of network."""
    vits = [preset for preset in VIT_PRESETS if not preset.startswith("camae")]
    named = {
        "mae": vits,
        "camae": [preset for preset in VIT_PRESETS if preset.startswith("camae")],
        "munet": list(MUNET_PRESETS),
    }
    yield from ({"kind": kind, "preset": preset, "backbone": None} for kind, found in named.items() for preset in found)
    yield from ({"kind": "wsl", "preset": preset, "backbone": "densenet"} for preset in WSL_PRESETS)
    yield from ({"kind": "wsl", "preset": preset, "backbone": "vit"} for preset in vits)
    yield from ({"kind": "pretrained", "preset": "tiny", "backbone": backbone} for backbone in PAPER_BACKBONES)
    yield from ({"kind": "untrained", "preset": preset, "backbone": None} for preset in vits)


def sizes(n_channels: int = 6, n_classes: int = 1139) -> list[Size]:
    """Return every network with its parameters.

    Parameters
    ----------
    n_channels
        Channels of a crop; the published counts are of six, and are left out for any other number.
    n_classes
        Classes of a classifier; 1139 is RxRx1 in the public code (PAPER.md 2.3).
    """
    return [_size(entry, n_channels, n_classes) for entry in entries()]


def _size(entry: dict[str, Any], n_channels: int, n_classes: int) -> Size:
    with torch.device("meta"):
        network = build(entry["kind"], _architecture(entry, n_classes), n_channels)
    trained = _count(network)
    parts = {
        part: sum(_count(child) for name, child in network.named_children() if name in names)
        for part, names in _PARTS.items()
    }
    whole = count_parameters(network).total if isinstance(network, CAMAE) else trained
    published = PUBLISHED.get((entry["kind"], entry["preset"]), {}) if n_channels == 6 else {}
    return Size(
        **entry, encoder=parts["encoder"], decoder=parts["decoder"], trained=trained, all=whole, published=published
    )


def _architecture(entry: dict[str, Any], n_classes: int) -> dict[str, Any]:
    described = getattr(resolve(entry["kind"]), "describe", None)
    if described is None:
        return VIT_PRESETS[entry["preset"]].to_dict()
    crop = {"crop_px": 256} if entry["kind"] == "pretrained" else {}
    found = dict(described(entry | {"architecture": crop, "domain": "plate"}))
    return found | ({"n_classes": n_classes} if entry["kind"] == "wsl" else {})


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def as_text(found: list[Size]) -> str:
    """Return the sizes as a table, a line a network, with what is published and whether it is met."""
    head = ("kind", "preset", "backbone", "encoder", "decoder", "trained", "all", "published")
    rows = [head, *(_cells(size) for size in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 3 <= place < 7 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cells(size: Size) -> tuple[str, ...]:
    """Return one line's texts."""
    verdict = {None: "", True: ": agrees", False: ": DIFFERS"}[size.agrees]
    published = ", ".join(f"{part} {_published(part, count)}" for part, count in size.published.items()) + verdict
    preset = "" if size.kind == "pretrained" else size.preset
    counts = [f"{count:,}" if count else "" for count in (size.encoder, size.decoder, size.trained, size.all)]
    return (size.kind, preset, size.backbone or "", *counts, published)


def _published(part: str, count: int) -> str:
    return f"{count:,}" if part == "all" else f"{count / 1e6:.2f} M"
