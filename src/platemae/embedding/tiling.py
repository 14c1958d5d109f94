"""How a field is cut into square tiles.

Legend: C channels, H height, W width, T tiles, S edge of a tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from platemae.errors import ConfigError

Mode = Literal["drop", "overlap", "reflect"]
MODES: tuple[Mode, ...] = ("drop", "overlap", "reflect")


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of one field size lie.

    Parameters
    ----------
    size
        Edge of a tile, pixels.
    origins
        Top left corner (y, x) of each tile, row by row, in the padded field.
    padding
        Mirrored pixels ((top, bottom), (left, right)); zeros except in mode ``reflect``.
    """

    size: int
    origins: tuple[tuple[int, int], ...]
    padding: tuple[tuple[int, int], tuple[int, int]]

    def cut(self, field_CHW: np.ndarray) -> np.ndarray:
        """Return the tiles of a field, shape (T, C, S, S)."""
        field_CHW, size = self.padded(field_CHW), self.size
        return np.stack([field_CHW[:, y : y + size, x : x + size] for y, x in self.origins])

    def padded(self, field_CHW: np.ndarray) -> np.ndarray:
        """Return the field with what is mirrored around it, in which ``origins`` count."""
        if not any(sum(pair) for pair in self.padding):
            return field_CHW
        return np.pad(field_CHW, ((0, 0), *self.padding), mode="reflect")


def tile_field(height: int, width: int, size: int, mode: str) -> Tiling:
    """Lay tiles over a field.

    ``drop`` leaves out what remains at the right and bottom; ``overlap`` spreads just as many tiles as are needed
    evenly, so that every pixel counts; ``reflect`` mirrors the field at its edges up to a whole number of tiles.

    Parameters
    ----------
    height, width
        Size of the field, pixels.
    size
        Edge of a tile, pixels.
    mode
        ``drop``, ``overlap`` or ``reflect``.

    Raises
    ------
    ConfigError
        For an unknown mode, or when the field is smaller than a tile and the mode is not ``reflect``.
    """
    if mode not in MODES:
        raise ConfigError(f"unknown tiling {mode!r}", "embed.tiling", f"allowed: {', '.join(MODES)}")
    if mode != "reflect" and min(height, width) < size:
        raise ConfigError(
            f"a field of {height} x {width} pixels is smaller than a tile of {size} pixels",
            "embed.tiling",
            "choose tiling reflect, or a model with smaller crops",
        )
    rows, top_bottom = _axis(height, size, mode)
    columns, left_right = _axis(width, size, mode)
    return Tiling(size, tuple((y, x) for y in rows for x in columns), (top_bottom, left_right))


def _axis(length: int, size: int, mode: str) -> tuple[list[int], tuple[int, int]]:
    """Return the origins along one axis, and the padding before and after it."""
    if mode == "drop":
        return [i * size for i in range(length // size)], (0, 0)
    count = -(-length // size)
    if mode == "reflect":
        missing = count * size - length
        return [i * size for i in range(count)], (missing // 2, missing - missing // 2)
    # Rounded in integers: neighbours are at most ceil((length - size) / (count - 1)) <= size apart, so no gap opens.
    gaps = max(count - 1, 1)
    return [(2 * i * (length - size) + gaps) // (2 * gaps) for i in range(count)], (0, 0)
