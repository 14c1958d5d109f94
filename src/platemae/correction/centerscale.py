"""Centre and scale by control wells (EFAAR ``centerscale_on_controls``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from platemae.correction.moments import MomentCorrection


@dataclass(frozen=True, eq=False)
class CenterScale(MomentCorrection):
    """x <- (x - mean of controls) / standard deviation of controls (ddof 0; a zero deviation counts as 1)."""

    kind: ClassVar[str] = "centerscale"
    scales: ClassVar[bool] = True
