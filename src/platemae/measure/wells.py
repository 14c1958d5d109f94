"""From cells to wells: medians, and the features that tell wells apart."""

# Shape legend: W wells, N cells, D features

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


def median_cell(x_ND: np.ndarray) -> np.ndarray:
    """Return the median of each feature (D) over the cells in which it is defined; NaN where it is in none."""
    finite = np.where(np.isfinite(x_ND), x_ND, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that no cell has is NaN, and meant to be
        return np.nanmedian(finite, axis=0)


@dataclass(frozen=True)
class Kept:
    """Which features of a plate are kept.

    Parameters
    ----------
    mask
        (D) True for those that are.
    undefined
        Number of those left out because they have no value in some well.
    constant
        Number of those left out because they have one value in all wells.
    """

    mask: np.ndarray
    undefined: int
    constant: int


def useful_features(x_WD: np.ndarray) -> Kept:
    """Return which features are defined in every well and differ between wells, at the precision they are stored in."""
    with np.errstate(over="ignore"):
        stored = x_WD.astype(np.float32)
    defined = np.isfinite(stored).all(axis=0)
    differs = defined & (np.ptp(np.where(defined, stored, 0), axis=0) > 0)
    # A single well differs from no other; it keeps what is defined.
    mask = np.asarray(differs if len(stored) > 1 else defined)
    return Kept(mask, int((~defined).sum()), int((defined & ~mask).sum()))
