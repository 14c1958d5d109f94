"""Sections of the training: which fields, and the optimisation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from platemae.config.sections.base import Name, Section


class HoldOut(Section):
    """What a training set leaves out whole, so that it can be scored as new."""

    by: Literal["plate", "batch", "perturbation", "gene", "compound"] = Field(
        description="what is left out whole; guides of one gene share their biology, so hold them out by gene"
    )
    values: list[str] = Field(default_factory=list, description="names that are left out; or give fraction")
    fraction: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="share of the names that is left out, drawn by seed; never a control"
    )
    seed: int = Field(default=0, ge=0, description="seed of that draw")

    @model_validator(mode="after")
    def _one_way(self) -> HoldOut:
        if bool(self.values) == (self.fraction is not None):
            raise ValueError("hold_out takes either values: [names] or fraction: share")
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
    hold_out: HoldOut | None = Field(
        default=None,
        description="plates, batches, perturbations, genes or compounds that are kept out of training, for example "
        "{by: gene, fraction: 0.2}: one gene in five, drawn by its own seed; or {by: plate, values: [P4]}. To score "
        "only what training never saw, also set map.held_out_of to this data set's name",
    )
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
    checkpoint_steps: int = Field(
        default=200, ge=1, description="steps between checkpoints; one is written at least every ten minutes"
    )
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
        "from there by all trainings on the node; null: they are read where they lie",
    )
    cache_gb: float = Field(
        default=200.0, gt=0, description="10^9 bytes that such copies may take; the longest unused give way"
    )
