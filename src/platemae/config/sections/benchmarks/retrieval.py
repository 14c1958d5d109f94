"""Benchmarks of retrieval: which profiles are nearest, and in which order the others come."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from platemae.config.sections.benchmarks.base import Benchmark

Column = Annotated[str, StringConstraints(min_length=1)]
_ROWS = "wells, or the perturbations of the map"
_LABELS = "CSV with label and one or more of perturbation, gene, compound, concentration; relative to plates.tsv"
_GROUP = "column whose groups are tested; null: the perturbation"


class NearestNeighborEntry(Benchmark):
    """Share of profiles whose nearest allowed neighbour has the same label."""

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    kind: Literal["nearest_neighbor"]
    rows: Literal["wells", "perturbations"] = Field(default="perturbations", description=_ROWS)
    match: Column = Field(default="label", description="column that a right neighbour shares, or label")
    not_same: tuple[Column, ...] = Field(default=(), description="columns that a neighbour must not share")
    labels: str | None = Field(default=None, description=_LABELS)
    n_shuffles: int = Field(default=200, ge=10, description="label shuffles for the measured chance")


class ReplicabilityEntry(Benchmark):
    """Mean average precision of replicate wells against negative controls."""

    kind: Literal["replicability"]
    match: Column = Field(default="perturbation", description="column that replicates share")
    not_same: tuple[Column, ...] = Field(default=(), description="columns that replicates must not share")
    negatives_same: tuple[Column, ...] = Field(
        default=("plate",), description="columns that a well and the controls it is compared with share"
    )
    group_by: Column | None = Field(default=None, description=_GROUP)
    alpha: float = Field(default=0.05, gt=0, lt=1, description="retrieved is a group with q below this")
    null_size: int = Field(default=10000, ge=100, description="random rankings for p")


class MatchingEntry(Benchmark):
    """Mean average precision of profiles that share a label, target or gene against all others."""

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    kind: Literal["matching"]
    rows: Literal["wells", "perturbations"] = Field(default="perturbations", description=_ROWS)
    match: Column = Field(default="label", description="column that positives share, or label")
    not_same: tuple[Column, ...] = Field(default=(), description="columns that positives must not share")
    negatives_same: tuple[Column, ...] = Field(default=(), description="columns that a profile and its negatives share")
    group_by: Column | None = Field(default=None, description=_GROUP)
    labels: str | None = Field(default=None, description=_LABELS)
    alpha: float = Field(default=0.05, gt=0, lt=1, description="retrieved is a group with q below this")
    null_size: int = Field(default=10000, ge=100, description="random rankings for p")


class CompoundGeneEntry(Benchmark):
    """How well compounds find the genes they act on, by cosine."""

    file_keys: ClassVar[tuple[str, ...]] = ("truth",)

    kind: Literal["compound_gene"]
    truth: str = Field(description="CSV with compound,gene,nM, relative to plates.tsv")
    active_nm: float = Field(default=1000.0, gt=0, description="genes at most this are targets of a compound")
    inactive_nm: float = Field(default=10000.0, gt=0, description="genes between active_nm and this are left out")
    min_negatives: int = Field(
        default=20, ge=1, description="negatives of a compound: twice its targets, at least this"
    )
    n_seeds: int = Field(default=10, ge=1, description="draws of the negatives, averaged")
