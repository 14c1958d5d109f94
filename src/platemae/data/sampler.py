"""Which crop is the i-th of a step: a function of seed, step and index in the global batch, and of nothing else.

So the number of processes, a resume and the speed of the disk change no crop, and no state needs to be saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from platemae.errors import TrainingError


@dataclass(frozen=True)
class CropSpec:
    """One crop: field (index in the dataset), top left corner, quarter turns, and mirroring after them."""

    field: int
    y: int
    x: int
    turns: int = 0
    mirror: bool = False


@dataclass(frozen=True)
class Sampler:
    """Draws the crops of each step.

    Fields come in shuffled passes: each is used once before any is used again, in another order each pass.

    Parameters
    ----------
    heights, widths
        Size of each field, pixels.
    crop
        Edge of a crop, pixels; no field may be smaller.
    batch
        Crops a step, over all processes.
    seed
        Seed of order, position and turns.
    flip
        Whether crops are mirrored and turned by quarters.
    """

    heights: tuple[int, ...]
    widths: tuple[int, ...]
    crop: int
    batch: int
    seed: int
    flip: bool

    def specs(self, step: int, rank: int = 0, world: int = 1) -> list[CropSpec]:
        """Return the crops of one process at ``step``: its slice of the global batch.

        Raises
        ------
        TrainingError
            When the batch cannot be divided among the processes.
        """
        if self.batch % world:
            raise TrainingError(
                f"a batch of {self.batch} crops cannot be divided among {world} processes",
                "train.global_batch",
                "make the batch a multiple of the number of processes",
            )
        share = self.batch // world
        # One stream a step, drawn for the whole batch: cheaper than a generator a crop, and the same for any world.
        draws_B4 = np.random.default_rng([self.seed, 1, step]).random((self.batch, 4))
        return [self._spec(step * self.batch + i, draws_B4[i]) for i in range(rank * share, (rank + 1) * share)]

    def _spec(self, position: int, draws_4: np.ndarray) -> CropSpec:
        field = self.field_of(position)
        y = int(draws_4[0] * (self.heights[field] - self.crop + 1))
        x = int(draws_4[1] * (self.widths[field] - self.crop + 1))
        if not self.flip:
            return CropSpec(field, y, x)
        return CropSpec(field, y, x, turns=int(draws_4[2] * 4), mirror=bool(draws_4[3] < 0.5))

    def field_of(self, position: int) -> int:
        """Return the field of the crop at a position of all crops ever drawn."""
        return placed((self.seed, 2), position, len(self.heights))


def placed(key: tuple[int, ...], position: int, n: int) -> int:
    """Return the item at a position of endless shuffled passes over ``n`` items; ``key`` is their seed."""
    epoch, place = divmod(position, n)
    return int(_order((*key, epoch), n)[place])


@lru_cache(maxsize=4)
def _order(key: tuple[int, ...], n: int) -> np.ndarray:
    """Return the order of ``n`` items in one pass; a batch spans few passes, so a few are kept."""
    return np.random.default_rng(key).permutation(n).astype(np.int32)


def turn(crop_CHW: np.ndarray, spec: CropSpec) -> np.ndarray:
    """Return a square crop turned and mirrored as ``spec`` says: a view."""
    if spec.turns:
        crop_CHW = np.rot90(crop_CHW, spec.turns, axes=(1, 2))
    return crop_CHW[:, :, ::-1] if spec.mirror else crop_CHW


def fixed_specs(heights: tuple[int, ...], widths: tuple[int, ...], crop: int, count: int, seed: int) -> list[CropSpec]:
    """Return ``count`` crops for validation, spread evenly over the fields; unturned, the same in every call."""
    n = len(heights)
    draws_K2 = np.random.default_rng([seed, 3]).random((count, 2))
    fields = [i * n // count if count < n else i % n for i in range(count)]
    return [
        CropSpec(f, int(u * (heights[f] - crop + 1)), int(v * (widths[f] - crop + 1)))
        for f, (u, v) in zip(fields, draws_K2, strict=True)
    ]
