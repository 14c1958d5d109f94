"""Sections of the plates: how they are read, what layouts mean, how stores are written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from platemae.config.sections.base import Name, Section


class Channel(Section):
    """A channel of a plate: how the instrument calls it, and what it shows."""

    source: str = Field(
        description="the instrument's own name of it: text of the `channel` group, or as the metadata says"
    )
    name: Name = Field(description="name in the store, the models and the report")
    stain: str = Field(description="stain or dye, such as Hoechst")


READER_KINDS = Literal[
    "pattern",
    "synthetic",
    "operetta",
    "imagexpress",
    "cellvoyager",
    "load_data",
    "rxrx",
    "rxrx3_core",
    "ome_tiff",
    "ngff",
    "image_table",
    "none",
]


class ReaderEntry(Section):
    """How plates of one kind are read; plates.tsv names the entry in its column `reader`."""

    name: Name = Field(description="name used in plates.tsv")
    kind: READER_KINDS = Field(
        description="the instrument or form: operetta (also Opera Phenix), imagexpress, cellvoyager, load_data "
        "(CellProfiler, JUMP), rxrx (RxRx1, RxRx2, RxRx3), rxrx3_core, ome_tiff, ngff (OME-Zarr plates), image_table "
        "(a table, a row an image), pattern (a regex over file names), synthetic (the made-up screen), none "
        "(no images: the layout alone, for profiles made elsewhere)"
    )
    pattern: str | None = Field(
        default=None,
        description="kinds pattern and ome_tiff: regex over the path below the plate's folder, with groups channel, "
        "well (or row and column), optionally field, z, time",
    )
    channels: list[Channel] = Field(
        default_factory=list,
        description="channels in the order of the store, such as [{source: w1, name: DNA, stain: Hoechst}]; without "
        "them all channels of the metadata, by their own names",
    )
    pixel_size_um: float | None = Field(
        default=None, gt=0, description="edge of a pixel in micrometres; null: as the metadata says"
    )
    z: Literal["max", "best_focus"] | int = Field(
        default="max",
        description="what a stack becomes: max: its maximum projection; best_focus: its sharpest plane; or the number "
        "of one plane, as the instrument counts",
    )
    time_point: int | None = Field(default=None, description="time point that is read; null: the first")
    metadata: str | None = Field(
        default=None,
        description="kinds load_data, image_table, rxrx and rxrx3_core: the table of images or wells when it lies "
        "outside the plate's folder, relative to plates.tsv; {plate} in it becomes the plate's id",
    )

    @model_validator(mode="after")
    def _pattern_needs(self) -> ReaderEntry:
        if self.kind == "pattern" and not (self.pattern and self.channels and self.pixel_size_um):
            raise ValueError("a reader of kind pattern needs pattern, channels and pixel_size_um")
        return self


ControlType = Literal["negcon", "poscon", "treatment", "empty"]


class LayoutsSection(Section):
    """Layouts (ingest_plate): which columns they have, and what their control labels mean."""

    columns: dict[
        Literal[
            "plate",
            "well",
            "row",
            "column",
            "perturbation",
            "gene",
            "compound",
            "concentration",
            "unit",
            "control_type",
        ],
        str,
    ] = Field(
        default_factory=dict,
        description="our name -> name of the column, or Harmony layer, where it is no well-known one (docs/guide.md); "
        "an empty name: the tables have none",
    )
    control_types: dict[str, ControlType] = Field(
        default_factory=dict,
        description="control label -> negcon, poscon, treatment or empty, such as {DMSO_control: negcon}; these four "
        "words need no entry; `unlabelled` stands for perturbations without a label, `blank` for wells of which the "
        "layout says nothing",
    )
    perturbations: dict[str, ControlType] = Field(
        default_factory=dict, description="perturbation or compound -> its control type, such as {DMSO: negcon}"
    )
    metadata: list[str] = Field(
        default_factory=list,
        description="tables joined on the perturbation, which add gene, compound and control label; relative to "
        "plates.tsv",
    )
    wells_without_row: Literal["error", "empty"] = Field(
        default="error", description="imaged wells that the layout does not name: an error, or taken as empty"
    )


class IngestSection(Section):
    """ingest_plate: raw folders to OME-Zarr."""

    allow_missing: bool = Field(
        default=False, description="true: a field without one of its channels is kept, zero-filled and failed by QC"
    )
    chunk_px: int = Field(
        default=256, ge=32, le=4096, description="edge of the compressed chunks inside a field's shard, pixels"
    )
    form: Literal["folder", "zip"] = Field(
        default="folder",
        description="of a plate's store: folder, or zip: one file a plate, where a quota counts files; both are read "
        "and viewed alike",
    )
    dtype: Literal["source", "uint8"] = Field(
        default="source",
        description="source: pixels as the instrument wrote them; uint8: 8 bits over the fixed range of uint8_range, "
        "for quotas of bytes; not lossless, and measure_plate refuses it",
    )
    uint8_range: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="dtype uint8: of each channel the source values that become 0 and 255"
    )

    @model_validator(mode="after")
    def _range_needed(self) -> IngestSection:
        if (self.dtype == "uint8") != bool(self.uint8_range):
            raise ValueError("dtype: uint8 and uint8_range belong together")
        empty = [name for name, (low, high) in self.uint8_range.items() if not low < high]
        if empty:
            raise ValueError(f"uint8_range: min must be below max for {', '.join(empty)}")
        return self
