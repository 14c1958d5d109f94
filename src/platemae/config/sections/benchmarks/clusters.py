"""Benchmarks of groups of genes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from platemae.config.sections.base import Name
from platemae.config.sections.benchmarks.base import Benchmark


class ClustersEntry(Benchmark):
    """Cosines within clusters of genes against those to the rest of the map."""

    file_keys: ClassVar[tuple[str, ...]] = ("clusters",)

    kind: Literal["clusters"]
    clusters: str | dict[Name, str] = Field(
        description="CSV or TSV with cluster,gene, relative to plates.tsv; or several, each with its name"
    )
    min_genes: int = Field(default=10, ge=2, description="clusters with fewer genes in the map are left out")
    alpha: float = Field(default=0.05, gt=0, lt=1, description="false discovery rate of share_significant")
    n_shuffles: int = Field(default=999, ge=10, description="random gene sets for p and for the measured chance")
