"""Sections of what is seen on a plate without a network: quality, intensity, classical features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from platemae.config.sections.base import Fraction, Name, Section

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
        default=1.0,
        gt=0,
        description="warn where outer wells differ from inner ones by more than so many standard deviations",
    )
    max_drift: Fraction = Field(
        default=0.5, description="warn where a measure's rank correlation with the order of wells is stronger than this"
    )
    illumination: Literal["none", "retrospective"] = Field(
        default="none",
        description="none, or retrospective: estimate how each channel is lit from the plate's sound fields, and "
        "divide by it what the intensity map and the models read; stores, QC and classical features keep source pixels",
    )
    gate: Literal["warn", "exclude", "stop"] = Field(
        default="exclude",
        description="exclude: failed fields are neither embedded nor trained on; warn: they are reported and kept; "
        "stop: exclude, and end the run when more than max_failed of a plate's fields fail",
    )
    max_failed: Fraction = Field(default=0.5, description="gate stop: share of a plate's fields that may fail")

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
        default="batch", description="wells that share one map of a channel; dataset: all of them"
    )
    fit_on: Literal["negcon", "all"] = Field(default="negcon", description="wells that the map is fitted on")
    fit_plates: list[Name] | Literal["all"] = Field(
        default="all",
        description="plates that the map is fitted on; others get it frozen. With all, every new plate fits it again",
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


AFFORDABLE: tuple[FEATURE_GROUPS, ...] = ("shape", "intensity", "texture", "radial_distribution", "correlation")
"""Groups of features that cost little for what they say; docs/models.md has the numbers."""


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
        description="groups of features; also zernike, radial_zernikes and granularity; docs/models.md has the cost",
    )

    @model_validator(mode="after")
    def _sizes(self) -> MeasureSection:
        if self.min_nucleus_um >= self.max_nucleus_um:
            raise ValueError("min_nucleus_um must be below max_nucleus_um")
        return self

    @model_validator(mode="after")
    def _each_once(self) -> MeasureSection:
        """Refuse names that stand twice: a channel would count double, and so would a feature."""
        for key in ("cells", "features"):
            names: list[str] = getattr(self, key)
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: named twice: {', '.join(twice)}")
        return self
