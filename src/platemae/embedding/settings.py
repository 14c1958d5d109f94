"""What an embedding is asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from platemae.errors import ConfigError

ROWS = ("well", "field", "crop", "cell")
BORDERS = ("reflect", "drop")


@dataclass(frozen=True)
class EmbedSettings:
    """The keys of section ``embed`` that decide what is embedded.

    Parameters
    ----------
    rows
        What one row is: ``well``, ``field``, ``crop`` or ``cell``.
    tiling
        How a field is cut in tiles, see `tile_field`; cells are cut around their own centres instead.
    poolings
        What makes one vector of a crop; the first is X.
    batch
        Crops of a forward pass; None: as many as memory takes.
    pixel_size
        ``resample``: fields are brought to the model's pixel size; ``ignore``: they are taken as they are; a number: as
        ``resample``, and this is the model's pixel size in micrometres.
    cell_border
        Cells whose crop leaves the field: ``reflect`` mirrors the field there, ``drop`` leaves them out.
    mask_neighbours
        Whether pixels nearer to another cell of the table become background.
    """

    rows: str = "well"
    tiling: str = "overlap"
    poolings: tuple[str, ...] = ("mean",)
    batch: int | None = None
    pixel_size: str | float = "resample"
    cell_border: str = "reflect"
    mask_neighbours: bool = False

    def __post_init__(self) -> None:
        for key, value, allowed in (("rows", self.rows, ROWS), ("cell_border", self.cell_border, BORDERS)):
            if value not in allowed:
                raise ConfigError(f"unknown {key} {value!r}", f"embed.{key}", f"allowed: {', '.join(allowed)}")
        if len(set(self.poolings)) < len(self.poolings) or not self.poolings:
            raise ConfigError(f"poolings {list(self.poolings)}", "embed.pooling", "name each once, and at least one")

    @property
    def sums(self) -> bool:
        """Whether a row is the mean over several crops."""
        return self.rows in ("well", "field")

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> EmbedSettings:
        """Take the keys of ``embed`` that belong here; ``pooling`` is a name or a list of names."""
        known = {f.name for f in fields(cls)}
        taken = {key: value for key, value in values.items() if key in known}
        named = values.get("pooling", cls.poolings)
        return cls(**taken | {"poolings": (named,) if isinstance(named, str) else tuple(named)})
