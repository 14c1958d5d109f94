"""Benchmarks of replicate wells and of the controls."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from platemae.config.sections.benchmarks.base import Benchmark


class ReplicateConsistencyEntry(Benchmark):
    """Cosine among the replicates of a perturbation."""

    kind: Literal["replicate_consistency"]
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="largest p of a consistent perturbation, and rate of false discoveries"
    )
    null_kind: Literal["wells", "matched", "controls"] = Field(
        default="wells",
        description="what a perturbation is compared with: wells: random ones; matched: as many of each batch as it "
        "has; controls: null perturbations",
    )
    measure: Literal["cosine", "angle"] = Field(default="cosine", description="mean over pairs of replicates")
    null_perturbations: tuple[str, ...] = Field(
        default=(),
        description="for null_kind controls: rows of the map that do nothing, such as genes not expressed; none: the "
        "negative controls",
    )
    n_null: int = Field(default=999, ge=19, description="random sets for each number of replicates")


class MagnitudeEntry(Benchmark):
    """Energy distance of a perturbation's wells to the negative controls."""

    kind: Literal["magnitude"]
    alpha: float = Field(
        default=0.05, gt=0, lt=1, description="largest p of an active perturbation, and rate of false discoveries"
    )
    min_wells: int = Field(default=5, ge=2, description="wells that a perturbation needs")
    max_controls: int = Field(default=1000, ge=4, description="control wells at most, drawn by the seed")
    n_null: int = Field(default=999, ge=19, description="sets of controls for each number of wells")


class ControlAxisEntry(Benchmark):
    """Controls told apart, and doses along the line from negative to positive."""

    kind: Literal["control_axis"]
