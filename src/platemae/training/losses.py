"""The losses of crops: which random numbers they take, and in which precision they are computed.

Shape legend: B crops of this process, C channels, H W pixels, N patches, L encoder blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from platemae.training import distributed
from platemae.training.randomness import TRAIN, VALIDATE, draw
from platemae.training.settings import TrainSettings

Noise = tuple[Tensor, Tensor | None]
"""Of masks (B, N) and of stochastic depth (B, L), None for networks without."""


class Losses:
    """Runs a network on crops of this process.

    Parameters
    ----------
    settings
        Objective, precision, seed and global batch.
    mine
        Place of this process among all.
    device
        Where the network is.
    sizes
        Random numbers that a crop needs for its mask (N) and for stochastic depth (L).
    """

    def __init__(
        self, settings: TrainSettings, mine: distributed.Ranks, device: torch.device, sizes: tuple[int, int]
    ) -> None:
        self.settings, self.mine, self.device, self.sizes = settings, mine, device, sizes
        self.bfloat16 = distributed.choose_bfloat16(settings.precision, device)

    def training_noise(self, step: int) -> Noise:
        """Draw the random numbers of a step for this process's part: they belong to places in the global batch."""
        batch, part = self.settings.global_batch, self.mine.part(self.settings.global_batch)
        return draw(self.settings.seed, TRAIN, step, batch, self.sizes, part)

    def of_rows(self, model: nn.Module, inputs: tuple[Tensor, ...], noise: Noise, rows: slice) -> tuple[Tensor, ...]:
        """Compute the losses of some rows of this process's part."""
        noise_BN, path_noise_BL = noise
        path_noise_BL = None if path_noise_BL is None else path_noise_BL[rows]
        return self._compute(model, tuple(values[rows] for values in inputs), (noise_BN[rows], path_noise_BL))

    def of_validation(self, model: nn.Module, inputs: tuple[Tensor, ...], index: int) -> tuple[Tensor, ...]:
        """Compute the losses of a validation batch, with the masks that it always has and no stochastic depth."""
        noise_BN, _ = draw(self.settings.seed, VALIDATE, index, len(inputs[0]), self.sizes, slice(None))
        return self._compute(model, inputs, (noise_BN, None))

    def _compute(self, model: nn.Module, inputs: tuple[Tensor, ...], noise: Noise) -> tuple[Tensor, ...]:
        (x_BCHW, *more), (noise_BN, path_noise_BL) = inputs, noise
        noise_BN = noise_BN.to(self.device)
        path_noise_BL = None if path_noise_BL is None else path_noise_BL.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            losses: tuple[Tensor, ...] = model(x_BCHW, noise_BN, path_noise_BL, self.settings.objective, *more)
        return losses
