"""Entries of ``benchmarks:``, one class a kind; ``BenchmarkEntry`` is any of them, told apart by ``kind``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from platemae.config.sections.benchmarks.base import Benchmark
from platemae.config.sections.benchmarks.clusters import ClustersEntry
from platemae.config.sections.benchmarks.quality import BatchMixingEntry, PlateStabilityEntry
from platemae.config.sections.benchmarks.relations import KnownRelationsEntry
from platemae.config.sections.benchmarks.replicates import ControlAxisEntry, MagnitudeEntry, ReplicateConsistencyEntry
from platemae.config.sections.benchmarks.retrieval import (
    CompoundGeneEntry,
    MatchingEntry,
    NearestNeighborEntry,
    ReplicabilityEntry,
)
from platemae.config.sections.benchmarks.supervised import FeatureRegressionEntry, LinearProbeEntry

BenchmarkEntry = Annotated[
    KnownRelationsEntry
    | ReplicateConsistencyEntry
    | MagnitudeEntry
    | ControlAxisEntry
    | NearestNeighborEntry
    | ReplicabilityEntry
    | MatchingEntry
    | CompoundGeneEntry
    | ClustersEntry
    | LinearProbeEntry
    | FeatureRegressionEntry
    | BatchMixingEntry
    | PlateStabilityEntry,
    Field(discriminator="kind"),
]

__all__ = [
    "BatchMixingEntry",
    "Benchmark",
    "BenchmarkEntry",
    "ClustersEntry",
    "CompoundGeneEntry",
    "ControlAxisEntry",
    "FeatureRegressionEntry",
    "KnownRelationsEntry",
    "LinearProbeEntry",
    "MagnitudeEntry",
    "MatchingEntry",
    "NearestNeighborEntry",
    "PlateStabilityEntry",
    "ReplicabilityEntry",
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
