"""What a model's network costs: operations of a training crop and of an embedded one, and its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from platemae.contracts import TABLE_KINDS, canonical, is_optimised

CLASSES = 1139
"""Classes of a classifier whose labels are not counted yet (RxRx1)."""
STANDS_FOR_FILE = {"kind": "camae", "preset": "camae_s16", "architecture": {}}
"""Counted in place of a network whose file is not read, which is OpenPhenom's."""


@dataclass(frozen=True)
class NetworkCost:
    """Operations and size of one network.

    Parameters
    ----------
    train_flops
        Forward pass of a training crop; 0 for one that is not trained.
    embed_flops
        Forward pass of an unmasked crop.
    parameters
        All of them.
    width
        Length of a crop's vector.
    crop_px
        Edge of its crops.
    """

    train_flops: int
    embed_flops: int
    parameters: int
    width: int
    crop_px: int


NO_NETWORK = NetworkCost(0, 0, 0, 500, 0)


def network_cost(model: Mapping[str, Any], train: Mapping[str, Any], n_channels: int) -> NetworkCost:
    """Return what a model costs.

    Parameters
    ----------
    model, train
        What ``train_model`` reads of the configuration.
    n_channels
        Channels of its plates.

    Raises
    ------
    ConfigError
        When its architecture is wrong.
    """
    if model["kind"] in TABLE_KINDS:
        return NO_NETWORK
    if model["kind"] == "checkpoint":
        model = STANDS_FOR_FILE
    needed = ("kind", "preset", "architecture", "backbone", "domain", "label", "file", "sha256")
    text = canonical({key: model[key] for key in needed if key in model})
    mask_ratio = float(train["mask_ratio"]) if is_optimised(model["kind"], train["steps"]) else 0.0
    return _counted(text, mask_ratio, n_channels)


@lru_cache(maxsize=256)
def _counted(text: str, mask_ratio: float, n_channels: int) -> NetworkCost:
    import torch

    from platemae.making.key import architecture_of
    from platemae.models.flops import counted_flops, encoder_flops
    from platemae.models.registry import build
    from platemae.models.settings import Architecture, ChannelArchitecture

    entry = json.loads(text)
    spec = architecture_of(entry)
    if entry["kind"] == "tile_pca":  # matrix products of a fixed basis: next to reading the crops, nothing
        return NetworkCost(0, 0, 0, 384, int(spec["crop_px"]))
    if entry["kind"] == "wsl":
        spec |= {"n_classes": CLASSES}
    with torch.device("meta"):
        network = build(entry["kind"], spec, n_channels)
    parameters = sum(p.numel() for p in network.parameters())
    vit = getattr(network, "spec", None)
    if isinstance(vit, Architecture):
        channels_apart = isinstance(vit, ChannelArchitecture)
        tokens = vit.n_patches * (n_channels if channels_apart else 1)
        embed = encoder_flops(vit, 1 if channels_apart else n_channels, tokens)
        closed: Any = getattr(network, "forward_flops", None)  # a classifier has none: it sees whole crops
        trained = int(closed(mask_ratio)) if closed else embed
        return NetworkCost(trained if mask_ratio else 0, embed, parameters, vit.width, vit.crop_px)
    if entry["kind"] == "pretrained":
        counted = _timm_flops(network)
        return NetworkCost(0, counted, parameters, int(network.net.num_features), int(spec["crop_px"]))  # type: ignore[union-attr,arg-type]
    counted = counted_flops(network)
    return NetworkCost(counted if mask_ratio else 0, counted, parameters, 384, int(spec.get("crop_px", 256)))


def _timm_flops(network: Any) -> int:
    """Count one forward pass of a timm backbone on shapes alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    side = network.spec.crop_px
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.net.to("meta").forward_features(torch.empty(1, network.n_channels, side, side, device="meta"))
    return int(counter.get_total_flops())
