"""Arrays as text: typed, little-endian, base64, as the page's JavaScript reads them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TOP = 65_534
"""Largest of the 16-bit steps of a coordinate; 65,535 stands for no value."""


def packed(values: npt.ArrayLike, dtype: str) -> str:
    """Return numbers as base64 of ``dtype``, such as ``<u2``."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode()


def steps(values_N: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return coordinates in 65,535 steps from their lowest to their highest, far finer than a screen."""
    finite_N = np.isfinite(values_N)
    low = float(values_N[finite_N].min()) if finite_N.any() else 0.0
    high = float(values_N[finite_N].max()) if finite_N.any() else 1.0
    high = high if high > low else low + 1.0
    scaled_N = np.where(finite_N, np.rint((values_N - low) / (high - low) * TOP), TOP + 1)
    return {"low": low, "high": high, "steps": packed(scaled_N, "<u2")}


def coded(names: Sequence[str]) -> dict[str, Any]:
    """Return texts as the list of those that occur, in order of first appearance, and a number a row."""
    known: dict[str, int] = {}
    codes = [known.setdefault(name, len(known)) for name in names]
    wide = len(known) > TOP
    return {"values": list(known), "codes": packed(codes, "<u4" if wide else "<u2"), "wide": wide}
