"""Sections of what comes out: maps, benchmarks, the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from platemae.config.sections.base import Name, Section


class MapSection(Section):
    """build_map: wells to guides to genes."""

    entity: Literal["gene", "compound", "perturbation"] = Field(
        default="gene", description="column of the layouts that becomes a row of the map"
    )
    aggregate: Literal["mean", "median"] = Field(
        default="mean", description="how wells become a guide and guides become a gene"
    )
    plates: list[Name] | Literal["all"] = Field(
        default="all", description="plates whose wells become the maps and are scored; on others models only train"
    )


class BenchmarkEntry(Section):
    """One benchmark of a map."""

    name: Name = Field(description="name in the tables")
    kind: Literal["known_relations", "replicate_consistency", "control_axis"] = Field(
        description="known_relations: recall of gene pairs; replicate_consistency: cosine among replicates; "
        "control_axis: dose along negative-to-positive"
    )
    relations: str | None = Field(
        default=None, description="known_relations: CSV with entity1,entity2[,strength], relative to plates.tsv"
    )
    n_bootstrap: int = Field(default=1000, ge=10, description="resamplings for the interval")
    n_shuffles: int = Field(default=200, ge=10, description="label shuffles for the measured chance")
    seed: int = Field(default=0, ge=0, description="seed of resampling")

    @model_validator(mode="after")
    def _relations_needed(self) -> BenchmarkEntry:
        if (self.kind == "known_relations") != (self.relations is not None):
            raise ValueError("kind: known_relations and relations: PATH belong together")
        return self


class ReportSection(Section):
    """render_report: what the page shows."""

    title: str = Field(default="platemae report", description="heading of the page")
    umap_neighbors: int = Field(default=15, ge=2, description="neighbours of scanpy's UMAP")
    seed: int = Field(default=0, ge=0, description="seed of the UMAP and of the examples shown")
    reconstructions: int = Field(default=4, ge=1, le=12, description="crops in the reconstruction gallery")
