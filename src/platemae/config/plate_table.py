"""Plates with what is asked of them once a job: found by name and by batch, not by walking through all of them.

A dry run of 2,000 plates asks ten thousand times; a walk over all plates each time takes longer than Snakemake itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from platemae.config.plates import Plate


class PlateTable(list[Plate]):
    """The rows of plates.tsv, in order; they do not change once it is made."""

    @classmethod
    def of(cls, plates: Sequence[Plate]) -> PlateTable:
        """Return ``plates`` as a table, itself where it is one."""
        return plates if isinstance(plates, PlateTable) else cls(plates)

    @cached_property
    def by_name(self) -> dict[str, Plate]:
        """Plate id -> row."""
        return {plate.plate: plate for plate in self}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All plate ids, sorted."""
        return tuple(sorted(self.by_name))

    @cached_property
    def of_batch(self) -> dict[str, tuple[str, ...]]:
        """Batch -> ids of its plates, sorted."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(self.by_name[name].batch, []).append(name)
        return {batch: tuple(names) for batch, names in found.items()}
