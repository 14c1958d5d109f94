"""A small result with everything in it, made by the stages themselves, whose names try to become part of the page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from platemae.cli import main
from platemae.config import plates as plate_table
from platemae.synthetic.screen import write_screen
from platemae.synthetic.settings import ScreenSettings

GENE = "<script>window.hit='gene'</script>"
GUIDE = "</script><script>window.hit='guide'</script>"
COMPOUND = "=1+<img src=x onerror=\"window.hit='compound'\">"
"""A formula, too, where a spreadsheet opens it."""
STAIN = "<svg onload=window.hit='stain'>"
PLATE = "<img src=x onerror=window.hit=1>"
"""Without a slash, as it is the name of a folder as well."""
TITLE = "Screen 7 </title><script>window.hit='title'</script>"
HOSTILE = {"gene": GENE, "guide": GUIDE, "compound": COMPOUND, "stain": STAIN, "plate": PLATE, "title": TITLE}
PLATES, MODELS, CORRECTIONS = ("P1", PLATE), ("mae", "means"), ("none", "tvn")

CONFIG = f"""\
results: ROOT/results
plates: ROOT/screen/plates.tsv
qc: {{gate: warn}}
report: {{title: {json.dumps(TITLE)}, umap_neighbors: 5}}
train: {{steps: 8, global_batch: 8, validate_every: 4, checkpoint_steps: 4}}
models:
  - {{name: mae, kind: mae, dataset: screen, intensity: controls, architecture: {{crop_px: 32, patch_px: 8, width: 32,
     depth: 1, heads: 2, decoder_width: 32, decoder_depth: 1, decoder_heads: 2}}}}
  - {{name: means, kind: profiles, source: intensity_means}}
corrections:
  - {{name: none, kind: none}}
  - {{name: tvn, kind: tvn}}
benchmarks:
  - {{name: planted, kind: known_relations, relations: relations.csv, n_bootstrap: 20, n_shuffles: 20}}
"""


def write_result(root: Path) -> Path:
    """Run every stage on a screen of two plates and return the report's path."""
    settings = ScreenSettings(
        plates=("P1", "P2"),
        batches=("B1", "B2"),
        rows=4,
        columns=8,
        negcon_wells=8,
        poscon_wells=2,
        modules=3,
        genes_per_module=3,
        strengths=(1.0, 0.75, 0.5),
        inactive_genes=1,
        ntc_guides=2,
        fields_per_well=1,
        height=64,
        width=64,
        cells_per_field=5.0,
    )
    write_screen(root / "screen", settings, workers=1)
    spoil_names(root / "screen")
    (root / "config.yaml").write_text(CONFIG.replace("ROOT", str(root)))
    with pytest.MonkeyPatch.context() as patch:
        # A plate of such a name is refused before anything runs; here the page has to hold by itself.
        patch.setattr(plate_table, "NAME", re.compile(r"[^/]+$"))
        run_stages(root / "config.yaml")
    return root / "results/report/index.html"


def spoil_names(screen: Path) -> None:
    """Give one gene, its guides, some compounds, a channel with its stain, and a plate names that are markup."""
    for layout in (screen / "layouts").iterdir():
        rows = list(csv.DictReader(layout.open(), delimiter="\t"))
        for row in rows:
            row["compound"] = COMPOUND if row["gene"] == "G002" else ""
            if row["gene"] == "G001":
                row |= {"gene": GENE, "perturbation": GUIDE}
        _write(layout, rows, "\t")
    relations = screen / "relations.csv"
    text = relations.read_text()
    assert "G001" in text
    relations.write_text(text.replace("G001", GENE))
    for description in screen.glob("plates/*/plate.json"):
        text = description.read_text()
        assert '"Mito"' in text
        description.write_text(re.sub('"Mito(Tracker)?"', json.dumps(STAIN), text))
    table = screen / "plates.tsv"
    table.write_text(re.sub(r"^P2\t", PLATE + "\t", table.read_text(), flags=re.M))


def _write(path: Path, rows: list[dict[str, str]], delimiter: str) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run_stages(config: Path) -> None:
    """Call the stages in their order, in this process."""

    def stage(name: str, **wildcards: str) -> None:
        named = [text for key, value in wildcards.items() for text in (f"--{key.replace('_', '-')}", value)]
        code = main([name, "--configfile", str(config), *named])
        assert code == 0, (name, wildcards)

    for plate in PLATES:
        stage("ingest-plate", plate=plate)
        stage("qc-plate", plate=plate)
    stage("fit-intensity", intensity="controls")
    stage("build-dataset", dataset="screen")
    stage("train-model", model="mae")
    for model in MODELS:
        for plate in PLATES:
            stage("import-profiles" if model == "means" else "embed-plate", model=model, plate=plate)
            stage("summarize-controls", model=model, fit_on="negcon", plate=plate)
        for correction in CORRECTIONS:
            pair = {"model": model, "correction": correction}
            stage("fit-correction", **pair)
            for plate in PLATES:
                stage("correct-plate", **pair, plate=plate)
            stage("build-map", **pair)
            stage("score-map", **pair)
    stage("compare-models")
    stage("render-report")
