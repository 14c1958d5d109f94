"""Sections of what comes out: maps, the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
    held_out_of: Name | None = Field(
        default=None,
        description="dataset with hold_out: of the treated wells only those whose plate, batch, perturbation, gene or "
        "compound (what its hold_out is by) it never saw are mapped and scored, for all models; null: all wells",
    )


class ReportSection(Section):
    """render_report: what the page shows."""

    title: str = Field(default="platemae report", description="heading of the page")
    umap_neighbors: int = Field(default=15, ge=2, description="neighbours of scanpy's UMAP")
    seed: int = Field(default=0, ge=0, description="seed of the UMAP and of the examples shown")
    reconstructions: int = Field(default=4, ge=1, le=12, description="crops in the reconstruction gallery")
