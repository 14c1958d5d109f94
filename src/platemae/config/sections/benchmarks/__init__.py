"""Entries of ``benchmarks:``, one class a kind; ``BenchmarkEntry`` is any of them, told apart by ``kind``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from platemae.config.sections.benchmarks.base import Benchmark
from platemae.config.sections.benchmarks.relations import KnownRelationsEntry
from platemae.config.sections.benchmarks.replicates import ControlAxisEntry, ReplicateConsistencyEntry

BenchmarkEntry = Annotated[
    KnownRelationsEntry | ReplicateConsistencyEntry | ControlAxisEntry, Field(discriminator="kind")
]

__all__ = [
    "Benchmark",
    "BenchmarkEntry",
    "ControlAxisEntry",
    "KnownRelationsEntry",
    "ReplicateConsistencyEntry",
    "benchmark_entry",
]


def benchmark_entry(**values: Any) -> Benchmark:
    """Return the entry that ``kind`` names, checked.

    Raises
    ------
    pydantic.ValidationError
        Naming the wrong keys.
    """
    entry: Benchmark = TypeAdapter(BenchmarkEntry).validate_python(values)
    return entry
