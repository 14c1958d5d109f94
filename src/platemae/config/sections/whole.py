"""The whole configuration, and whether its parts agree."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import Field, model_validator

from platemae.config.sections.base import Section
from platemae.config.sections.benchmarks import (
    BatchMixingEntry,
    BenchmarkEntry,
    KnownRelationsEntry,
    ReplicateConsistencyEntry,
)
from platemae.config.sections.corrections import CorrectionEntry
from platemae.config.sections.embedding import EmbedSection
from platemae.config.sections.maps import AnnotationsSection, MapSection, ReportSection
from platemae.config.sections.models import ModelEntry, Snapshot
from platemae.config.sections.plates import IngestSection, LayoutsSection, ReaderEntry
from platemae.config.sections.quality import IntensityEntry, MeasureSection, QcSection
from platemae.config.sections.training import DatasetEntry, TrainSection
from platemae.contracts import POOLINGS, TABLE_KINDS


def _demo_benchmarks() -> list[BenchmarkEntry]:
    return [
        KnownRelationsEntry(name="planted", kind="known_relations", relations="relations.csv"),
        ReplicateConsistencyEntry(name="replicates", kind="replicate_consistency"),
        BatchMixingEntry(name="mixing", kind="batch_mixing"),
    ]


class Config(Section):
    """The whole configuration: science only; threads, partitions and GPUs belong to the profiles."""

    results: str = Field(
        default="results",
        description="folder of all outputs. Relative paths start at the folder of the Snakefile (those of stages that "
        "are called by hand: at the working folder); write an absolute one in a project of your own",
    )
    plates: str = Field(
        default="demo-screen/plates.tsv",
        description="table of plates with the columns plate, batch, reader, path, layout, maybe cells. A relative "
        "path starts where that of results does; paths in the table, and all that are called relative to plates.tsv "
        "here, start at the table's folder, or at $PLATEMAE_DATA where they begin with it",
    )
    readers: list[ReaderEntry] = Field(
        default_factory=lambda: [ReaderEntry(name="synthetic", kind="synthetic")],
        description="how raw folders are read",
    )
    layouts: LayoutsSection = LayoutsSection()
    ingest: IngestSection = IngestSection()
    qc: QcSection = QcSection()
    intensity: list[IntensityEntry] = Field(
        default_factory=lambda: [IntensityEntry(name="controls")],
        description="maps from source values of pixels to 0..255, which networks see",
    )
    datasets: list[DatasetEntry] = Field(
        default_factory=lambda: [DatasetEntry(name="screen")], description="training sets: which fields models train on"
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
        description="models: whatever makes vectors of wells; each is a row of the tables",
    )
    corrections: list[CorrectionEntry] = Field(
        default_factory=lambda: [
            CorrectionEntry(name="none", kind="none"),
            CorrectionEntry(name="centerscale", kind="centerscale"),
            CorrectionEntry(name="tvn", kind="tvn"),
        ],
        description="batch corrections; every model is shown under each",
    )
    map: MapSection = MapSection()
    benchmarks: list[BenchmarkEntry] = Field(default_factory=_demo_benchmarks, description="how maps are scored")
    annotations: AnnotationsSection = AnnotationsSection()
    report: ReportSection = ReportSection()

    @model_validator(mode="after")
    def _names_agree(self) -> Config:
        problems = [*_duplicates(self), *_plates_once(self)]
        problems += [*_dangling(self), *_late_snapshots(self), *_unpooled(self)]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def rows(self) -> list[ModelEntry]:
        """The models of the tables: every entry of ``models``, its snapshots before it."""
        return [row for entry in self.models for row in (*Snapshot.of(entry), entry)]

    @property
    def used_intensity(self) -> list[str]:
        """Intensity maps that a model looks through, by name; a run makes no others."""
        return sorted({row.intensity for row in self.rows if row.kind not in TABLE_KINDS and row.intensity})

    @property
    def used_datasets(self) -> list[str]:
        """Training sets of the models, and the one that maps are held out of, by name; a run makes no others."""
        trained = {row.dataset for row in self.rows if row.kind not in TABLE_KINDS}
        return sorted(name for name in trained | {self.map.held_out_of} if name)

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

NAMED_PLATES = (
    ("intensity", "fit_plates"),
    ("datasets", "plates"),
    ("models", "feature_plates"),
    ("corrections", "fit_plates"),
)
"""Sections whose entries may name plates, and the key."""


def plate_lists(config: Config) -> Iterator[tuple[str, list[str]]]:
    """Yield the key and the names of every list of plates; a key whose value is ``all`` has none."""
    found = [("map.plates", config.map.plates)]
    for section, key in NAMED_PLATES:
        found += [(f"{section}.{entry.name}.{key}", getattr(entry, key)) for entry in getattr(config, section)]
    for place, names in found:
        if not isinstance(names, str):
            yield place, names


def _duplicates(config: Config) -> Iterator[str]:
    for section in LIST_SECTIONS:
        names = [entry.name for entry in (config.rows if section == "models" else getattr(config, section))]
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{section}: the name {name} is used twice"


def _plates_once(config: Config) -> Iterator[str]:
    """Yield the lists of plates that name none, or one twice: its wells would count twice, as replicates do."""
    for place, names in plate_lists(config):
        if not names:
            yield f"{place}: names no plate; leave it out for all"
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            yield f"{place}: named twice: {', '.join(twice)}"


def _dangling(config: Config) -> Iterator[str]:
    for model in config.models:
        for key, section in (("dataset", "datasets"), ("intensity", "intensity")):
            wanted, known = getattr(model, key), [entry.name for entry in getattr(config, section)]
            if wanted is not None and wanted not in known:
                yield f"models.{model.name}.{key}: {wanted} is not in {section} ({', '.join(known)})"
    holding = [entry.name for entry in config.datasets if entry.hold_out]
    if config.map.held_out_of is not None and config.map.held_out_of not in holding:
        named = ", ".join(holding) or "none"
        yield f"map.held_out_of: {config.map.held_out_of} is no dataset with hold_out (those with one: {named})"


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
