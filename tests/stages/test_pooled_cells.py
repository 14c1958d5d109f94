"""A pooled screen from images to the table of scores, with a row a cell: each stage as the command line runs it."""

import re

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.cli import main
from platemae.layout import MANIFESTS, Results
from platemae.synthetic.pooled import PooledSettings
from platemae.synthetic.screen import write_screen

SCREEN = PooledSettings(
    plates=("P1", "P2"),
    batches=("B1", "B2"),
    rows=1,
    columns=2,
    fields_per_well=8,
    height=128,
    width=128,
    modules=6,
    genes_per_module=4,
    strengths=(1.0, 0.5),
    inactive_genes=2,
    ntc_guides=2,
    negcon_share=0.3,
)
CONFIG = """\
results: {folder}/results
plates: {folder}/screen/plates.tsv
qc: {{gate: warn}}
intensity: [{{name: all_wells, fit_on: all}}]
datasets: [{{name: screen, validation_fraction: 0.5}}]
embed: {{rows: cell, mask_neighbours: true, pooling: [mean, block1]}}
models:
  - {{name: net, kind: untrained, dataset: screen, intensity: all_wells, architecture: {{width: 32, depth: 2, heads: 2,
      decoder_width: 32, decoder_depth: 1, decoder_heads: 2}}}}
corrections: [{{name: tvn, kind: tvn}}]
benchmarks:
  - {{name: planted, kind: known_relations, relations: relations.csv, n_bootstrap: 20, n_shuffles: 20}}
  - {{name: replicates, kind: replicate_consistency, n_bootstrap: 20}}
"""
ORDER = (
    "ingest_plate",
    "qc_plate",
    "fit_intensity",
    "build_dataset",
    "train_model",
    "embed_plate",
    "summarize_controls",
)
ORDER += ("fit_correction", "correct_plate", "build_map", "score_map", "compare_models")
NAMES = {"plate": SCREEN.plates, "intensity": ("all_wells",), "dataset": ("screen",), "model": ("net",)}
NAMES |= {"correction": ("tvn",), "fit_on": ("negcon",)}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Results:
    folder = tmp_path_factory.mktemp("pooled")
    write_screen(folder / "screen", SCREEN, workers=1)
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder))
    for stage in ORDER:
        wildcards = re.findall(r"{(\w+)}", MANIFESTS[stage])
        for plate in NAMES["plate"] if "plate" in wildcards else ("",):
            names = [x for w in wildcards for x in (f"--{w.replace('_', '-')}", plate if w == "plate" else NAMES[w][0])]
            assert main([stage.replace("_", "-"), *names, "--configfile", str(folder / "config.yaml")]) == 0
    return Results(folder / "results")


@pytest.mark.slow
def test_cells_become_genes_and_scores(done):
    corrected = []
    for plate in SCREEN.plates:
        listed = pd.read_parquet(done.cells(plate))
        cells = anndata.read_h5ad(done.embedding("net", plate))
        assert len(cells) == len(listed) > 50
        assert cells.obs["Metadata_Perturbation"].tolist() == listed["perturbation"].tolist()
        assert cells.obsm["X_block1"].shape == cells.X.shape
        with np.load(done.control_stats("net", "negcon", plate)) as stats:
            controls = cells.X[(cells.obs["Metadata_Control_Type"] == "negcon").to_numpy()].astype(np.float64)
            mean = next(stats[name] for name in stats.files if name.endswith("mean"))
            np.testing.assert_allclose(mean, controls.mean(0), rtol=1e-5, atol=1e-6)
        after = anndata.read_h5ad(done.corrected("net", "tvn", plate))
        assert list(after.obs_names) == list(cells.obs_names)
        corrected.append(after)
    found = anndata.read_h5ad(done.map("net", "tvn"))
    check_map(found, anndata.concat(corrected))
    scores = pd.read_parquet(done.scores("net", "tvn"))
    assert set(scores["benchmark"]) == {"planted", "replicates"}
    assert scores["value"].notna().all()
    assert "net" in (done.tables() / "scores.csv").read_text()


def check_map(found: anndata.AnnData, cells: anndata.AnnData) -> None:
    """A gene is the mean of its guides, a guide the mean of its cells on all plates."""
    treated = cells[(cells.obs["Metadata_Control_Type"] == "treatment").to_numpy()]
    x, genes = treated.X.astype(np.float64), treated.obs["Metadata_Gene"].astype(str)
    assert list(found.obs_names) == sorted(set(genes))
    assert len(found) >= 24
    for gene in found.obs_names:
        guides = treated.obs["Metadata_Perturbation"].astype(str)[genes == gene]
        means = [x[(treated.obs["Metadata_Perturbation"] == guide).to_numpy()].mean(0) for guide in sorted(set(guides))]
        np.testing.assert_allclose(found[gene].X[0], np.mean(means, 0), rtol=1e-3, atol=1e-4)
        assert found.obs.loc[gene, "n_cells"] == len(guides)
