"""Self-standardisation of crops (PAPER.md 1.3), and crops as rows of patches.

Shape legend: B batch, C channels, H W pixels, N patches (row-major),
P = C * patch * patch (channel, row, column).
"""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-5


def standardise(x_BCHW: Tensor) -> Tensor:
    """Scale 0..255 to 0..1, then give each channel of each crop mean 0 and variance 1.

    Parameters
    ----------
    x_BCHW
        uint8 or float crops on the scale 0..255 (0..1 would drown in the epsilon).

    Returns
    -------
    Tensor
        float32, (x - mean) / sqrt(variance + 1e-5) with the biased variance; zeros where a channel is constant.
    """
    x_BCHW = x_BCHW.float() / 255.0
    x_BCHW = x_BCHW - x_BCHW.mean(dim=(2, 3), keepdim=True)
    variance = x_BCHW.square().mean(dim=(2, 3), keepdim=True)
    return x_BCHW * (variance + EPSILON).rsqrt()


def to_patches(x_BCHW: Tensor, patch_px: int) -> Tensor:
    """Cut crops in patches: (B, C, H, W) gives (B, N, P)."""
    n_batch, channels, height, width = x_BCHW.shape
    rows, columns = height // patch_px, width // patch_px
    x = x_BCHW.reshape(n_batch, channels, rows, patch_px, columns, patch_px)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(n_batch, rows * columns, channels * patch_px * patch_px)


def to_image(patches_BNP: Tensor, patch_px: int) -> Tensor:
    """Put patches of square crops together again, the inverse of ``to_patches``."""
    n_batch, n_patches, length = patches_BNP.shape
    side, channels = round(n_patches**0.5), length // patch_px**2
    x = patches_BNP.reshape(n_batch, side, side, channels, patch_px, patch_px)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(n_batch, channels, side * patch_px, side * patch_px)
