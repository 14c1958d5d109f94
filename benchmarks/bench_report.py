"""Size of the report and how soon it can be used, on made-up results of 500, 5,000 and 50,000 wells.

The results are written by this script: pictures of blobs in one plate store that all plates share, random embeddings
with groups, two models before and after TVN. Headless Chromium, without a GPU, opens the page at its Overview and its
Embeddings; needs the Debian package chromium and the extra ``dev``. The first principal components stand in for UMAP,
which takes minutes and moves neither figure.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd

from platemae.config.sections.maps import ReportSection
from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS, QC_COLUMNS, SCORE_COLUMNS
from platemae.layout import Results
from platemae.report import browser_umap
from platemae.report.page import MAX_BYTES
from platemae.stages import compare_models, render_report
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

COLUMNS = ("task", "size", "overview", "browser", "note")
LONG = True
SIZES = (500, 5_000, 50_000)
ON_PLATE, DIMS, PER_GENE, ON_STORE = 384, 128, 4, 24
CHANNELS = ("DNA", "ER", "Actin", "Mito")
MODELS, CORRECTIONS = ("mae", "untrained"), ("none", "tvn")
OPENED = 5
INTERACTIVE_S = 3.0
ARGUMENTS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()


def measure() -> list[dict[str, Any]]:
    """Write, render and open the report of each size."""
    return [_measured(wells) for wells in SIZES]


def _measured(wells: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder))
        cfg = write_results(results, wells)
        with patch.object(browser_umap, "umap", lambda x_ND, neighbors, seed: x_ND[:, :2]):
            render_report.run(results, cfg)
        page = results.report()
        overview, browser = opened(page, "#overview"), opened(page, "#embeddings")
        size = page.stat().st_size
        beside = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file()) - size
    ready = statistics.median(browser)
    kept = size < MAX_BYTES and ready < INTERACTIVE_S and statistics.median(overview) < INTERACTIVE_S
    return {
        "task": f"report of {wells:,} wells, {len(MODELS)} models",
        "size": f"{size / 1e6:.1f} MB",
        "overview": f"{statistics.median(overview):.2f} s",
        "browser": f"{ready:.2f} s",
        "note": f"{'within' if kept else 'NOT within'} {MAX_BYTES / 1e6:.0f} MB and {INTERACTIVE_S:.0f} s; medians of "
        f"{OPENED}, browser {min(browser):.2f} to {max(browser):.2f} s; {beside / 1e6:.1f} MB in the folder beside it",
    }


def opened(page: Path, fragment: str) -> list[float]:
    """Return the seconds until a report can be used: its tabs made, and, of the browser, both plots drawn."""
    from playwright.sync_api import sync_playwright

    script = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    seconds = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for _ in range(OPENED):
            tab = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
            tab.goto(page.as_uri() + fragment)
            if fragment == "#embeddings":
                tab.wait_for_selector(".browser[data-ready]", state="attached", timeout=60_000)
                milliseconds = float(str(tab.get_attribute(".browser", "data-ready")))
            else:
                milliseconds = tab.evaluate(script)
            seconds.append(milliseconds / 1000)
            tab.close()
        chromium.close()
    return seconds


def write_results(results: Results, wells: int) -> dict[str, Any]:
    """Write made-up results of so many wells and return what render_report is given."""
    rng = np.random.default_rng(wells)
    names = [f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25)]
    plates = {f"P{start // ON_PLATE + 1:03d}": min(ON_PLATE, wells - start) for start in range(0, wells, ON_PLATE)}
    genes = [f"GENE{i:05d}" for i in range(max(2, wells // PER_GENE))]
    _write_store(results, next(iter(plates)), rng)
    for number, (plate, count) in enumerate(plates.items()):
        obs = _obs(plate, f"B{number // 8 + 1}", names[:count], genes, rng)
        _write_plate(results, plate, obs, rng)
        effect_ND = rng.normal(0, 1, (count, DIMS)) + 2 * _directions(obs["Metadata_Gene"])
        for model in MODELS:
            _write(results.embedding(model, plate), effect_ND + rng.normal(0, 2, DIMS), obs)
            _write(results.corrected(model, "tvn", plate), effect_ND, obs)
    for model in MODELS:
        for correction in CORRECTIONS:
            shown = pd.DataFrame({"gene": genes, "consistency": rng.uniform(0, 1, len(genes))}, index=genes)
            _write(results.map(model, correction), rng.normal(size=(len(genes), DIMS)), shown)
            _write_scores(results, model, correction)
    listed = {"models": list(MODELS), "corrections": list(CORRECTIONS), "study": []}
    compare_models.run(results, listed, threads=1).write(results.manifest("compare_models"))
    entries = [{"name": m, "kind": m, "dataset": "screen", "intensity": "controls"} for m in MODELS]
    kinds = {"batch_unit": "plate", "ridge": 0.5, "n_components": None, "few_controls": "error"}
    return {
        "report": ReportSection().model_dump(mode="json"),
        "plates": list(plates),
        "map_plates": list(plates),
        "measured_plates": [],
        "embedded_plates": list(plates),
        "models": entries,
        "corrections": [{"name": c, "kind": c, **kinds} for c in CORRECTIONS],
        "benchmarks": [{"name": "known", "kind": "known_relations", "relations": "relations.csv"}],
        "exclude_failed": True,
    }


def _obs(plate: str, batch: str, wells: list[str], genes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    kinds = rng.choice(["treatment", "negcon", "poscon"], len(wells), p=[0.85, 0.1, 0.05])
    gene = np.where(kinds == "treatment", rng.choice(genes, len(wells)), "")
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=[f"{plate}_{well}" for well in wells])
    guide = [f"{name}_g{i}" if name else "NTC" for name, i in zip(gene, rng.integers(1, 5, len(wells)), strict=True)]
    told = {"Plate": plate, "Well": wells, "Batch": batch, "Gene": gene, "Perturbation": guide, "Control_Type": kinds}
    return obs.assign(**{f"Metadata_{name}": value for name, value in told.items()})


def _directions(genes: pd.Series) -> np.ndarray:
    """Return a direction a gene, one of a thousand, the same on all plates."""
    codes = [int(name[4:]) % 1000 if name else 0 for name in genes]
    return np.random.default_rng(0).normal(0, DIMS**-0.5, (1000, DIMS))[codes]


def _write(path: Path, x_ND: np.ndarray, obs: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    anndata.AnnData(x_ND.astype(np.float32), obs=obs).write_h5ad(path)


def _write_plate(results: Results, plate: str, obs: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write the tables of one plate; its store is the first plate's."""
    fields, qc = [], []
    for place, (well, gene, kind) in enumerate(
        obs[["Metadata_Well", "Metadata_Gene", "Metadata_Control_Type"]].itertuples(index=False)
    ):
        group = f"A/{place % ON_STORE + 1}/0"
        fields.append([plate, "B1", well, "0", 0, 0, group, "", gene, gene, "", "", kind])
        for channel in CHANNELS:
            measures = [0.3, 0.001, 200.0, rng.uniform(0.2, 0.5), rng.normal(1500, 100), -1.2, 0.3, 0.0, 40.0]
            qc.append([plate, well, "0", channel, *measures, "pass", ""])
    for path, rows, columns in ((results.fields(plate), fields, FIELDS_COLUMNS), (results.qc(plate), qc, QC_COLUMNS)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows, columns=list(columns)).to_parquet(path, index=False)
    if not results.store(plate).exists():
        results.store(plate).symlink_to(results.store("P001").name)


def _write_store(results: Results, plate: str, rng: np.random.Generator) -> None:
    def field() -> np.ndarray:
        y, x = np.mgrid[:256, :256]
        image_CYX = rng.normal(300, 20, (len(CHANNELS), 256, 256))
        for _ in range(40):
            row, column, radius = *rng.uniform(0, 256, 2), rng.uniform(6, 14)
            blob = np.exp(-((y - row) ** 2 + (x - column) ** 2) / radius**2)
            image_CYX += rng.uniform(200, 3000, (len(CHANNELS), 1, 1)) * blob
        return image_CYX.astype(np.uint16)

    images = [field() for _ in range(ON_STORE)]
    sources = [
        FieldSource(f"A/{i + 1}/0", "0", f"field {i + 1}", lambda image=image: image) for i, image in enumerate(images)
    ]
    channels = [StoreChannel(name, name) for name in CHANNELS]
    write_plate(results.store(plate), plate, sources, channels, 0.65, chunk_px=256, threads=2)
    limits = dict.fromkeys(CHANNELS, (300.0, 3500.0))
    made = IntensityMap("controls", "fixed", "dataset", CHANNELS, {}, limits, {})
    results.intensity("controls").parent.mkdir(parents=True, exist_ok=True)
    results.intensity("controls").write_text(json.dumps(made.to_json()))


def _write_scores(results: Results, model: str, correction: str) -> None:
    row = {"model": model, "correction": correction, "benchmark": "known", "source": "relations", "metric": "recall"}
    row |= {"threshold": 0.05, "value": 0.4, "ci_low": 0.35, "ci_high": 0.45, "n": 1200, "chance": 0.1, "detail": "{}"}
    table = pd.DataFrame([row]).reindex(columns=list(SCORE_COLUMNS))
    table["overlap"] = ""
    results.scores(model, correction).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(results.scores(model, correction), index=False)
