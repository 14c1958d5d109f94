"""The map from source values to 0..255, which the models expect; applied when crops are read."""

# Shape legend: C channels, Y rows, X columns of pixels

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from platemae.errors import ContractError, InputError, MissingError

Limits = dict[str, tuple[float, float]]
"""Channel name -> source values that become 0 and 255."""

TOP = 255.0


@dataclass(frozen=True)
class IntensityMap:
    """A linear map a channel and unit, clipped to 0..255.

    Parameters
    ----------
    name
        Name of the config entry.
    kind
        ``quantile`` or ``fixed``.
    scope
        What a unit is: ``plate``, ``batch`` or ``dataset``.
    channels
        Names of the channels that the map knows.
    maps
        Unit -> limits.
    pooled
        Limits for plates of no known unit.
    unit_of
        Unit of each plate that the map was fitted on.
    clipped
        Unit -> channel -> share of the fitted pixels below and above the limits.
    collapsed
        Unit -> channel -> share of the fitted fields that the map leaves without contrast.
    levels
        Unit -> channel -> grey levels of 0..255 that the fitted pixels fill.
    """

    name: str
    kind: str
    scope: str
    channels: tuple[str, ...]
    maps: dict[str, Limits]
    pooled: Limits
    unit_of: dict[str, str]
    clipped: dict[str, Limits] = field(default_factory=dict)
    collapsed: dict[str, dict[str, float]] = field(default_factory=dict)
    levels: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> IntensityMap:
        """Read a map.

        Raises
        ------
        MissingError
            When there is none.
        ContractError
            When it cannot be understood.
        """
        try:
            return cls.from_json(json.loads(path.read_text()))
        except FileNotFoundError:
            raise MissingError(
                "an intensity map is missing", str(path), f"run `platemae fit-intensity {path.stem}`"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(
                f"an intensity map cannot be understood: {error}", str(path), "delete it and run again"
            ) from None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> IntensityMap:
        """Return the map that :meth:`to_json` wrote, as ``model.json`` carries it."""
        values = dict(value)
        values["channels"] = tuple(values["channels"])
        values["pooled"] = _limits(values["pooled"])
        for key in ("maps", "clipped"):
            values[key] = {unit: _limits(limits) for unit, limits in values.get(key, {}).items()}
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the map as a JSON value."""
        return asdict(self)

    def limits(
        self, plate: str, batch: str | None = None, channels: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the source values that become 0 and 255, (C,) each in float32.

        A plate that the map was not fitted on gets the map of its batch, where the map is one a batch and knows it,
        else the pooled one.

        Parameters
        ----------
        plate
            Plate id.
        batch
            Its batch.
        channels
            Names in the order wanted; by default the map's own.

        Raises
        ------
        InputError
            When the map does not know a channel.
        """
        wanted = self.channels if channels is None else channels
        unknown = [name for name in wanted if name not in self.pooled]
        if unknown:
            raise InputError(
                f"the intensity map {self.name} has no channel {', '.join(unknown)}; it has {', '.join(self.channels)}",
                f"plate {plate}",
                "fit the map on plates with the same channels",
            )
        unit = self.unit_of.get(plate, (batch or "") if self.scope == "batch" else "")
        chosen = self.maps.get(unit, self.pooled)
        low_high = np.array([chosen[name] for name in wanted], dtype=np.float32).reshape(-1, 2)
        return low_high[:, 0], low_high[:, 1]

    def to_uint8range(
        self, x_CYX: np.ndarray, plate: str, batch: str | None = None, channels: Sequence[str] | None = None
    ) -> np.ndarray:
        """Return source pixels (..., C, Y, X) mapped to 0..255 in float32, clipped.

        Parameters
        ----------
        x_CYX
            Pixels; axis -3 holds the channels.
        plate, batch, channels
            As in :meth:`limits`.

        Raises
        ------
        InputError
            When the channels do not fit.
        """
        low_C, high_C = self.limits(plate, batch, channels)
        if x_CYX.shape[-3] != len(low_C):
            raise InputError(
                f"pixels with {x_CYX.shape[-3]} channels meet an intensity map of {len(low_C)}",
                f"plate {plate}",
                "name the channels of the pixels",
            )
        return stretched(x_CYX, low_C, TOP / (high_C - low_C))


def stretched(x_CYX: np.ndarray, low_C: np.ndarray, factor_C: np.ndarray) -> np.ndarray:
    """Return (x - low) * factor of each channel in float32, clipped to 0..255; (..., C, Y, X) as it came."""
    out_CYX = x_CYX.astype(np.float32)
    out_CYX -= low_C[:, None, None]
    out_CYX *= factor_C[:, None, None]
    return np.clip(out_CYX, 0.0, TOP, out=out_CYX)


def _limits(value: Mapping[str, Sequence[float]]) -> Limits:
    return {name: (float(pair[0]), float(pair[1])) for name, pair in value.items()}
