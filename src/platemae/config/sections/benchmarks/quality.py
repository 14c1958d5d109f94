"""Benchmarks of what plates and batches do to a map."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from platemae.config.sections.base import Name
from platemae.config.sections.benchmarks.base import Benchmark


class BatchMixingEntry(Benchmark):
    """How far plates or batches lie apart, among negative controls and among all wells."""

    kind: Literal["batch_mixing"]
    batch: Literal["plate", "batch"] = Field(default="plate", description="what is meant to be mixed")
    label: Literal["perturbation", "gene", "compound"] = Field(
        default="perturbation", description="what is meant to stay apart"
    )
    n_neighbors: int = Field(default=15, ge=1, description="nearest wells that are looked at")
    n_components: int = Field(default=50, ge=1, description="principal components of batch_variance")
    max_wells: int = Field(default=20_000, ge=10, description="of more wells, so many are drawn")
    n_shuffles: int = Field(default=20, ge=1, description="permutations of the labels for the measured chance")


class PlateStabilityEntry(Benchmark):
    """The map without each plate in turn against the whole one."""

    file_keys: ClassVar[tuple[str, ...]] = ("relations",)

    kind: Literal["plate_stability"]
    relations: str | dict[Name, str] = Field(
        default_factory=dict,
        description="CSV with entity1,entity2, or several, each with its name: adds the range of recall",
    )
    threshold: float = Field(default=0.05, gt=0, lt=0.5, description="share of all pairs in each tail of the recall")
    max_pairs: int = Field(default=200_000, ge=10, description="of more pairs of genes, so many are drawn for ranks")
