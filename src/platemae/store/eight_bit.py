"""Source pixels rounded to 8 bits over a fixed range a channel: half the bytes or less, and no longer the source."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from platemae.errors import ConfigError

TOP = 255.0
CLIP_WARNING = 0.001
"""Share of clipped pixels of a channel above which the manifest warns of it by name."""


class EightBit:
    """Rounds fields, and counts what it clips; safe in threads.

    Parameters
    ----------
    ranges
        Channel name -> source values that become 0 and 255.
    channels
        Names in the order of the first axis.
    where
        The config key, for errors.

    Raises
    ------
    ConfigError
        When a channel has no range, or a range belongs to no channel.
    """

    def __init__(self, ranges: Mapping[str, tuple[float, float]], channels: Sequence[str], where: str) -> None:
        lacking, foreign = sorted(set(channels) - set(ranges)), sorted(set(ranges) - set(channels))
        if lacking or foreign:
            said = [f"no range for {', '.join(lacking)}"] if lacking else []
            said += [f"a range for {', '.join(foreign)}, which the plate lacks"] if foreign else []
            remedy = f"give [min, max] for each of {', '.join(channels)}"
            raise ConfigError(f"the 8-bit store has {' and '.join(said)}", where, remedy)
        self.ranges = {name: (float(ranges[name][0]), float(ranges[name][1])) for name in channels}
        self._clipped_C = np.zeros(len(channels), dtype=np.int64)
        self._pixels = 0
        self._lock = threading.Lock()

    def __call__(self, x_CYX: np.ndarray) -> np.ndarray:
        """Return (C, Y, X) uint8: 255 (x - min) / (max - min), rounded half to even, clipped."""
        out_CYX = np.empty(x_CYX.shape, dtype=np.uint8)
        clipped_C = np.zeros(len(x_CYX), dtype=np.int64)
        for c, (x_YX, (low, high)) in enumerate(zip(x_CYX, self.ranges.values(), strict=True)):
            clipped_C[c] = np.count_nonzero((x_YX < low) | (x_YX > high))
            scaled_YX = (x_YX.astype(np.float64) - low) * (TOP / (high - low))
            out_CYX[c] = np.rint(scaled_YX.clip(0.0, TOP))
        with self._lock:
            self._clipped_C += clipped_C
            self._pixels += x_CYX[0].size
        return out_CYX

    def warnings(self) -> list[str]:
        """Return what the manifest must say of the plate."""
        shown = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in self.ranges.items())
        shares = zip(self.ranges, self._clipped_C / max(self._pixels, 1), strict=True)
        lost = [
            f"channel {name}: {share:.2%} of the pixels lie outside its range"
            for name, share in shares
            if share > CLIP_WARNING
        ]
        return [f"stored with 8 bits, not lossless: {shown}; classical features cannot be measured", *lost]
