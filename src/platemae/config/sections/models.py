"""Entries of the models, and the snapshots of their trainings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from platemae.config.sections.base import Name, Section
from platemae.config.sections.embedding import EmbedSection
from platemae.config.sections.training import TrainSection
from platemae.contracts import TABLE_KINDS, TRAINED_KINDS

MODEL_KINDS = Literal[
    "mae",
    "camae",
    "munet",
    "wsl",
    "pretrained",
    "checkpoint",
    "untrained",
    "tile_pca",
    "classical",
    "profiles",
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
        "a step that is added after the training has passed it is an error, which names the command to train again",
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
        default=None,
        description="kind profiles: mean intensities of the channels, the well's position on the plate (neither knows "
        "biology), or `table`",
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
        description="source table, values that are no finite numbers: error: the import stops; drop_features: their "
        "features go, on all plates; drop_wells: their wells go",
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
        if self.snapshots and len(f"{self.name}@{max(self.snapshots)}") > 100:
            raise ValueError("the rows of snapshots are called name@step, which is at most 100 characters long")
        return self

    @field_validator("train")
    @classmethod
    def _fits_train(cls, train: dict[str, Any]) -> dict[str, Any]:
        return _checked(TrainSection, train)

    @field_validator("embed")
    @classmethod
    def _fits_embed(cls, embed: dict[str, Any]) -> dict[str, Any]:
        return _checked(EmbedSection, embed)


def _checked(section: type[Section], values: dict[str, Any]) -> dict[str, Any]:
    """Return single values of a section as it reads them: YAML's ``1e-4`` is a text, and becomes a number."""
    checked = section.model_validate(values)
    return {key: getattr(checked, key) for key in values}


class Snapshot(ModelEntry):
    """A model as it was after ``step`` steps of the training of ``parent``: no entry of its own, a row of its own."""

    parent: Name
    step: int

    @classmethod
    def of(cls, entry: ModelEntry) -> list[Snapshot]:
        """Return the snapshots of an entry, in the order of their steps."""
        values = entry.model_dump() | {"snapshots": [], "parent": entry.name}
        return [cls(**(values | {"name": f"{entry.name}@{step}", "step": step})) for step in sorted(entry.snapshots)]
