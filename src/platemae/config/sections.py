"""Pydantic sections of the configuration, one class a stage or list entry; they generate schema and config.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from platemae.contracts import JOINT_CORRECTIONS, POOLINGS, TABLE_KINDS, TRAINED_KINDS
from platemae.errors import ConfigError
from platemae.selection import check_selection

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A section that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


FEATURE_GROUPS = Literal[
    "shape",
    "intensity",
    "texture",
    "radial_distribution",
    "correlation",
    "zernike",
    "granularity",
    "radial_zernikes",
]


class ReaderEntry(Section):
    """How plates of one kind are read; plates.tsv names the entry in its column `reader`."""

    name: Name = Field(description="name used in plates.tsv")
    kind: READER_KINDS = Field(
        description="the instrument or form: operetta (also Opera Phenix), imagexpress, cellvoyager, load_data "
        "(CellProfiler, JUMP), rxrx (RxRx1, RxRx3), rxrx3_core, ome_tiff, ngff (OME-Zarr plates), image_table "
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
        description="channels in the order of the store; without them all channels of the metadata, by their own names",
    )
    pixel_size_um: float | None = Field(
        default=None, gt=0, description="edge of a pixel in micrometres; null: as the metadata says"
    )
    z: Literal["max", "best_focus"] | int = Field(
        default="max", description="a stack becomes its maximum projection, its sharpest plane, or this plane"
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
        description="control label -> negcon, poscon, treatment or empty, which map to themselves; `unlabelled` stands "
        "for perturbations without a label, `blank` for wells of which the layout says nothing",
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
        default="error", description="what imaged wells are that the layout does not name"
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
        default="folder", description="zip: a plate is one file, where a quota counts files; read and viewed alike"
    )
    dtype: Literal["source", "uint8"] = Field(
        default="source",
        description="uint8: 8 bits over the fixed range of uint8_range, for quotas of bytes; not lossless, and "
        "measure_plate refuses it",
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


QC_MEASURES = Literal["focus", "saturation", "background", "foreground", "mean", "slope", "laplacian", "zeros", "cells"]


class QcSection(Section):
    """qc_plate: measures on source pixels, the limits beyond which a field fails, and what then happens to it."""

    min_focus: float = Field(
        default=0.1,
        ge=0,
        description="fine detail (share of spectral power) relative to the plate's median; 2 pixels of blur give 0.1",
    )
    max_saturation: Fraction = Field(
        default=0.02, description="largest share of pixels at the channel's largest value on the plate"
    )
    min_foreground: Fraction = Field(
        default=0.01, description="smallest share of pixels above background in any channel"
    )
    limits: Literal["robust", "fixed"] = Field(
        default="robust",
        description="where a field gets a warning, and is kept: robust: `mads` from the plate's median; fixed: beyond "
        "`warn`",
    )
    mads: float = Field(
        default=6.0, gt=0, description="limits robust: median absolute deviations (scaled to standard deviations)"
    )
    warn: dict[QC_MEASURES, tuple[float | None, float | None]] = Field(
        default_factory=dict, description="limits fixed: measure -> [low, high], null for no limit"
    )
    nucleus_um: float = Field(
        default=12.0, gt=0, description="usual diameter of a nucleus, micrometres; cells are counted in the DNA channel"
    )
    max_edge: float = Field(
        default=1.0, gt=0, description="warn where outer wells differ from inner ones by more standard deviations"
    )
    max_drift: Fraction = Field(
        default=0.5, description="warn where a measure's rank correlation with the order of wells is stronger"
    )
    illumination: Literal["none", "retrospective"] = Field(
        default="none",
        description="retrospective: estimate how each channel is lit from the plate's sound fields, and divide by it "
        "what the intensity map and the models read; stores, QC and classical features keep source pixels",
    )
    gate: Literal["warn", "exclude", "stop"] = Field(
        default="exclude",
        description="exclude: failed fields are neither embedded nor trained on; warn: they are reported and kept; "
        "stop: exclude, and end the run when more than max_failed of a plate's fields fail",
    )
    max_failed: Fraction = Field(default=0.5, description="share of failed fields of a plate at which the gate closes")

    @model_validator(mode="after")
    def _warn_belongs_to_fixed(self) -> QcSection:
        if (self.limits == "fixed") != bool(self.warn):
            raise ValueError("limits: fixed and warn: {measure: [low, high]} belong together")
        return self


class IntensityEntry(Section):
    """fit_intensity: the map from source values to 0..255."""

    name: Name = Field(description="name that datasets and models refer to")
    kind: Literal["quantile", "fixed"] = Field(
        default="quantile", description="quantile: fitted; fixed: the range of `limits`"
    )
    scope: Literal["plate", "batch", "dataset"] = Field(
        default="batch", description="wells that share one map of a channel"
    )
    fit_on: Literal["negcon", "all"] = Field(default="negcon", description="wells that the map is fitted on")
    fit_plates: list[Name] | Literal["all"] = Field(
        default="all", description="plates that the map is fitted on; others get it frozen"
    )
    quantiles: tuple[Fraction, Fraction] = Field(default=(0.001, 0.999), description="quantiles that become 0 and 255")
    limits: tuple[float, float] = Field(
        default=(0.0, 255.0), description="source values that become 0 and 255 (kind fixed)"
    )

    @model_validator(mode="after")
    def _ascending(self) -> IntensityEntry:
        wrong = [key for key in ("quantiles", "limits") if not getattr(self, key)[0] < getattr(self, key)[1]]
        if wrong:
            raise ValueError(f"{' and '.join(wrong)}: the first value must be below the second")
        return self


class DatasetEntry(Section):
    """build_dataset: which fields train."""

    name: Name = Field(description="name that models refer to")
    plates: list[Name] | Literal["all"] = Field(
        default="all", description="plates of the training set; name them where plates may be added later"
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        default=0.05, description="share of wells held out for the validation loss"
    )
    fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="share of each plate's training wells that is used; smaller fractions of the same seed lie inside "
        "larger ones, and all have the same wells for validation",
    )
    seed: int = Field(default=0, ge=0, description="seed of the split, and of the fraction")
    qc: Literal["exclude", "follow"] = Field(
        default="exclude",
        description="exclude: failed fields never train, whatever the gate; follow: as qc.gate says, so that a change "
        "of the gate trains again",
    )


class TrainSection(Section):
    """train_model: optimisation; a model's own `train` overrides single values."""

    steps: int = Field(
        default=800, ge=0, description="optimiser steps; 0: random weights, the floor of any kind that is trained here"
    )
    global_batch: int = Field(default=64, ge=1, description="crops a step, over all processes")
    lr: float = Field(
        default=1e-3, gt=0, description="peak learning rate of Lion; the papers use 1e-4 up to ViT-B and 3e-5 for ViT-L"
    )
    weight_decay: float = Field(default=0.05, ge=0, description="decoupled weight decay")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="Lion's betas")
    warmup_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="share of steps with rising learning rate (one-cycle, cosine)"
    )
    mask_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.75,
        description="share of patches that are masked; kind munet: 0.25, unless its own `train` says otherwise",
    )
    fourier_weight: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01, description="weight a of (1-a) MSE + a Fourier; 0: no Fourier term"
    )
    fourier_layout: Literal["patch", "image"] = Field(default="patch", description="what the Fourier term transforms")
    fourier_norm: Literal["l1", "l2"] = Field(default="l1", description="distance between Fourier magnitudes")
    clip_norm: float = Field(default=1.0, gt=0, description="largest gradient norm")
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights, which is then validated and exported; 0: none",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: the GPU when there is one; cuda: an error where there is none"
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="micro-batches that a process cuts its crops of a step into: less memory, the same step; kind wsl: "
        "1, its batch statistics are of the whole step",
    )
    activation_checkpointing: bool = Field(
        default=False, description="compute blocks again in the backward pass instead of keeping them: less memory"
    )
    compile: bool = Field(default=False, description="torch.compile; where it fails, a warning, and training without")
    sharding: Literal["auto", "ddp", "fsdp"] = Field(
        default="auto",
        description="how several processes hold the network; ddp: each a whole one; fsdp: each a part; auto: fsdp on "
        "GPUs from 300 million parameters (ViT-L) up",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 where the hardware has it (GPU, AMX), else float32"
    )
    seed: int = Field(default=0, ge=0, description="seed of weights, crops and masks")
    checkpoint_steps: int = Field(default=200, ge=1, description="steps between checkpoints")
    validate_every: int = Field(default=150, ge=1, description="steps between validation losses")
    on_divergence: Literal["stop", "record"] = Field(
        default="stop",
        description="when the loss is no longer finite: stop with an error; record: the model is what it was before "
        "that step, and the tables say so",
    )
    flip: bool = Field(default=True, description="random flips and quarter turns of crops")
    sampling: Literal["uniform", "perturbation", "plate"] = Field(
        default="uniform",
        description="what is seen equally often: each field, each perturbation (fields without one count as one), or "
        "each plate; kind wsl: within each domain",
    )
    crops_per_field: int = Field(
        default=1,
        ge=1,
        description="crops taken of a field when its turn comes: fewer fields are decoded a step, and a batch is less "
        "varied: it holds global_batch / crops_per_field fields",
    )
    cache: str | None = Field(
        default=None,
        description="folder on a disk of the node, such as $TMPDIR: plates are copied there once, verified, and read "
        "from there by all trainings on the node",
    )
    cache_gb: float = Field(
        default=200.0, gt=0, description="10^9 bytes that such copies may take; the longest unused give way"
    )


Pooling = Annotated[str, StringConstraints(pattern=r"^(mean|cls|channelwise|block[1-9][0-9]{0,2})$")]


class EmbedSection(Section):
    """embed_plate: crops to vectors."""

    rows: Literal["well", "field", "crop", "cell"] = Field(
        default="well",
        description="what a row is: a well or a field (mean over its crops), a crop, or a cell of the plate's table of "
        "cells (the crop around it); see docs/guide.md",
    )
    tiling: Literal["drop", "overlap", "reflect"] = Field(
        default="overlap", description="what happens where the field is no multiple of the crop"
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


AFFORDABLE: tuple[FEATURE_GROUPS, ...] = ("shape", "intensity", "texture", "radial_distribution", "correlation")
"""Groups of features that cost little for what they say; docs/guide.md has the numbers."""


class MeasureSection(Section):
    """measure_plate: nuclei, cells and their classical features, for models of kind classical (needs cp_measure)."""

    nuclei: Name | None = Field(
        default=None, description="channel that nuclei are found in; null: the one whose stain or name is DNA"
    )
    cells: list[Name] = Field(
        default_factory=list, description="channels whose sum shows the cells; none named: all others but brightfield"
    )
    smooth_um: float = Field(default=1.0, gt=0, description="smoothing before thresholds, micrometres")
    min_nucleus_um: float = Field(default=5.0, gt=0, description="smallest diameter of a nucleus, micrometres")
    max_nucleus_um: float = Field(default=40.0, gt=0, description="largest diameter of a nucleus, micrometres")
    cell_distance_um: float = Field(
        default=15.0, gt=0, description="how far a cell reaches from its nucleus, micrometres"
    )
    drop_border: bool = Field(default=True, description="leave out cells that touch the edge of the field")
    min_cells: int = Field(default=5, ge=1, description="a well with fewer cells is left out")
    bits: int | None = Field(
        default=None,
        ge=8,
        le=32,
        description="depth of the camera, such as 12: intensities are shares of its range, texture has 256 levels over "
        "it; null: the range of the file's type",
    )
    features: list[FEATURE_GROUPS] = Field(
        default_factory=lambda: list(AFFORDABLE),
        min_length=1,
        description="groups of features; also zernike, radial_zernikes and granularity, see docs/guide.md for the cost",
    )

    @model_validator(mode="after")
    def _sizes(self) -> MeasureSection:
        if self.min_nucleus_um >= self.max_nucleus_um:
            raise ValueError("min_nucleus_um must be below max_nucleus_um")
        return self


MODEL_KINDS = Literal[
    "mae", "camae", "munet", "wsl", "pretrained", "checkpoint", "untrained", "tile_pca", "classical", "profiles"
]


class ModelEntry(Section):
    """One row of the tables."""

    name: Name = Field(description="name in the tables and the wildcard {model}")
    kind: MODEL_KINDS = Field(
        description="mae: trained here; camae: the same for any channels, trained here; munet: masked U-Net, trained "
        "here; wsl: classifier of `label`, trained here; checkpoint: weights of `file`; pretrained: a timm "
        "vision transformer; untrained: random weights, the floor; tile_pca: PCA of small tiles; classical: features "
        "of cells, see `measure`; profiles: a table, no network"
    )
    preset: str = Field(
        default="tiny",
        description="architecture: tiny, vit_s16, vit_b16, vit_b8, vit_l16, vit_l8; kind camae: camae_tiny, camae_s16, "
        "camae_b16, camae_l16; kind munet: munet_tiny, munet_m, munet_l; kind wsl: wsl_tiny, wsl_densenet161",
    )
    backbone: str | None = Field(
        default=None,
        description="kind wsl: densenet, or vit, which takes the presets of kind mae; null: densenet. Kind pretrained: "
        "timm's name, such as vit_small_patch16_384 (null), vit_base_patch16_384, vit_base_patch8_224, "
        "vit_large_patch16_384",
    )
    label: Literal["perturbation", "gene"] = Field(
        default="perturbation", description="kind wsl: column of the layouts whose values are told apart"
    )
    domain: Literal["plate", "batch", "none"] = Field(
        default="plate",
        description="kind wsl: wells that share batch statistics in training and inference (AdaBN); none: running "
        "averages over all",
    )
    architecture: dict[str, int | float | str | bool] = Field(
        default_factory=dict, description="single values of the preset to change, such as crop_px"
    )
    dataset: Name | None = Field(default=None, description="entry of `datasets`")
    intensity: Name | None = Field(default=None, description="entry of `intensity`")
    train: dict[str, Any] = Field(default_factory=dict, description="single values of `train` to change")
    snapshots: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list,
        description="steps, before the last, at which the network is kept: each is a row of its own, called name@step; "
        "a step that is added after the training has passed it costs a new training",
    )
    embed: dict[str, Any] = Field(default_factory=dict, description="single values of `embed` to change")
    file: str | None = Field(
        default=None,
        description="kind checkpoint: folder of a model of ours, also as `platemae export-model` writes it, or weights "
        "in the layout of OpenPhenom, safetensors or torch. Kind pretrained: weights in timm's layout; null: timm "
        "downloads them. Relative to plates.tsv",
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        default=None, description="digest that the weights of `file` must have; null: any"
    )
    source: Literal["intensity_means", "well_position", "table"] | None = Field(
        default=None, description="kind profiles: where the rows come from"
    )
    table: str | None = Field(
        default=None,
        description="source table: path relative to plates.tsv, with {plate} where each plate has a table of its own; "
        "CSV, parquet or h5ad",
    )
    plate_column: str | None = Field(
        default=None, description="source table: column that names the plate; null: found by its usual names"
    )
    well_column: str | None = Field(
        default=None, description="source table: column that names the well; null: found by its usual names"
    )
    missing: Literal["error", "drop_features", "drop_wells"] = Field(
        default="error",
        description="source table: values that are no finite numbers stop the import, drop their features on all "
        "plates, or drop their wells",
    )
    feature_plates: list[Name] | Literal["all"] = Field(
        default="all",
        description="kind classical and source table: plates whose common features are kept; name them where plates "
        "may be added later, which then must have them all",
    )

    @model_validator(mode="after")
    def _needs(self) -> ModelEntry:
        if self.kind == "profiles" and self.source is None:
            raise ValueError("a model of kind profiles needs source")
        if (self.source == "table") != (self.table is not None):
            raise ValueError("source: table and table: PATH belong together")
        named = self.file is not None
        if named != (self.kind == "checkpoint") and not (named and self.kind == "pretrained"):
            raise ValueError("kind: checkpoint needs file: PATH, which else only kind: pretrained takes")
        if self.sha256 and not named:
            raise ValueError("sha256 belongs to file: PATH")
        if self.backbone and self.kind not in ("wsl", "pretrained"):
            raise ValueError("backbone belongs to the kinds wsl and pretrained")
        if self.kind == "checkpoint" and self.architecture:
            raise ValueError("kind checkpoint takes its architecture from its file")
        if self.snapshots and self.kind not in TRAINED_KINDS:
            raise ValueError(f"snapshots belong to the kinds that are trained here: {', '.join(TRAINED_KINDS)}")
        if self.kind not in TABLE_KINDS and not (self.dataset and self.intensity):
            raise ValueError(f"a model of kind {self.kind} needs dataset and intensity")
        TrainSection(**self.train)
        EmbedSection(**self.embed)
        return self


class Snapshot(ModelEntry):
    """A model as it was after ``step`` steps of the training of ``parent``: no entry of its own, a row of its own."""

    parent: Name
    step: int

    @classmethod
    def of(cls, entry: ModelEntry) -> list[Snapshot]:
        """Return the snapshots of an entry, in the order of their steps."""
        values = entry.model_dump() | {"snapshots": [], "parent": entry.name}
        return [cls(**(values | {"name": f"{entry.name}@{step}", "step": step})) for step in sorted(entry.snapshots)]


CORRECTION_SETTINGS: dict[str, tuple[str, ...]] = {
    "none": (),
    "center": ("per", "few_controls"),
    "centerscale": ("per", "few_controls"),
    "pca_cs": ("per", "n_components", "few_controls"),
    "tvn": ("ridge", "n_components", "center_per_batch", "recolor", "few_controls"),
    "sphere": ("method", "epsilon", "center_per_batch", "few_controls"),
    "harmony": ("n_components", "theta", "seed"),
}
"""What each kind of correction can be told; a test keeps it equal to the settings of the classes."""


class CorrectionEntry(Section):
    """One batch correction; every model is shown under each."""

    name: Name = Field(description="name in the tables and the wildcard {correction}")
    kind: Literal["none", "center", "centerscale", "pca_cs", "tvn", "sphere", "harmony"] = Field(
        description="none; center: less the controls' mean; centerscale: control z-score; pca_cs: PCA on controls, "
        "then control z-score; tvn: typical variation normalization; sphere: whitening of all controls together; "
        "harmony: joint alignment of all wells (needs harmonypy). docs/corrections.md has equations and traps"
    )
    batch_unit: Literal["plate", "batch"] = Field(default="plate", description="wells that are aligned together")
    fit_on: str = Field(
        default="negcon",
        description="wells that it is fitted on, and that each unit is aligned by: negcon; all: every well but empty "
        "ones, which also removes biology; or a query such as \"Metadata_Compound == 'DMSO'\"",
    )
    per: Literal["batch", "global"] = Field(
        default="batch",
        description="center, centerscale, pca_cs: mean and deviation of the unit's own controls, or of all controls",
    )
    center_per_batch: bool | None = Field(
        default=None,
        description="tvn, sphere: remove each unit's control mean instead of that of all; null: true for tvn (EFAAR "
        "code: false), false for sphere",
    )
    ridge: float = Field(default=0.5, ge=0, description="tvn: added to each unit's control covariance (EFAAR: 0.5)")
    recolor: bool = Field(
        default=False,
        description="tvn: give a typical unit its variance back, which the ridge shrinks; angles stay (EFAAR: false)",
    )
    method: Literal["pca", "zca", "pca_cor", "zca_cor"] = Field(
        default="zca_cor", description="sphere: rotate to components or back to features; _cor: z-score first"
    )
    epsilon: float = Field(
        default=1e-6, ge=0, description="sphere: added to the singular values of the controls (pycytominer: 1e-6)"
    )
    n_components: int | None = Field(
        default=None,
        ge=1,
        description="pca_cs, tvn: principal components kept; null: as many as the controls span. harmony: null: 50",
    )
    theta: float = Field(default=2.0, ge=0, description="harmony: how strongly its clusters mix units")
    seed: int = Field(default=0, ge=0, description="harmony: seed of its clusters")
    few_controls: Literal["error", "pool", "skip"] = Field(
        default="error", description="a unit with fewer than 2 controls: stop, use all controls, or leave it unaligned"
    )
    fit_plates: list[Name] | Literal["all"] = Field(
        default="all",
        description="plates that the basis is fitted on. Named: plates added later get it frozen, and nothing else "
        "runs again; all: every new plate fits it again",
    )
    basis: str | None = Field(
        default=None,
        description="file of an earlier run, such as corrections/{model}/tvn.npz, relative to plates.tsv: its basis is "
        "used frozen, and nothing is fitted",
    )

    @field_validator("fit_on")
    @classmethod
    def _selects(cls, fit_on: str) -> str:
        try:
            check_selection(fit_on)
        except ConfigError as error:
            raise ValueError(f"{error.what}; {error.remedy}") from None
        return fit_on

    @model_validator(mode="after")
    def _keys_of_kind(self) -> CorrectionEntry:
        own = CORRECTION_SETTINGS[self.kind]
        others = sorted({key for keys in CORRECTION_SETTINGS.values() for key in keys} - set(own))
        idle = [key for key in others if key in self.model_fields_set and getattr(self, key) != _default_of(key)]
        if idle:
            raise ValueError(
                f"{', '.join(idle)} means nothing to kind {self.kind}; its keys are {', '.join(own) or 'none'}"
            )
        if self.kind in JOINT_CORRECTIONS and (self.fit_plates != "all" or self.basis):
            raise ValueError(f"kind {self.kind} aligns all plates at once: it takes neither fit_plates nor basis")
        if self.basis and self.fit_plates != "all":
            raise ValueError("basis is a fit of its own: leave fit_plates out")
        if self.kind == "none" and self.basis:
            raise ValueError("kind none has no basis")
        return self

    @property
    def looks_at_units(self) -> bool:
        """Whether each batch unit needs statistics of its own."""
        own = self.settings
        return bool(own.get("per") == "batch" or own.get("center_per_batch") or self.kind == "tvn")

    @property
    def settings(self) -> dict[str, Any]:
        """Return the keys that mean something to the kind."""
        found = {key: getattr(self, key) for key in CORRECTION_SETTINGS[self.kind]}
        if found.get("center_per_batch", False) is None:
            found["center_per_batch"] = self.kind == "tvn"
        return found


def _default_of(key: str) -> Any:
    return CorrectionEntry.model_fields[key].default


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


class Config(Section):
    """The whole configuration: science only; threads, partitions and GPUs belong to the profiles."""

    results: str = Field(default="results", description="folder of all outputs, relative to where the run starts")
    plates: str = Field(
        default="demo-screen/plates.tsv",
        description="table of plates: plate, batch, reader, path, layout, maybe cells; paths in it start at its own "
        "folder or at $PLATEMAE_DATA",
    )
    readers: list[ReaderEntry] = Field(
        default_factory=lambda: [ReaderEntry(name="synthetic", kind="synthetic")],
        description="how raw folders are read",
    )
    layouts: LayoutsSection = LayoutsSection()
    ingest: IngestSection = IngestSection()
    qc: QcSection = QcSection()
    intensity: list[IntensityEntry] = Field(
        default_factory=lambda: [IntensityEntry(name="controls")], description="maps from source values to 0..255"
    )
    datasets: list[DatasetEntry] = Field(
        default_factory=lambda: [DatasetEntry(name="screen")], description="training sets"
    )
    train: TrainSection = TrainSection()
    embed: EmbedSection = EmbedSection()
    measure: MeasureSection = MeasureSection()
    models: list[ModelEntry] = Field(
        default_factory=lambda: [
            ModelEntry(name="mae_tiny", kind="mae", dataset="screen", intensity="controls"),
            ModelEntry(name="untrained", kind="untrained", dataset="screen", intensity="controls"),
            ModelEntry(name="intensity_means", kind="profiles", source="intensity_means"),
        ],
        description="rows of the tables",
    )
    corrections: list[CorrectionEntry] = Field(
        default_factory=lambda: [
            CorrectionEntry(name="none", kind="none"),
            CorrectionEntry(name="centerscale", kind="centerscale"),
            CorrectionEntry(name="tvn", kind="tvn"),
        ],
        description="batch corrections",
    )
    map: MapSection = MapSection()
    benchmarks: list[BenchmarkEntry] = Field(
        default_factory=lambda: [
            BenchmarkEntry(name="planted", kind="known_relations", relations="relations.csv"),
            BenchmarkEntry(name="replicates", kind="replicate_consistency"),
        ],
        description="how maps are scored",
    )
    report: ReportSection = ReportSection()

    @model_validator(mode="after")
    def _names_agree(self) -> Config:
        problems = [*_duplicates(self), *_dangling(self), *_late_snapshots(self), *_unpooled(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def rows(self) -> list[ModelEntry]:
        """The models of the tables: every entry of ``models``, its snapshots before it."""
        return [row for entry in self.models for row in (*Snapshot.of(entry), entry)]

    def entry(self, section: str, name: str) -> Any:
        """Return the entry of a list section by its name; of models, snapshots are found, too.

        Raises
        ------
        KeyError
            When there is no such entry.
        """
        for entry in self.rows if section == "models" else getattr(self, section):
            if entry.name == name:
                return entry
        raise KeyError(f"{section} has no entry {name}")


LIST_SECTIONS = ("readers", "intensity", "datasets", "models", "corrections", "benchmarks")


def _duplicates(config: Config) -> Iterator[str]:
    for section in LIST_SECTIONS:
        names = [entry.name for entry in (config.rows if section == "models" else getattr(config, section))]
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{section}: the name {name} is used twice"


def _dangling(config: Config) -> Iterator[str]:
    for model in config.models:
        for key, section in (("dataset", "datasets"), ("intensity", "intensity")):
            wanted, known = getattr(model, key), [entry.name for entry in getattr(config, section)]
            if wanted is not None and wanted not in known:
                yield f"models.{model.name}.{key}: {wanted} is not in {section} ({', '.join(known)})"


def _late_snapshots(config: Config) -> Iterator[str]:
    for model in config.models:
        steps = model.train.get("steps", config.train.steps)
        late = [step for step in model.snapshots if step >= steps]
        if late:
            late_steps = ", ".join(map(str, late))
            yield f"models.{model.name}.snapshots: {late_steps} of {steps} steps; {model.name} itself is the last"


def _unpooled(config: Config) -> Iterator[str]:
    """Yield the models that lack a pooling which they are asked for; of a weights file only the file knows."""
    for model in config.models:
        offered = POOLINGS.get(model.kind)
        if offered is None:
            continue
        embed = EmbedSection(**(config.embed.model_dump() | model.embed))
        lacking = [name for name in embed.poolings if re.sub(r"[0-9]+$", "", name) not in offered]
        if lacking:
            has = ", ".join(f"{name}1 and so on" if name == "block" else name for name in offered)
            yield f"models.{model.name}.embed.pooling: kind {model.kind} has no {', '.join(lacking)}; it has {has}"
