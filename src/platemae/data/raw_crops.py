"""Crops as their stores hold them, and what makes a network's input of them where it lies: on its device.

The loader hands out source pixels, 1 or 2 bytes each; the map to 0..255, turns and mirrors are done after the transfer.
They are not rounded to uint8 on the way: that changes up to 6 % of the variance of the dimmest crops (real plates).

Legend: B crops of a batch, C channels in the model's order, S edge of a crop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from platemae.store.intensity_map import TOP

Labels = np.ndarray | None


@dataclass(frozen=True)
class RawCrops:
    """A batch of crops in source pixels.

    Parameters
    ----------
    pixels_BCSS
        Source pixels: uint8, uint16, or float32 where illumination was divided out.
    low_BC, factor_BC
        Source value that becomes 0, and what one step of the source is worth on the scale 0..255; float32.
    turns_B, mirror_B
        Quarter turns of each crop, and whether it is mirrored left to right after them.
    """

    pixels_BCSS: np.ndarray
    low_BC: np.ndarray
    factor_BC: np.ndarray
    turns_B: np.ndarray
    mirror_B: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels_BCSS)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Tensor:
        """Return the crops on a device, (B, C, S, S) float32 in 0..255, turned and mirrored.

        Parameters
        ----------
        device
            Where the work is done.
        non_blocking
            As for ``Tensor.to``: the transfer of pinned pixels does not wait.
        """

        def there(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(device, non_blocking=non_blocking)

        # The conversion follows the transfer: source pixels are a half or a quarter of the bytes.
        x_BCSS = there(self.pixels_BCSS).to(torch.float32, copy=True)
        x_BCSS.sub_(there(self.low_BC)[:, :, None, None]).mul_(there(self.factor_BC)[:, :, None, None]).clamp_(0, TOP)
        for turns, mirror, rows in self._symmetries():
            index = there(rows)
            turned = torch.rot90(x_BCSS[index], turns, (2, 3))
            x_BCSS[index] = turned.flip(3) if mirror else turned
        return x_BCSS

    def _symmetries(self) -> Iterator[tuple[int, bool, np.ndarray]]:
        """Yield each symmetry of the square that is not the identity, and the crops that are given it."""
        symmetry_B = self.turns_B * 2 + self.mirror_B
        for symmetry in np.unique(symmetry_B[symmetry_B > 0]):
            yield int(symmetry) // 2, bool(symmetry % 2), np.flatnonzero(symmetry_B == symmetry)


def empty_pixels(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an unset array; beside a GPU in pinned memory, from which transfers overlap with the training step."""
    if not torch.cuda.is_available():
        return np.empty(shape, dtype)
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()


def on_device(batches: Iterable[tuple[RawCrops, Labels]], device: torch.device) -> Iterator[tuple[Tensor, Labels]]:
    """Yield batches on a device; on a GPU the next one is transferred while the step works on this one.

    So the first step waits for two batches, and no later one waits for a transfer.
    """
    if device.type != "cuda":
        for crops, labels in batches:
            yield crops.to(device), labels
        return
    stream, waiting = torch.cuda.Stream(device), None
    for crops, labels in batches:
        with torch.cuda.stream(stream):
            x_BCSS = crops.to(device, non_blocking=True)
        # The pinned pixels stay with the batch: they must not be filled anew while they are read.
        following = x_BCSS, labels, stream.record_event(), crops
        if waiting is not None:
            yield _arrived(waiting, device)
        waiting = following
    if waiting is not None:
        yield _arrived(waiting, device)


def _arrived(batch: tuple[Tensor, Labels, torch.Event, RawCrops], device: torch.device) -> tuple[Tensor, Labels]:
    x_BCSS, labels, transferred, _ = batch
    current = torch.cuda.current_stream(device)
    current.wait_event(transferred)
    x_BCSS.record_stream(current)
    return x_BCSS, labels
