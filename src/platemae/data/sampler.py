"""Which crop is the i-th of a step: a function of seed, step and index in the global batch, and of nothing else.

So the number of processes, a resume and the speed of the disk change no crop, and no state needs to be saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from platemae.errors import TrainingError

Groups = tuple[tuple[int, ...], ...]
"""Fields by what is to be seen equally often: by plate, or by perturbation; no group: each field equally often."""


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

    Fields come in shuffled passes: each is used once before any is used again, in another order each pass. Where there
    are groups, these come in such passes, and the fields of each in passes of their own: field f of group g, one of G,
    then makes up 1 / (G |g|) of all crops.

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
    groups
        Groups of fields that are seen equally often; fields of none are never drawn. Empty: all fields are one group.
    per_field
        Crops that are taken of a field when its turn comes, one after another: fewer fields are decoded, and a batch
        holds ``batch / per_field`` of them.
    """

    heights: tuple[int, ...]
    widths: tuple[int, ...]
    crop: int
    batch: int
    seed: int
    flip: bool
    groups: Groups = ()
    per_field: int = 1

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
        if self.groups:
            return drawn((self.seed, 2), position // self.per_field, self.groups)
        return placed((self.seed, 2), position // self.per_field, len(self.heights))


def drawn(key: tuple[int, ...], position: int, groups: Groups) -> int:
    """Return the field at a position of endless passes over ``groups``, each of which is passed through by itself."""
    if len(groups) == 1:
        return groups[0][placed(key, position, len(groups[0]))]
    number, turn = placed((*key, 0), position, len(groups)), position // len(groups)
    fields = groups[number]
    epoch, place = divmod(turn, len(fields))
    # Not kept: the orders of many groups would drive that of the groups themselves out of the cache.
    return fields[int(_order.__wrapped__((*key, 1, number, epoch), len(fields))[place])]


def placed(key: tuple[int, ...], position: int, n: int) -> int:
    """Return the item at a position of endless shuffled passes over ``n`` items; ``key`` is their seed."""
    epoch, place = divmod(position, n)
    return int(_order((*key, epoch), n)[place])


@lru_cache(maxsize=4)
def _order(key: tuple[int, ...], n: int) -> np.ndarray:
    """Return the order of ``n`` items in one pass; a batch spans few passes, so a few are kept."""
    return np.random.default_rng(key).permutation(n).astype(np.int32)


def fixed_specs(heights: tuple[int, ...], widths: tuple[int, ...], crop: int, count: int, seed: int) -> list[CropSpec]:
    """Return ``count`` crops for validation, spread evenly over the fields; unturned, the same in every call."""
    n = len(heights)
    draws_K2 = np.random.default_rng([seed, 3]).random((count, 2))
    fields = [i * n // count if count < n else i % n for i in range(count)]
    return [
        CropSpec(f, int(u * (heights[f] - crop + 1)), int(v * (widths[f] - crop + 1)))
        for f, (u, v) in zip(fields, draws_K2, strict=True)
    ]
