"""The reconstruction loss of PAPER.md 1.8, always in float32, on masked patches alone.

Shape legend: B batch, N patches, M masked patches, P = C * patch * patch, C channels, H W pixels, ... any.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from platemae.models.masking import Mask, restore, take
from platemae.models.normalise import to_image
from platemae.models.settings import Objective


class LossParts(NamedTuple):
    """Scalars: ``total`` = (1 - a) ``mse`` + a ``fourier``; only ``total`` carries a gradient."""

    total: Tensor
    mse: Tensor
    fourier: Tensor


def amplitude_distance(predicted: Tensor, target: Tensor, norm: str) -> Tensor:
    """Mean distance of the amplitudes |FFT2|, un-normalised transform, over the last two dimensions.

    Parameters
    ----------
    predicted, target
        Real images (..., H, W).
    norm
        ``l1`` mean absolute or ``l2`` mean squared difference.

    Returns
    -------
    Tensor
        A scalar, the mean over all images and all H * W frequencies.
    """
    # A real image has a symmetric spectrum: half of it is enough when the mirrored columns count twice.
    difference = torch.fft.rfft2(predicted).abs() - torch.fft.rfft2(target).abs()
    distance = difference.abs() if norm == "l1" else difference.square()
    mirrored = distance[..., 1 : (predicted.shape[-1] + 1) // 2]
    return (distance.sum() + mirrored.sum()) / predicted.numel()


def fourier_patch(predicted_BMP: Tensor, target_BMP: Tensor, patch_px: int, norm: str) -> Tensor:
    """Compare the spectra of each channel of each masked patch."""
    shape = (*predicted_BMP.shape[:2], -1, patch_px, patch_px)
    return amplitude_distance(predicted_BMP.reshape(shape), target_BMP.reshape(shape), norm)


def fourier_image(
    predicted_BMP: Tensor, patches_BNP: Tensor, mask: Mask, patch_px: int, norm: str, n_channels: int = 1
) -> Tensor:
    """Compare the spectra of whole channels.

    Where patches are of single channels, ``n_channels`` says how many channels lie one after another in N.
    Visible patches carry the true pixels: the network is not asked for them, so they must not bend the spectrum.
    """
    pasted_BNP = restore(take(patches_BNP, mask.keep_BK), predicted_BMP, mask.restore_BN)
    predicted_image, true_image = (
        to_image(p_BNP.unflatten(1, (n_channels, -1)).flatten(0, 1), patch_px) for p_BNP in (pasted_BNP, patches_BNP)
    )
    return amplitude_distance(predicted_image, true_image, norm)


def reconstruction_loss(
    predicted_BMP: Tensor, patches_BNP: Tensor, mask: Mask, patch_px: int, objective: Objective, n_channels: int = 1
) -> LossParts:
    """Mix squared error and Fourier term.

    Every sample has the same number of masked patches, so that the mean over processes is the mean over the batch.

    Parameters
    ----------
    predicted_BMP
        The masked patches as the network sees them, in standardised units.
    patches_BNP
        All true patches.
    mask
        Which patches are masked.
    patch_px
        Side of a patch in pixels.
    objective
        Weight, layout and norm of the Fourier term.
    n_channels
        Where patches are of single channels: how many channels lie one after another in N.

    Returns
    -------
    LossParts
        The Fourier part is 0 where its weight is.
    """
    with torch.autocast(predicted_BMP.device.type, enabled=False):  # bfloat16 spectra would be noise
        predicted_BMP, target_BMP = predicted_BMP.float(), take(patches_BNP, mask.hidden_BM)
        mse = (predicted_BMP - target_BMP).square().mean()
        weight, norm = objective.fourier_weight, objective.fourier_norm
        if weight == 0:
            return LossParts(mse, mse.detach(), torch.zeros_like(mse))
        if objective.fourier_layout == "patch":
            fourier = fourier_patch(predicted_BMP, target_BMP, patch_px, norm)
        else:
            fourier = fourier_image(predicted_BMP, patches_BNP, mask, patch_px, norm, n_channels)
        return LossParts((1 - weight) * mse + weight * fourier, mse.detach(), fourier.detach())
