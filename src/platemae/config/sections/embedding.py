"""Section of the embedding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from platemae.config.sections.base import Section

Pooling = Annotated[str, StringConstraints(pattern=r"^(mean|cls|channelwise|block[1-9][0-9]{0,2})$")]


class EmbedSection(Section):
    """embed_plate: crops to vectors."""

    rows: Literal["well", "field", "crop", "cell"] = Field(
        default="well",
        description="what a row is: a well or a field (mean over its crops), a crop, or a cell of the plate's table of "
        "cells (the crop around it); see docs/guide.md",
    )
    tiling: Literal["drop", "overlap", "reflect"] = Field(
        default="overlap",
        description="where the field is no multiple of the crop: drop: the rest at right and bottom is left out; "
        "overlap: crops overlap, so that every pixel counts; reflect: the field is mirrored at its edges",
    )
    pooling: Pooling | Annotated[list[Pooling], Field(min_length=1)] = Field(
        default="mean",
        description="mean of patch tokens (the papers); cls, the class token; block1, block2 and so on, mean of the "
        "tokens after that block (kind munet: level); kind camae: channelwise, the mean of each channel's tokens one "
        "after another. Of a list the first goes on to the map, the others stand beside it",
    )
    batch: int | None = Field(
        default=None, ge=1, description="crops of a forward pass; null: as many as memory takes; moves rounding alone"
    )
    pixel_size: Literal["resample", "ignore"] | Annotated[float, Field(gt=0)] = Field(
        default="resample",
        description="resample: fields come to the pixel size that the model was trained on; ignore: as they are; a "
        "number: resample, and the model was trained on so many micrometres",
    )
    cell_border: Literal["reflect", "drop"] = Field(
        default="reflect", description="rows cell: a crop that leaves the field is mirrored there, or its cell left out"
    )
    mask_neighbours: bool = Field(
        default=False, description="rows cell: pixels nearer to another cell of the table become background"
    )
    domain_exact: bool = Field(
        default=False,
        description="kind wsl: pass over the domain once for each batch normalisation, so that its statistics are "
        "exact; false: one pass over mixed batches",
    )
    domain_fields: int = Field(
        default=512, ge=0, description="kind wsl: fields of the domain that its statistics are taken from; 0: all"
    )

    @property
    def poolings(self) -> list[str]:
        """All poolings, the one that goes on first."""
        return [self.pooling] if isinstance(self.pooling, str) else list(self.pooling)

    @model_validator(mode="after")
    def _each_once(self) -> EmbedSection:
        if len(set(self.poolings)) < len(self.poolings):
            raise ValueError("pooling: a name stands twice")
        return self
