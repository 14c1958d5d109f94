"""Which patches the encoder sees, as a function of noise that the caller draws (PAPER.md 1.4).

Shape legend: B batch, N patches, K kept patches, D features of a patch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mask(NamedTuple):
    """Kept patches and the way back.

    Attributes
    ----------
    keep_BK
        Indices of the visible patches.
    hidden_BN
        1 where a patch is masked, 0 where it is visible, float32.
    restore_BN
        Where each patch lies in (visible patches, masked patches).
    """

    keep_BK: Tensor
    hidden_BN: Tensor
    restore_BN: Tensor


def n_kept(n_patches: int, mask_ratio: float) -> int:
    """Return how many of ``n_patches`` stay visible: int(N (1 - ratio)), at least one and at most all but one."""
    return min(max(int(n_patches * (1 - mask_ratio)), 1), n_patches - 1)


def mask_from_noise(noise_BN: Tensor, mask_ratio: float) -> Mask:
    """Keep the patches with the smallest noise, the same number of each sample."""
    n_patches = noise_BN.shape[1]
    order_BN = noise_BN.argsort(dim=1, stable=True)
    restore_BN = order_BN.argsort(dim=1)
    kept = n_kept(n_patches, mask_ratio)
    return Mask(order_BN[:, :kept], (restore_BN >= kept).float(), restore_BN)


def take(x_BND: Tensor, index_BK: Tensor) -> Tensor:
    """Gather patches by index: (B, N, D) and (B, K) give (B, K, D)."""
    return x_BND.gather(1, index_BK[..., None].expand(-1, -1, x_BND.shape[-1]))


def restore(x_BKD: Tensor, filler_D: Tensor, restore_BN: Tensor) -> Tensor:
    """Put visible tokens back in their places and ``filler_D`` in the others, (B, N, D)."""
    n_batch, kept, width = x_BKD.shape
    filler = filler_D.to(x_BKD.dtype).expand(n_batch, restore_BN.shape[1] - kept, width)
    return take(torch.cat([x_BKD, filler], dim=1), restore_BN)
