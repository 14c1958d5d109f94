"""What MetaMorph and MetaXpress write into the header of a TIFF: the size of a pixel."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import tifffile

from platemae.readers.tiff import DAMAGE

_UNITS = ("um", "µm", "μm", "micron", "microns")
_PROPERTY = r'id="{}"[^>]{{0,80}}value="([^"]{{0,40}})"'


def pixel_size(path: Path) -> float | None:
    """Return the edge of a pixel in micrometres; None where the header does not say it, or cannot be read."""
    try:
        with tifffile.TiffFile(path) as tiff:
            tags: dict[str, Any] = (tiff.stk_metadata or {}) if tiff.is_stk else {}
            return _calibration(tiff.pages.first.description) or _size(
                tags.get("XCalibration"), tags.get("CalibrationUnits")
            )
    except DAMAGE:
        return None


def _calibration(description: str) -> float | None:
    """Return the spatial calibration of a MetaSeries description; the regular expression opens no XML entity."""
    found = {
        name: re.search(_PROPERTY.format(f"spatial-calibration-{name}"), description)
        for name in ("state", "x", "units")
    }
    texts = {name: match[1] if match else "" for name, match in found.items()}
    return None if texts["state"] == "off" else _size(texts["x"], texts["units"])


def _size(value: object, unit: object) -> float | None:
    try:
        size = float(str(value))
    except ValueError:
        return None
    known = str(unit).strip().strip("\0").lower() in _UNITS
    return size if known and math.isfinite(size) and size > 0 else None
