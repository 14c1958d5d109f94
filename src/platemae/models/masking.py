"""Which patches the encoder sees, as a function of noise that the caller draws (PAPER.md 1.4).

Shape legend: B batch, N patches, K visible patches, M masked patches (K + M = N), D features of a patch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mask(NamedTuple):
    """Visible and masked patches, and the way back.

    Attributes
    ----------
    keep_BK
        Indices of the visible patches.
    hidden_BM
        Indices of the masked patches.
    restore_BN
        Where each patch lies in (visible patches, masked patches).
    """

    keep_BK: Tensor
    hidden_BM: Tensor
    restore_BN: Tensor


def n_kept(n_patches: int, mask_ratio: float) -> int:
    """Return how many of ``n_patches`` stay visible: int(N (1 - ratio)), at least one and at most all but one."""
    return min(max(int(n_patches * (1 - mask_ratio)), 1), n_patches - 1)


def mask_from_noise(noise_BN: Tensor, mask_ratio: float) -> Mask:
    """Keep the patches with the smallest noise, the same number of each sample."""
    order_BN = noise_BN.argsort(dim=1, stable=True)
    kept = n_kept(noise_BN.shape[1], mask_ratio)
    return Mask(order_BN[:, :kept], order_BN[:, kept:], order_BN.argsort(dim=1))


def take(x_BND: Tensor, index_BK: Tensor) -> Tensor:
    """Gather patches by index: (B, N, D) and (B, K) give (B, K, D)."""
    return x_BND.gather(1, index_BK[..., None].expand(-1, -1, x_BND.shape[-1]))


def restore(visible_BKD: Tensor, masked_BMD: Tensor, restore_BN: Tensor) -> Tensor:
    """Put visible and masked patches back in their places, (B, N, D)."""
    return take(torch.cat([visible_BKD, masked_BMD.to(visible_BKD.dtype)], dim=1), restore_BN)
