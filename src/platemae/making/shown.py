"""What a model makes of a few fixed validation crops, and its validation loss where it was not trained.

Shape legend: B crops, K crops shown, C channels, H W pixels, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from platemae.making.files import LOSSES
from platemae.making.model import Model
from platemae.training.loop import Batch
from platemae.training.randomness import VALIDATE, draw

SHOWN_CROPS = 12
SHOWN = ("target", "masked", "reconstruction")


@torch.no_grad()
def untrained_row(model: Model, validation: Sequence[Batch]) -> dict[str, Any]:
    """Return the history of a network that was not trained: its validation loss, at step 0."""
    module, seed = model.module.eval(), model.settings.seed
    sums, count, device = np.zeros(3), 0, next(module.parameters()).device
    for index, batch in enumerate(validation):
        x_BCHW, *more = (torch.as_tensor(part).to(device) for part in (batch if isinstance(batch, tuple) else (batch,)))
        noise_BN, _ = draw(seed, VALIDATE, index, len(x_BCHW), module.noise_sizes, slice(None))
        parts = module(x_BCHW, noise_BN.to(device), None, model.settings.objective, *more)
        sums += len(x_BCHW) * np.array([float(part) for part in parts])
        count += len(x_BCHW)
    losses = (sums / count).tolist() if count else []  # a classifier without a known label to check has none
    return {"step": 0, "crops": 0} | (dict(zip(LOSSES[3:], losses, strict=True)) if losses else {})


@torch.no_grad()
def reconstructions(model: Model, count: int = SHOWN_CROPS) -> dict[str, np.ndarray]:
    """Return a few fixed validation crops: target, masked (NaN where hidden) and reconstruction, (K, C, H, W).

    A network that reconstructs nothing shows none, K = 0.
    """
    module, settings, crops_BCHW = model.module.eval(), model.settings, np.concatenate(model.validation)
    if not hasattr(module, "reconstruct"):
        return dict.fromkeys(SHOWN, crops_BCHW[:0])
    chosen = crops_BCHW[np.linspace(0, len(crops_BCHW) - 1, count).round().astype(int)]
    x = torch.from_numpy(chosen).to(next(iter(module.state_dict().values())).device)
    if model.masks:
        index = len(model.validation)  # a mask that no validation batch has
        noise_BN, _ = draw(settings.seed, VALIDATE, index, len(x), module.noise_sizes, slice(None))
        images = module.reconstruct(x, noise_BN.to(x.device), settings.mask_ratio)
    else:
        target, kept = module.reconstruct(x)
        images = (target, target, kept)
    return {name: image.float().cpu().numpy() for name, image in zip(SHOWN, images, strict=True)}


def crops_so_far(model: Model) -> np.ndarray | None:
    """Return what a network in training makes of three crops, (K, 3, C, H, W); the training does not notice.

    None where it reconstructs nothing.
    """
    if not model.masks or not hasattr(model.module, "reconstruct") or not model.validation:
        return None
    was_training = model.module.training
    try:
        return np.stack([*reconstructions(model, 3).values()], axis=1)
    finally:
        model.module.train(was_training)


@torch.no_grad()
def accuracy(model: Model, validation: Sequence[Any]) -> dict[str, Any]:
    """Return the number of classes, and the share of validation crops whose class is the likeliest."""
    module = model.module.eval()
    device, facts = next(module.parameters()).device, {"classes": module.head_spec.n_classes}
    right = [
        module.classify(torch.from_numpy(x_BCHW).to(device)).argmax(1).cpu().numpy() == label_B
        for x_BCHW, label_B in validation
    ]
    return facts | ({"val_accuracy": float(np.concatenate(right).mean())} if right else {})
