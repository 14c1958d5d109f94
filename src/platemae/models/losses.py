"""The reconstruction loss of PAPER.md 1.8, always in float32.

Shape legend: B batch, N patches, P = C * patch * patch, C channels, H W pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from platemae.models.normalise import to_image
from platemae.models.settings import Objective


class LossParts(NamedTuple):
    """Scalars: ``total`` = (1 - a) ``mse`` + a ``fourier``."""

    total: Tensor
    mse: Tensor
    fourier: Tensor


def masked_mean(value_BN: Tensor, hidden_BN: Tensor) -> Tensor:
    """Average over the masked patches alone."""
    return (value_BN * hidden_BN).sum() / hidden_BN.sum()


def masked_mse(predicted_BNP: Tensor, target_BNP: Tensor, hidden_BN: Tensor) -> Tensor:
    """Mean squared error of a patch's pixels, averaged over masked patches; no per-patch pixel norm."""
    return masked_mean((predicted_BNP - target_BNP).square().mean(-1), hidden_BN)


def _amplitude_distance(predicted: Tensor, target: Tensor, norm: str) -> Tensor:
    difference = torch.fft.fft2(predicted).abs() - torch.fft.fft2(target).abs()
    return difference.abs() if norm == "l1" else difference.square()


def fourier_patch(predicted_BNP: Tensor, target_BNP: Tensor, hidden_BN: Tensor, patch_px: int, norm: str) -> Tensor:
    """Distance of the amplitudes |FFT2| (un-normalised) of each channel of each masked patch."""
    shape = (*predicted_BNP.shape[:2], -1, patch_px, patch_px)
    distance = _amplitude_distance(predicted_BNP.view(shape), target_BNP.view(shape), norm)
    return masked_mean(distance.flatten(2).mean(-1), hidden_BN)


def fourier_image(predicted_BNP: Tensor, target_BNP: Tensor, hidden_BN: Tensor, patch_px: int, norm: str) -> Tensor:
    """Distance of the amplitudes |FFT2| (un-normalised) of whole channels.

    Visible patches carry the true pixels: the network is not asked for them, so they must not bend the spectrum.
    """
    pasted_BNP = torch.where(hidden_BN[..., None] > 0, predicted_BNP, target_BNP)
    return _amplitude_distance(to_image(pasted_BNP, patch_px), to_image(target_BNP, patch_px), norm).mean()


def reconstruction_loss(
    predicted_BNP: Tensor, target_BNP: Tensor, hidden_BN: Tensor, patch_px: int, objective: Objective
) -> LossParts:
    """Mix squared error and Fourier term.

    Parameters
    ----------
    predicted_BNP, target_BNP
        Patches in standardised units.
    hidden_BN
        1 where a patch is masked.
    patch_px
        Side of a patch in pixels.
    objective
        Weight, layout and norm of the Fourier term.

    Returns
    -------
    LossParts
        Scalars with gradient; the Fourier part is 0 where its weight is.
    """
    with torch.autocast(predicted_BNP.device.type, enabled=False):  # bfloat16 spectra would be noise
        predicted_BNP, target_BNP = predicted_BNP.float(), target_BNP.float()
        mse = masked_mse(predicted_BNP, target_BNP, hidden_BN)
        weight = objective.fourier_weight
        if weight == 0:
            return LossParts(mse, mse.detach(), torch.zeros_like(mse))
        distance = fourier_patch if objective.fourier_layout == "patch" else fourier_image
        fourier = distance(predicted_BNP, target_BNP, hidden_BN, patch_px, objective.fourier_norm)
        return LossParts((1 - weight) * mse + weight * fourier, mse.detach(), fourier.detach())
