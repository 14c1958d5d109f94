"""What the page is made from: the results folder, the configuration slice, every manifest and the scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, TABLE_KINDS, TRAINED_KINDS, Manifest, check_columns
from platemae.errors import MissingError
from platemae.layout import MANIFESTS, Results
from platemae.report.scores import read_scores


@dataclass(frozen=True)
class Record:
    """The manifest of one job; None where the job has not run."""

    stage: str
    wildcards: dict[str, str]
    manifest: Manifest | None

    @property
    def path(self) -> str:
        """Of the manifest, below the results folder."""
        return MANIFESTS[self.stage].format(**self.wildcards)

    @property
    def label(self) -> str:
        """The job in words: its wildcards."""
        return " / ".join(self.wildcards.values())


@dataclass(frozen=True)
class Source:
    """Read access for the sections.

    Parameters
    ----------
    results
        The results folder.
    cfg
        ``report``, ``plates``, ``map_plates``, ``measured_plates``, ``embedded_plates``, ``models``, ``corrections``,
        ``benchmarks`` as the stage gets them.
    """

    results: Results
    cfg: dict[str, Any]

    @property
    def plates(self) -> list[str]:
        """Names of the plates."""
        return list(self.cfg["plates"])

    @property
    def map_plates(self) -> list[str]:
        """Names of the plates that are scored; on the others models only train."""
        return list(self.cfg["map_plates"])

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order of the tables."""
        return [model["name"] for model in self.cfg["models"]]

    @property
    def corrections(self) -> list[str]:
        """Names of the corrections, in the order of the tables."""
        return [correction["name"] for correction in self.cfg["corrections"]]

    @property
    def networks(self) -> list[str]:
        """Names of the models that have a folder of their own: all that are networks."""
        return [model["name"] for model in self.cfg["models"] if model["kind"] not in TABLE_KINDS]

    @property
    def trainings(self) -> list[str]:
        """The networks without their snapshots, which are earlier points of the same curves."""
        snapshots = {model["name"] for model in self.cfg["models"] if model.get("parent")}
        return [name for name in self.networks if name not in snapshots]

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """What ``model.json`` tells of each network that has one."""
        paths = {name: self.results.model(name) / "model.json" for name in self.networks}
        return {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}

    @cached_property
    def untrained(self) -> list[str]:
        """Networks with random weights: of kind untrained, or trained for no step."""
        random = {model["name"] for model in self.cfg["models"] if model["kind"] == "untrained"}
        stopped = {
            model["name"]
            for model in self.cfg["models"]
            if model["kind"] in TRAINED_KINDS and _steps(self.facts.get(model["name"], {})) == 0
        }
        return [name for name in self.networks if name in random | stopped]

    def twins(self, model: str) -> list[str]:
        """Return the networks with random weights that are built like a model: its own floors."""
        built = _built(self.facts.get(model, {}))
        return [
            name for name in self.untrained if built and name != model and _built(self.facts.get(name, {})) == built
        ]

    @cached_property
    def records(self) -> list[Record]:
        """The manifests of all jobs upstream, in the order of the pipeline."""
        return [Record(stage, wildcards, self._manifest(stage, wildcards)) for stage, wildcards in self._jobs()]

    def of(self, stage: str) -> list[Record]:
        """Return the jobs of one stage."""
        return [record for record in self.records if record.stage == stage]

    @cached_property
    def scores(self) -> tuple[pd.DataFrame, list[str]]:
        """Score rows, and ``model / correction`` of those that are missing."""
        return read_scores(self.results, self.models, self.corrections)

    @cached_property
    def fields(self) -> pd.DataFrame:
        """The fields of all plates that are there."""
        return self._tables([self.results.fields(plate) for plate in self.plates], FIELDS_COLUMNS)

    @cached_property
    def qc(self) -> pd.DataFrame:
        """QC rows of all plates that are there."""
        return self._tables([self.results.qc(plate) for plate in self.plates], QC_COLUMNS)

    def _tables(self, paths: list[Path], columns: tuple[str, ...]) -> pd.DataFrame:
        frames = []
        for path in paths:
            if path.is_file():
                frame = pd.read_parquet(path)
                check_columns(frame.columns, columns, str(path))
                frames.append(frame[list(columns)])
        filled = [frame for frame in frames if len(frame)]
        return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))

    def _jobs(self) -> Iterator[tuple[str, dict[str, str]]]:
        profiles = [model["name"] for model in self.cfg["models"] if model["kind"] in TABLE_KINDS]
        for stage in ("ingest_plate", "qc_plate"):
            yield from ((stage, {"plate": plate}) for plate in self.plates)
        yield from (("measure_plate", {"plate": plate}) for plate in self.cfg["measured_plates"])
        for key, stage in (("intensity", "fit_intensity"), ("dataset", "build_dataset")):
            names = dict.fromkeys(model[key] for model in self.cfg["models"] if model.get(key))
            yield from ((stage, {key: name}) for name in names)
        yield from (("train_model", {"model": model}) for model in self.networks)
        for model in self.models:
            stage = "import_profiles" if model in profiles else "embed_plate"
            yield from ((stage, {"model": model, "plate": plate}) for plate in self.cfg["embedded_plates"])
        for stage in ("fit_correction", "correct_plate", "build_map", "score_map"):
            for model in self.models:
                for correction in self.corrections:
                    pair = {"model": model, "correction": correction}
                    plates = [{"plate": plate} for plate in self.map_plates] if stage == "correct_plate" else [{}]
                    yield from ((stage, pair | plate) for plate in plates)
        yield "compare_models", {}

    def _manifest(self, stage: str, wildcards: dict[str, str]) -> Manifest | None:
        try:
            return Manifest.read(self.results.manifest(stage, **wildcards))
        except MissingError:
            return None


def _steps(facts: Mapping[str, Any]) -> int | None:
    steps: int | None = facts.get("training", {}).get("steps")
    return steps


def _built(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes two networks the same but for their weights; nothing where it is not recorded."""
    if "architecture" not in facts:
        return ()
    kind = "mae" if facts["kind"] == "untrained" else facts["kind"]
    return kind, facts["architecture"], facts.get("channels")
