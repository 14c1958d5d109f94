"""Bring a field to another pixel size.

Shrinking takes the mean over the area of each new pixel, whole and partial old ones by their share: that is what a
camera with larger pixels records, it keeps the mean, never leaves the range of the values, and details finer than the
new pixel are averaged instead of folded back as false structure. Enlarging interpolates linearly between the centres
of the pixels: the mean over an area smaller than a pixel would draw its outline.

Legend: C channels, H height, W width, I pixels before, O pixels after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from platemae.data.dataset import PIXEL_SIZE_TOLERANCE
from platemae.errors import ConfigError

FAR = 2.0
"""A ratio of pixel sizes beyond which the manifest warns."""


@dataclass(frozen=True)
class PixelSizes:
    """Edge of a pixel of a plate and of a model's training, micrometres; None where nobody knows.

    Parameters
    ----------
    plate_um, model_um
        The two.
    resampled
        Whether the plate's fields are brought to the model's pixel size.
    """

    plate_um: float | None
    model_um: float | None
    resampled: bool = False

    @property
    def ratio(self) -> float:
        """Pixels after over pixels before along an edge of a field."""
        if not self.resampled or self.plate_um is None or self.model_um is None:
            return 1.0
        return self.plate_um / self.model_um

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of a field as the model sees it."""
        return max(1, round(height * self.ratio)), max(1, round(width * self.ratio))


def pixel_sizes(plate_um: float | None, model_um: float | None, asked: str | float, where: str) -> PixelSizes:
    """Decide whether a plate is resampled.

    Parameters
    ----------
    plate_um, model_um
        Pixel sizes; None, 0 or NaN where nobody knows.
    asked
        ``embed.pixel_size``, see `EmbedSettings`.
    where
        Names of plate and model, for the error.

    Raises
    ------
    ConfigError
        When one of the two is not known and nothing overrides it.
    """
    plate_um, model_um = _known(plate_um), _known(asked if not isinstance(asked, str) else model_um)
    if asked == "ignore":
        return PixelSizes(plate_um, model_um)
    if plate_um is None or model_um is None:
        lacking = " and ".join(name for name, um in (("plate", plate_um), ("model", model_um)) if um is None)
        remedy = (
            "give a plate's reader pixel_size_um, a model embed: {pixel_size: MICROMETRES}; ignore resamples nothing"
        )
        raise ConfigError(f"the pixel size of the {lacking} is not known", where, remedy)
    return PixelSizes(plate_um, model_um, abs(plate_um - model_um) > PIXEL_SIZE_TOLERANCE * model_um)


def _known(um: float | None) -> float | None:
    return um if um is not None and math.isfinite(um) and um > 0 else None


def size_warnings(sizes: PixelSizes, plate: str) -> list[str]:
    """Return what the report should say of a plate's pixel size."""
    if sizes.plate_um is None or sizes.model_um is None:
        return [f"plate {plate} or its model states no pixel size; pixels are taken as they are"]
    said = f"plate {plate} has pixels of {sizes.plate_um:g} µm, the model was trained on {sizes.model_um:g} µm"
    ratio = sizes.plate_um / sizes.model_um
    if sizes.resampled and not 1 / FAR <= ratio <= FAR:
        what = "details are missing" if ratio > 1 else "cells fill few pixels of what was recorded"
        return [f"{said}; fields are resampled by {ratio:.3g}, {what}"]
    return [] if sizes.resampled or abs(ratio - 1) <= PIXEL_SIZE_TOLERANCE else [said]


def resample(x_CHW: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return a field at another size over the same area, (C, *shape) float32.

    Parameters
    ----------
    x_CHW
        The field.
    shape
        Height and width after, pixels.
    """
    rows_OI, columns_OI = (_weights(before, after) for before, after in zip(x_CHW.shape[1:], shape, strict=True))
    out_CHW = np.empty((len(x_CHW), *shape), np.float32)
    for out_HW, x_HW in zip(out_CHW, x_CHW, strict=True):
        half_HW = rows_OI @ x_HW.astype(np.float32, copy=False)
        out_HW[:] = (columns_OI @ half_HW.T).T
    return out_CHW


@lru_cache(maxsize=8)
def _weights(n_in: int, n_out: int) -> sparse.csr_array:
    """Return the share of each old pixel in each new one along an axis, (O, I); each row adds up to 1."""
    return _area(n_in, n_out) if n_out <= n_in else _linear(n_in, n_out)


def _area(n_in: int, n_out: int) -> sparse.csr_array:
    edges_O = np.arange(n_out + 1) * (n_in / n_out)
    first_O = np.floor(edges_O[:-1]).astype(np.int64)
    reach = int(np.ceil(n_in / n_out)) + 1
    old_OK = first_O[:, None] + np.arange(reach)
    overlap_OK = np.minimum(edges_O[1:, None], old_OK + 1) - np.maximum(edges_O[:-1, None], old_OK)
    return _matrix(old_OK, np.where(old_OK < n_in, overlap_OK.clip(0), 0), n_in)


def _linear(n_in: int, n_out: int) -> sparse.csr_array:
    place_O = ((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5).clip(0, n_in - 1)
    low_O = np.floor(place_O).astype(np.int64)
    share_O = place_O - low_O
    return _matrix(np.stack([low_O, low_O + 1], 1), np.stack([1 - share_O, share_O], 1), n_in)


def _matrix(old_OK: np.ndarray, weight_OK: np.ndarray, n_in: int) -> sparse.csr_array:
    weight_OK = (weight_OK / weight_OK.sum(1, keepdims=True)).astype(np.float32)
    new_OK = np.broadcast_to(np.arange(len(old_OK))[:, None], old_OK.shape)
    used = weight_OK > 0
    return sparse.csr_array((weight_OK[used], (new_OK[used], old_OK[used])), shape=(len(old_OK), n_in))
