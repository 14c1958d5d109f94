"""What a masked network makes of crops at several mask ratios, and the validation fields that it rebuilds worst.

Shape legend: B crops of a batch, K crops shown, R mask ratios, C channels, H W pixels, N tokens.
"""

from __future__ import annotations

import numpy as np
import torch

from platemae.data.sampler import fixed_specs
from platemae.making.model import Model
from platemae.making.shown import reconstructions
from platemae.training.randomness import VALIDATE, draw

RATIOS = (0.25, 0.5, 0.75, 0.9)
RATIO_CROPS = 2
WORST = 4


def gallery(model: Model) -> dict[str, np.ndarray]:
    """Return the fixed crops of `reconstructions`; of a masked network also those of `by_ratio` and `worst`."""
    found = reconstructions(model)
    if not model.masks or not len(found["target"]):
        return found
    return found | by_ratio(model, found["target"]) | worst(model)


def by_ratio(model: Model, target_KCHW: np.ndarray) -> dict[str, np.ndarray]:
    """Return the first crops shown under masks that grow, each holding the one before.

    Returns
    -------
    ``ratios`` (R,), ``ratio_masked`` and ``ratio_reconstruction`` (R, K, C, H, W) float16, as `reconstructions`.
    """
    count = min(RATIO_CROPS, len(target_KCHW))
    crops_BCHW = np.concatenate(model.validation)
    places = np.linspace(0, len(crops_BCHW) - 1, len(target_KCHW)).round().astype(int)[:count]
    shown = [_images(model, crops_BCHW[places], len(model.validation), ratio)[1:] for ratio in RATIOS]
    masked, rebuilt = (np.stack([pair[k] for pair in shown]).astype(np.float16) for k in (0, 1))
    return {"ratios": np.array(RATIOS), "ratio_masked": masked, "ratio_reconstruction": rebuilt}


def worst(model: Model) -> dict[str, np.ndarray]:
    """Return the validation crops with the largest mean squared error of hidden pixels, the worst first.

    Returns
    -------
    ``worst`` (K, 3, C, H, W) float16: target, masked, reconstruction; ``worst_error`` (K,); ``worst_plate`` and
    ``worst_group`` (K,), the field in its plate store; ``median_error``, of all validation crops;
    ``validation_crops``, how many these are.
    """
    ratio, batches = model.settings.mask_ratio, model.validation
    error_B = np.concatenate([_errors(*_images(model, crops, index, ratio)) for index, crops in enumerate(batches)])
    places = np.argsort(-error_B, kind="stable")[:WORST]
    sizes = [len(crops) for crops in batches]
    batch_of, starts = np.repeat(np.arange(len(sizes)), sizes), np.cumsum([0, *sizes])
    images = []
    for place in places:
        index = int(batch_of[place])
        images.append(np.stack(_images(model, batches[index], index, ratio), axis=1)[place - starts[index]])
    source = model.data.validation
    specs = fixed_specs(source.heights, source.widths, source.crop, len(error_B), model.settings.seed)
    plates, groups = zip(*(source.fields[specs[place].field] for place in places), strict=True)
    return {
        "worst": np.stack(images).astype(np.float16),
        "worst_error": error_B[places],
        "worst_plate": np.array(plates, dtype=np.str_),
        "worst_group": np.array(groups, dtype=np.str_),
        "median_error": np.array(np.median(error_B)),
        "validation_crops": np.array(len(error_B)),
    }


def _errors(target_BCHW: np.ndarray, masked_BCHW: np.ndarray, rebuilt_BCHW: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each crop's hidden pixels."""
    return np.nanmean(np.where(np.isnan(masked_BCHW), (target_BCHW - rebuilt_BCHW) ** 2, np.nan), axis=(1, 2, 3))


@torch.no_grad()
def _images(model: Model, crops_BCHW: np.ndarray, index: int, ratio: float) -> tuple[np.ndarray, ...]:
    """Return target, masked and reconstruction of crops under the masks of a validation batch."""
    module = model.module.eval()
    x_BCHW = torch.from_numpy(crops_BCHW).to(next(iter(module.state_dict().values())).device)
    noise_BN, _ = draw(model.settings.seed, VALIDATE, index, len(x_BCHW), module.noise_sizes, slice(None))
    return tuple(image.float().cpu().numpy() for image in module.reconstruct(x_BCHW, noise_BN.to(x_BCHW.device), ratio))
