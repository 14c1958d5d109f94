"""Benchmarks that learn something from the vectors of wells."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from platemae.config.sections.benchmarks.base import Benchmark

Penalty = Annotated[float, Field(gt=0)]


class LinearProbeEntry(Benchmark):
    """Logistic regression from wells to a label, plates, batches or compounds held out whole."""

    file_keys: ClassVar[tuple[str, ...]] = ("labels",)

    kind: Literal["linear_probe"]
    target: Literal["perturbation", "gene", "compound"] = Field(
        default="perturbation", description="column of the layouts that is told, where there are no labels"
    )
    labels: str | None = Field(
        default=None,
        description="CSV or TSV with label and one or more of perturbation, gene, compound, concentration, plate, "
        "well, relative to plates.tsv",
    )
    split_by: Literal["plate", "batch", "compound", "perturbation"] = Field(
        default="plate", description="wells of one of these are never on both sides"
    )
    n_splits: int = Field(default=5, ge=2, description="parts of the cross-validation")
    c: float = Field(default=1.0, gt=0, description="inverse strength of the penalty (scikit-learn's C)")
    min_groups: int = Field(default=2, ge=2, description="classes in fewer plates (or what split_by says) are left out")
    controls: bool = Field(default=False, description="control wells take part")
    max_iter: int = Field(default=1000, ge=1, description="steps of the solver")
    n_shuffles: int = Field(default=3, ge=0, description="repetitions with permuted labels, each as long as the probe")


class FeatureRegressionEntry(Benchmark):
    """Ridge regression from wells to hand-made features, plates or batches held out whole."""

    file_keys: ClassVar[tuple[str, ...]] = ("features",)

    kind: Literal["feature_regression"]
    features: str = Field(
        description="table of features with a row a well (CSV, parquet, h5ad), relative to plates.tsv; with {plate} in "
        "it, a table a plate"
    )
    alphas: tuple[Penalty, ...] = Field(
        default=(1.0, 10.0, 100.0, 1000.0, 10000.0),
        min_length=1,
        description="penalties; each feature takes the best by leave-one-out on the training part",
    )
    split_by: Literal["plate", "batch"] = Field(default="plate", description="held out whole")
    n_splits: int = Field(default=5, ge=2, description="parts of the cross-validation")
    per_feature: bool = Field(default=False, description="R2 of every feature in the detail of its category")
