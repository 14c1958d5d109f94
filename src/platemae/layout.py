"""Every path in the project.

The results folder is also Snakemake's working directory, so a moved folder stays valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Results:
    """Paths below one results folder.

    Parameters
    ----------
    root
        The results folder; rules use ``Results(Path("."))`` as they run inside it.
    """

    root: Path

    def store(self, plate: str) -> Path:
        """OME-Zarr plate store (not a declared output)."""
        return self.root / "plates" / f"{plate}.zarr"

    def fields(self, plate: str) -> Path:
        """One row a field."""
        return self.root / "plates" / f"{plate}.fields.parquet"

    def cells(self, plate: str) -> Path:
        """One row a cell of a pooled plate (not a declared output, as other plates have none)."""
        return self.root / "plates" / f"{plate}.cells.parquet"

    def illumination(self, plate: str) -> Path:
        """How the plate's fields are lit (not a declared output: there is none where it is not corrected)."""
        return self.root / "plates" / f"{plate}.illumination.npz"

    def qc(self, plate: str) -> Path:
        """QC measures and verdicts."""
        return self.root / "qc" / f"{plate}.parquet"

    def measured(self, plate: str) -> Path:
        """AnnData, a row a well: classical features."""
        return self.root / "measured" / f"{plate}.h5ad"

    def intensity(self, intensity: str) -> Path:
        """Intensity map."""
        return self.root / "intensity" / f"{intensity}.json"

    def dataset(self, dataset: str) -> Path:
        """Index of training fields."""
        return self.root / "datasets" / f"{dataset}.parquet"

    def model(self, model: str) -> Path:
        """Folder with ``model.safetensors``, ``model.json``, ``history.parquet``, ``reconstructions.npz``."""
        return self.root / "models" / model

    def training_state(self, key: str) -> Path:
        """Checkpoints of one training (not a declared output)."""
        return self.root / "models" / ".state" / key

    def training_page(self, model: str) -> Path:
        """Link to the page of a model's training, in its state folder (not a declared output)."""
        return self.root / "logs" / "train_model" / f"{model}.html"

    def embedding(self, model: str, plate: str) -> Path:
        """AnnData, a row a well."""
        return self.root / "embeddings" / model / f"{plate}.h5ad"

    def control_stats(self, model: str, fit_on: str, plate: str) -> Path:
        """n, mean and scatter of the wells of a plate that corrections are fitted on."""
        return self.root / "control_stats" / model / fit_on / f"{plate}.npz"

    def correction(self, model: str, correction: str) -> Path:
        """Fitted basis."""
        return self.root / "corrections" / model / f"{correction}.npz"

    def corrected(self, model: str, correction: str, plate: str) -> Path:
        """AnnData, aligned."""
        return self.root / "corrected" / model / correction / f"{plate}.h5ad"

    def map(self, model: str, correction: str) -> Path:
        """AnnData, a row a perturbation."""
        return self.root / "maps" / model / f"{correction}.h5ad"

    def plate_shifts(self, model: str, correction: str) -> Path:
        """How far each plate stands from the others after a correction."""
        return self.root / "maps" / model / f"{correction}.plates.parquet"

    def scores(self, model: str, correction: str) -> Path:
        """Tidy scores with intervals."""
        return self.root / "scores" / model / f"{correction}.parquet"

    def tables(self) -> Path:
        """Folder of the comparison tables."""
        return self.root / "tables"

    def report(self) -> Path:
        """HTML page."""
        return self.root / "report" / "index.html"

    def report_files(self) -> Path:
        """Folder of figures, tables and pictures beside the page (not a declared output: the page is whole without)."""
        return self.root / "report" / "files"

    def provenance(self, stage: str, name: str) -> Path:
        """Record of one job; no rule reads it."""
        return self.root / "provenance" / stage / f"{name}.json"

    def code_record(self, digest: str) -> Path:
        """Digest of each module behind a code digest, so that a change can be named."""
        return self.root / "provenance" / "code" / f"{digest}.json"

    def runs(self) -> Path:
        """Folder of the records of whole runs; no rule reads it."""
        return self.root / "provenance" / "runs"

    def workflow(self) -> Path:
        """Folder of copies of the Snakefile and the rules of the last run; no rule reads them."""
        return self.root / "provenance" / "workflow"

    def crate(self) -> Path:
        """RO-Crate that describes the results folder (not a declared output)."""
        return self.root / "ro-crate-metadata.json"

    def accepted(self) -> Path:
        """One JSON line for each job whose results were kept after a change; no rule reads it."""
        return self.root / "provenance" / "accepted.jsonl"

    def outputs(self, stage: str, **wildcards: str) -> list[Path]:
        """Return the files that a finished job of a stage left, beside its manifest and the plate store.

        Those that not every job writes (cells, illumination, tables, files of the report) are named where they are
        there.
        """
        always = [self.root / pattern.format(**wildcards) for pattern in OUTPUTS[stage]]
        if stage == "compare_models":
            always += sorted(p for p in self.tables().rglob("*.*") if p.is_file() and not p.name.startswith("."))
            always = [path for path in dict.fromkeys(always) if path != self.manifest(stage)]
        if stage == "render_report":
            always += sorted(path for path in self.report_files().rglob("*") if path.is_file())
        at_times = {"ingest_plate": self.cells, "qc_plate": self.illumination}
        more = [at_times[stage](wildcards["plate"])] if stage in at_times else []
        return [*always, *(path for path in more if path.is_file())]

    def calibration(self) -> Path:
        """How fast a core is, as `platemae plan --calibrate` measured it (not a declared output)."""
        return self.root / "provenance" / "calibration.json"

    def errors(self) -> Path:
        """Folder of what stages found wrong."""
        return self.root / "logs" / "errors"

    def error(self, stage: str, name: str) -> Path:
        """Note of what one job ended with, until it is done."""
        return self.errors() / stage / f"{name}.json"

    def manifest(self, stage: str, **wildcards: str) -> Path:
        """Manifest of a stage's output, beside it.

        Raises
        ------
        KeyError
            For a name that is no stage.
        """
        return self.root / MANIFESTS[stage].format(**wildcards)


MANIFESTS = {
    "ingest_plate": "plates/{plate}.manifest.json",
    "qc_plate": "qc/{plate}.manifest.json",
    "measure_plate": "measured/{plate}.manifest.json",
    "fit_intensity": "intensity/{intensity}.manifest.json",
    "build_dataset": "datasets/{dataset}.manifest.json",
    "train_model": "models/{model}/manifest.json",
    "embed_plate": "embeddings/{model}/{plate}.manifest.json",
    "import_profiles": "embeddings/{model}/{plate}.manifest.json",
    "summarize_controls": "control_stats/{model}/{fit_on}/{plate}.manifest.json",
    "fit_correction": "corrections/{model}/{correction}.manifest.json",
    "correct_plate": "corrected/{model}/{correction}/{plate}.manifest.json",
    "build_map": "maps/{model}/{correction}.manifest.json",
    "score_map": "scores/{model}/{correction}.manifest.json",
    "compare_models": "tables/manifest.json",
    "render_report": "report/manifest.json",
}
"""Where each stage's manifest lies; embed_plate and import_profiles write the same file for other kinds of model."""

OUTPUTS = {
    "ingest_plate": ("plates/{plate}.fields.parquet",),
    "qc_plate": ("qc/{plate}.parquet",),
    "measure_plate": ("measured/{plate}.h5ad",),
    "fit_intensity": ("intensity/{intensity}.json",),
    "build_dataset": ("datasets/{dataset}.parquet",),
    "train_model": tuple(
        f"models/{{model}}/{name}"
        for name in ("model.safetensors", "model.json", "history.parquet", "reconstructions.npz")
    ),
    "embed_plate": ("embeddings/{model}/{plate}.h5ad",),
    "import_profiles": ("embeddings/{model}/{plate}.h5ad",),
    "summarize_controls": ("control_stats/{model}/{fit_on}/{plate}.npz",),
    "fit_correction": ("corrections/{model}/{correction}.npz",),
    "correct_plate": ("corrected/{model}/{correction}/{plate}.h5ad",),
    "build_map": ("maps/{model}/{correction}.h5ad", "maps/{model}/{correction}.plates.parquet"),
    "score_map": ("scores/{model}/{correction}.parquet",),
    "compare_models": ("tables/scores.csv",),
    "render_report": ("report/index.html",),
}
"""The other declared outputs of each rule."""
