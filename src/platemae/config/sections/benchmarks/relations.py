"""Benchmarks of known relations among the rows of a map."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from platemae.config.sections.base import Name
from platemae.config.sections.benchmarks.base import Benchmark


class KnownRelationsEntry(Benchmark):
    """Recall of known pairs in the tails of all pairs of the map."""

    file_keys: ClassVar[tuple[str, ...]] = ("relations",)

    kind: Literal["known_relations"]
    relations: str | dict[Name, str] = Field(
        description="CSV with entity1,entity2[,strength], relative to plates.tsv; or several, each with its name"
    )
    n_shuffles: int = Field(default=200, ge=10, description="label shuffles for the measured chance")
