"""Subtract the mean of the control wells: the least that can be done about a plate's offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from platemae.correction.moments import MomentCorrection


@dataclass(frozen=True, eq=False)
class Center(MomentCorrection):
    """x <- x - mean of controls; distances between the wells of a unit stay as they are."""

    kind: ClassVar[str] = "center"
    scales: ClassVar[bool] = False
