"""What all entries of ``benchmarks:`` share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from pydantic import Field

from platemae.config.sections.base import Name, Section

N_BOOTSTRAP = "resamplings for the interval, at least 10; kind known_relations also takes 0: none, for a quick look"


class Benchmark(Section):
    """One benchmark of a map.

    Each kind is a class with ``kind: Literal[...]``; its keys are the fields of the benchmark's settings of the same
    names, see `platemae.benchmarks.registry`.

    Attributes
    ----------
    file_keys
        Keys whose values are files: one path, or names -> paths. They start at the folder of plates.tsv, and may hold
        ``{plate}`` where each plate has a file of its own.
    """

    file_keys: ClassVar[tuple[str, ...]] = ()

    name: Name = Field(description="name in the tables")
    n_bootstrap: int = Field(default=1000, ge=10, description=N_BOOTSTRAP)
    n_plate_bootstrap: int = Field(
        default=200, ge=0, description="resamplings of plates for the second interval; 0: none"
    )
    seed: int = Field(default=0, ge=0, description="seed of resampling")

    def files(self, plates: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield key and path of every file that the benchmark reads to score these plates."""
        names = list(plates)
        for key in self.file_keys:
            value = getattr(self, key)
            named = value if isinstance(value, dict) else {} if value is None else {"": value}
            for name, path in named.items():
                for whole in dict.fromkeys(path.replace("{plate}", plate) for plate in names):
                    yield (f"{key}.{name}" if name else key), whole
