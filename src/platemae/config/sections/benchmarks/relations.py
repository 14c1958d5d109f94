"""Benchmarks of known relations among the rows of a map."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from platemae.config.sections.base import Fraction, Name
from platemae.config.sections.benchmarks.base import N_BOOTSTRAP, Benchmark


class KnownRelationsEntry(Benchmark):
    """Recall of known pairs in the tails of all pairs of the map."""

    file_keys: ClassVar[tuple[str, ...]] = ("relations", "aliases")

    kind: Literal["known_relations"]
    relations: str | dict[Name, str] = Field(
        description="CSV with entity1,entity2[,strength], relative to plates.tsv; or several, each with its name"
    )
    thresholds: tuple[tuple[Fraction, Fraction], ...] = Field(
        default=((0.05, 0.95), (0.1, 0.9)), min_length=1, description="shares [lo, hi] of the null that bound its tails"
    )
    side: Literal["two", "upper"] = Field(
        default="two", description="two: pairs in both tails count; upper: the upper tail alone"
    )
    null_kind: Literal["all_pairs", "drawn"] = Field(
        default="all_pairs",
        description="all_pairs of the map, or drawn: mean over three draws of 5,000 x 5,000 genes, as when the papers "
        "were written",
    )
    null_rows: Literal["all", "genes", "source"] = Field(
        default="all",
        description="rows that make the null: all of the map, its genes (no compounds), or the genes that the source "
        "pairs",
    )
    curve: bool = Field(default=False, description="recall at tails from 0.005 to 0.5, too")
    filter_consistency_p: Fraction | None = Field(
        default=None, description="leave out rows of the map whose replicates have a larger consistency p; null: none"
    )
    min_entities: int = Field(default=20, ge=2, description="genes in the map that a source needs to be scored")
    n_bootstrap: int = Field(default=1000, ge=0, description=N_BOOTSTRAP)
    n_shuffles: int = Field(default=200, ge=0, description="label shuffles for the measured chance; 0: none")
    aliases: str | None = Field(
        default=None,
        description="CSV with previous,current: outdated gene symbols, to tell which the map has under another name",
    )
