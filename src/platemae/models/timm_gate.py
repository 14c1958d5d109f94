"""The only module that imports timm.

The CPU build of torch meets a torchvision wheel whose compiled part needs CUDA libraries: importing torchvision then
fails on operators that were never registered, and timm with it. The shim registers names for those operators, so that
the Python part imports; where torchvision is sound it changes nothing.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
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
