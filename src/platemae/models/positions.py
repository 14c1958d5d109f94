"""Fixed two-dimensional sine-cosine positions (PAPER.md 1.2).

Shape legend: N patches, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = 10000.0


def sincos_positions(side: int, width: int) -> Tensor:
    """Return the table of a square grid, with a row of zeros for the class token before it.

    The width falls in four quarters, sin(h w_k), cos(h w_k), sin(w w_k), cos(w w_k), with
    w_k = 10000^(-k / (D/4)), k = 0 .. D/4 - 1; h is the row and w the column of the patch.

    Parameters
    ----------
    side
        Patches along each side of the crop.
    width
        D, a multiple of 4.

    Returns
    -------
    Tensor
        (1, 1 + side * side, D) float32, patches in row-major order.
    """
    frequency = SCALE ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angle = torch.outer(torch.arange(side, dtype=torch.float64), frequency)
    row, column = angle.repeat_interleave(side, 0), angle.repeat(side, 1)
    table_ND = torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], dim=1)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table_ND]).float()[None]
