"""A picture in the forms that the page shows and a reader takes away."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

KINDS = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True)
class Drawing:
    """One picture.

    Parameters
    ----------
    forms
        Ending (``svg`` or ``png``) -> bytes; the first is the one that the page shows.
    data
        The numbers that were drawn, a row a mark, where they are numbers.
    """

    forms: Mapping[str, bytes]
    data: pd.DataFrame | None = None

    @property
    def uri(self) -> str:
        """The first form as ``data:image/...``."""
        ending, content = next(iter(self.forms.items()))
        return f"data:{KINDS[ending]};base64,{base64.b64encode(content).decode()}"

    def showing(self, data: pd.DataFrame) -> Drawing:
        """Return the same picture with the numbers that it shows."""
        return replace(self, data=data)
