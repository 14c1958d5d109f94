"""Benchmarks of replicate wells and of the controls."""

from __future__ import annotations

from typing import Literal

from platemae.config.sections.benchmarks.base import Benchmark


class ReplicateConsistencyEntry(Benchmark):
    """Cosine among the replicates of a perturbation."""

    kind: Literal["replicate_consistency"]


class ControlAxisEntry(Benchmark):
    """Controls told apart, and doses along the line from negative to positive."""

    kind: Literal["control_axis"]
