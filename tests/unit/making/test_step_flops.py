"""Operations of a training step in model.json against torch's counter, forward and backward."""

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from platemae.making.facts import step_flops
from platemae.models import blocks
from platemae.models.munet import PRESETS as MUNETS
from platemae.models.registry import build
from platemae.models.settings import PRESETS, Objective
from platemae.models.wsl import PRESETS as WSLS

FAMILIES = {
    "mae": PRESETS["tiny"].to_dict(),
    "camae": PRESETS["camae_tiny"].to_dict(),
    "munet": asdict(MUNETS["munet_tiny"]),
    "wsl": {"backbone": "densenet", "n_classes": 2} | asdict(WSLS["wsl_tiny"]),
}
BATCH = 4


@pytest.mark.parametrize("kind", FAMILIES)
def test_three_forward_passes_are_a_step(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass takes twice the forward one, less the gradient of the pixels, which nobody asks for."""
    monkeypatch.setattr("platemae.models.camae.attend", blocks.attend_matmul)  # the counter knows no fused kernel
    monkeypatch.setattr(blocks, "attend", blocks.attend_matmul)
    module: Any = build(kind, FAMILIES[kind], 3)
    settings = SimpleNamespace(mask_ratio=0.75, global_batch=BATCH)
    side = module.spec.crop_px
    generator = torch.Generator().manual_seed(0)
    x_BCHW = torch.rand(BATCH, 3, side, side, generator=generator) * 255
    noise_BN = torch.rand(BATCH, module.noise_sizes[0], generator=generator)
    more = (torch.arange(BATCH) % 2,) if kind == "wsl" else ()
    with FlopCounterMode(display=False) as counter:
        module(x_BCHW, noise_BN, None, Objective(0.75, 0.0), *more)[0].backward()
    told = step_flops(SimpleNamespace(module=module, settings=settings, masks=True))  # type: ignore[arg-type]
    ratio = counter.get_total_flops() / told
    first_layer = {"mae": 0.99, "camae": 0.99, "munet": 0.98, "wsl": 0.88}[kind]
    assert first_layer < ratio <= 1.0, np.round(ratio, 4)
