"""What all entries of ``benchmarks:`` share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from platemae.config.sections.base import Name, Section


class Benchmark(Section):
    """One benchmark of a map.

    Each kind is a class with ``kind: Literal[...]``; its keys are the fields of the benchmark's settings of the same
    names, see `platemae.benchmarks.registry`.

    Attributes
    ----------
    file_keys
        Keys whose values are files: one path, or names -> paths. They start at the folder of plates.tsv.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    name: Name = Field(description="name in the tables")
    n_bootstrap: int = Field(default=1000, ge=10, description="resamplings for the interval")
    n_plate_bootstrap: int = Field(
        default=200, ge=0, description="resamplings of plates for the second interval; 0: none"
    )
    seed: int = Field(default=0, ge=0, description="seed of resampling")

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield key and path of every file that the benchmark reads."""
        for key in self.file_keys:
            value = getattr(self, key)
            if isinstance(value, dict):
                yield from ((f"{key}.{name}", path) for name, path in value.items())
            elif value is not None:
                yield key, value
