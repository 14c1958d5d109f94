"""Sections of what comes out: maps, annotations, the report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from platemae.config.sections.base import Name, Section


class MapEmbedding(Section):
    """Neighbours, UMAP and Leiden clusters of the rows of a map, by scanpy."""

    neighbors: int = Field(default=15, ge=2, description="neighbours of a row, by cosine distance")
    resolution: float = Field(default=1.0, gt=0, description="resolution of Leiden: more gives more clusters")
    seed: int = Field(default=0, ge=0, description="seed of neighbours, UMAP and Leiden")


class MapSection(Section):
    """build_map: wells to guides to genes."""

    entity: Literal["gene", "compound", "perturbation", "gene_and_compound"] = Field(
        default="gene",
        description="column of the layouts that becomes a row of the map; gene_and_compound: both, in one",
    )
    doses: Literal["together", "apart"] = Field(
        default="together",
        description="together: a compound is one row; apart: one row a concentration (NAME@concentration)",
    )
    aggregate: Literal["mean", "median", "consensus"] = Field(
        default="mean",
        description="how wells become a guide and guides become a gene; consensus: replicates that agree weigh more",
    )
    filter_consistency_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="rows whose replicates agree with a larger p than this are left out of the map, and those of a "
        "single replicate; null: all stay",
    )
    proximity_bias: Literal["none", "chromosome_arm"] = Field(
        default="none",
        description="chromosome_arm: subtract from each gene the mean of the unexpressed genes on its chromosome arm",
    )
    chromosome_arms: str | None = Field(
        default=None, description="CSV with gene,chromosome_arm and maybe zfpkm (expression), relative to plates.tsv"
    )
    arm_genes: int = Field(
        default=20, ge=1, description="an arm with this many unexpressed genes or fewer in the map is not corrected"
    )
    embed: MapEmbedding | None = Field(
        default=None,
        description="UMAP and Leiden clusters in the map's file: {neighbors: 15, resolution: 1, seed: 0}; needs the "
        "extra leiden",
    )
    plates: list[Name] | Literal["all"] = Field(
        default="all", description="plates whose wells become the maps and are scored; on others models only train"
    )
    held_out_of: Name | None = Field(
        default=None,
        description="name of a data set with hold_out: maps and scores of all models then use only treated wells whose "
        "gene (or what its hold_out is by) it did not train on, beside all controls; null: all wells",
    )

    @model_validator(mode="after")
    def _arms_are_named(self) -> MapSection:
        if (self.proximity_bias == "chromosome_arm") != (self.chromosome_arms is not None):
            raise ValueError("proximity_bias: chromosome_arm and a file in chromosome_arms belong together")
        return self


class AnnotationsSection(Section):
    """`platemae fetch-annotations`: which terms of use you accept."""

    accept_licences: list[Literal["cc-by-nc"]] = Field(
        default=[], description="cc-by-nc: sets that may not be used commercially (CORUM, SIGNOR) may be fetched"
    )


class ReportSection(Section):
    """render_report: what the page shows."""

    title: str = Field(default="platemae report", description="heading of the page")
    umap_neighbors: int = Field(default=15, ge=2, description="neighbours of scanpy's UMAP")
    seed: int = Field(default=0, ge=0, description="seed of the UMAP and of the examples shown")
    published: str | None = Field(
        default=None,
        description="CSV of published numbers of your own, in the columns of workflow/resources/published.csv, "
        "relative to plates.tsv; its cells go before ours",
    )
    reconstructions: int = Field(default=4, ge=1, le=12, description="crops in the reconstruction gallery")
