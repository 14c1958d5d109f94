"""Entries of the batch corrections."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from platemae.config.sections.base import Name, Section
from platemae.contracts import JOINT_CORRECTIONS
from platemae.errors import ConfigError
from platemae.selection import check_selection

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

CORRECTION_KINDS = Literal[
    "none",
    "center",
    "centerscale",
    "pca_cs",
    "tvn",
    "sphere",
    "harmony",
]


class CorrectionEntry(Section):
    """One batch correction; every model is shown under each."""

    name: Name = Field(description="name in the tables and the wildcard {correction}")
    kind: CORRECTION_KINDS = Field(
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
        default="error",
        description="a unit with fewer than 2 controls: error: stop; pool: use all controls; skip: leave it unaligned",
    )
    fit_plates: list[Name] | Literal["all"] = Field(
        default="all",
        description="plates that the basis is fitted on. Named: plates added later get it frozen, and nothing else "
        "runs again; all: those of `map.plates`, and every new one of these fits it again",
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
