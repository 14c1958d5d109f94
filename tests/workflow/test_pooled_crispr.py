"""The configuration of the pooled-CRISPR table, cut down: from cells to recall of gene sets and the report."""

from __future__ import annotations

import re
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from platemae.synthetic.pooled import PooledSettings
from platemae.synthetic.screen import write_screen
from tests.workflow.conftest import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCREEN = PooledSettings(
    plates=("P1", "P2", "P3"),
    batches=("B1", "B1", "B2"),
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
NETWORK = {"crop_px": 32, "patch_px": 8, "width": 16, "depth": 1, "heads": 1}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 1}


def cut_down(values: dict) -> dict:
    """Keep the trained model and its floor, the published correction, few steps and few resamplings."""
    models = [m | {"architecture": NETWORK | DECODER} for m in values["models"] if m["name"] in ("mae", "untrained")]
    few = {"n_bootstrap": 20, "n_plate_bootstrap": 10}
    own = {"known_relations": {"n_shuffles": 20}, "replicability": {"null_size": 200}}
    benchmarks = [entry | few | own.get(entry["kind"], {}) for entry in values["benchmarks"]]
    held_out = [values["datasets"][0] | {"hold_out": {"by": "plate", "values": ["P3"]}}]
    return values | {
        "results": "results",
        "plates": "screen/plates.tsv",
        "qc": {"gate": "warn"},  # fields this small often hold no nucleus in focus
        "datasets": held_out,
        "train": values["train"] | {"steps": 20, "global_batch": 8, "validate_every": 10},
        "models": models,
        "corrections": [c for c in values["corrections"] if c["name"] == "tvn"],
        "benchmarks": benchmarks,
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory, project) -> Project:
    folder = tmp_path_factory.mktemp("pooled")
    write_screen(folder / "screen", SCREEN, workers=2)
    shutil.copy2(folder / "screen/plates.tsv", folder / "screen/plates.full.tsv")
    made = make_project(folder / "project", project, folder / "screen")
    shutil.copy2(folder / "screen/plates.tsv", made.root / "screen/plates.tsv")
    values = yaml.safe_load((project / "workflow/configs/pooled_crispr.yaml").read_text())
    (made.root / "config.yaml").write_text(yaml.safe_dump(cut_down(values), sort_keys=False))
    made.run()
    return made


def test_cells_become_genes_with_every_guide_counted(done):
    found = anndata.read_h5ad(done.root / "results/maps/mae/tvn.h5ad")
    listed = pd.concat(pd.read_parquet(done.root / f"results/plates/{p}.cells.parquet") for p in SCREEN.plates)
    genes = listed.loc[listed["control_type"] == "treatment", "gene"].value_counts()
    assert found.obs["n_cells"].to_dict() == genes.to_dict()
    assert set(found.obs["n_plates"]) <= {1, 2, 3}
    assert np.isfinite(found.X).all()


def test_gene_sets_are_recalled_with_interval_and_chance(done):
    scores = pd.read_csv(done.root / "results/tables/scores.csv")
    assert set(scores["benchmark"]) == {"gene_sets", "replicates", "replicability"}
    recall = scores[(scores["metric"] == "recall") & (scores["threshold"] == 0.05)]
    whole = recall[~recall["source"].str.contains("[", regex=False)].set_index("model")
    assert set(whole.index) == {"mae", "untrained"}
    assert np.isfinite(whole[["value", "ci_low", "ci_high"]]).all(axis=None)
    np.testing.assert_allclose(whole["chance"], 0.1)
    pairs = pd.read_csv(done.root / "screen/relations.csv")
    assert (whole["n"] == len(pairs)).all(), "every planted pair is on the map"
    assert len(scores[scores["metric"] == "recall_curve"]) > 10


def test_every_table_says_what_training_saw(done):
    scores = pd.read_csv(done.root / "results/tables/scores.csv").set_index("model")
    assert set(scores.loc["mae", "overlap"]) == {"images"}
    assert set(scores.loc["untrained", "overlap"]) == {"none"}
    table = (done.root / "results/tables/gene_sets.md").read_text()
    # wells: two a plate; the plate that was held out is scored, and was not seen
    assert re.search(r"images: 2 of 3 plates, [34] of 6 wells", table)
    page = (done.root / "results/report/index.html").read_text()
    assert "Gene sets of a pooled CRISPR screen" in page
    assert "images: 2 of 3 plates" in page
