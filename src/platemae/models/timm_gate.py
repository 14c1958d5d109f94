"""The only module that imports timm.

The CPU build of torch meets a torchvision wheel whose compiled part needs CUDA libraries: importing torchvision then
fails on operators that were never registered, and timm with it. The shim registers names for those operators, so that
the Python part imports; where torchvision is sound it changes nothing.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

_LIBRARIES: list[torch.library.Library] = []  # a Library takes its operators along when it is collected
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")


def ensure_torchvision_importable(max_ops: int = 8) -> bool:
    """Make ``import torchvision`` work beside this torch.

    Parameters
    ----------
    max_ops
        The most missing operators to stand in for.

    Returns
    -------
    bool
        True when torchvision's compiled operators are usable, False when only its Python part is.

    Raises
    ------
    ImportError
        If torchvision is absent or fails for any other reason.
    """
    import torch

    for _ in range(max_ops):
        try:
            return bool(importlib.import_module("torchvision").extension._has_ops())
        except RuntimeError as error:
            match = _MISSING.search(str(error))
            if match is None:
                raise ImportError("torchvision cannot be imported") from error
        for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{match.group(1)}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
    raise ImportError("torchvision cannot be imported beside this torch")


def lion_class() -> type[Optimizer]:
    """Return timm's Lion optimiser class (PAPER.md 2.1 trains with it)."""
    ensure_torchvision_importable()
    from timm.optim.lion import Lion

    return Lion


def is_vision_transformer(name: str) -> bool:
    """Tell whether timm has a plain vision transformer of this name; a tag after a dot names its weights."""
    ensure_torchvision_importable()
    from timm import is_model, list_models

    plain = name.split(".")[0]
    return is_model(plain) and plain in list_models(module="vision_transformer")


def vision_transformer(
    name: str, crop_px: int, n_channels: int, weights: dict[str, torch.Tensor] | Literal["timm"] | None = None
) -> nn.Module:
    """Make a timm vision transformer without classes, whose output is the mean over its patches (PAPER.md 1.1).

    Parameters
    ----------
    name
        timm's name.
    crop_px, n_channels
        Side and channels of a crop; timm fits first layer and positions to them.
    weights
        Tensors in timm's layout, ``timm`` for what timm downloads, None for random ones.
    """
    ensure_torchvision_importable()
    from timm import create_model

    return create_model(
        name,
        pretrained=weights is not None,
        pretrained_cfg_overlay={"state_dict": weights} if isinstance(weights, dict) else None,
        img_size=crop_px,
        in_chans=n_channels,
        num_classes=0,
        global_pool="avg",
    )
