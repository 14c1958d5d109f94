"""The scaling study at its smallest, through the whole workflow; snapshots cost their own rows; the papers' plan."""

from __future__ import annotations

import html
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from platemae.synthetic.screen import write_screen
from tests.workflow.conftest import SCREEN, jobs_of, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# 24 genes: fewer than 20 have no recall.
STUDY_SCREEN = replace(
    SCREEN,
    plates=("P1",),
    batches=("B1",),
    rows=8,
    columns=8,
    modules=6,
    genes_per_module=4,
    inactive_genes=2,
    cells_per_field=10.0,
)
SMALLEST = {"crop_px": 32, "patch_px": 8, "width": 16, "depth": 1, "heads": 1}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 1}
OF_KIND = {
    "mae": SMALLEST | DECODER,
    "camae": SMALLEST | DECODER | {"cross_heads": 1},
    "munet": {"width": 8, "levels": 1},
    "wsl": {"embedding": 16, "blocks": "1-1"},
}
CHOSEN = (
    "mae_base_whole",
    "mae_plus_base_whole",
    "mae_plus_base_whole_seed1",
    "camae_small_quarter",
    "munet_small_quarter",
    "wsl_small_quarter",
)
SNAPPED = ("mae_base_whole", "wsl_small_quarter")
"""Models with a snapshot: each is a row of its own, from the embedding on."""
ONE_ROW = (
    "train_model",
    "embed_plate",
    "summarize_controls",
    "fit_correction",
    "correct_plate",
    "build_map",
    "score_map",
)
ENDS = {"compare_models": 1, "render_report": 1}


def cut_down(values: dict) -> dict:
    """Keep a few of the study's models, some with one snapshot, of the smallest networks and few steps."""
    models = [model for model in values["models"] if model["name"] in CHOSEN]
    asked = {name: [10] * (name in SNAPPED) for name in CHOSEN}
    small = [m | {"snapshots": asked[m["name"]], "architecture": OF_KIND[m["kind"]]} for m in models]
    benchmark = values["benchmarks"][0] | {"n_bootstrap": 20, "n_shuffles": 20}
    train = values["train"] | {"steps": 60, "global_batch": 4, "validate_every": 30}
    files = {"results": "results", "plates": "screen/plates.tsv"}
    # Fields this small often hold no nucleus in focus: every well is embedded, so that enough genes have a vector.
    gate = {"qc": {"gate": "warn"}}
    return values | files | gate | {"models": small, "train": train, "benchmarks": [benchmark]}


@pytest.fixture(scope="module")
def study(tmp_path_factory, project):
    """workflow/configs/scaling.yaml, cut down, run to its end."""
    folder = tmp_path_factory.mktemp("study")
    write_screen(folder / "screen", STUDY_SCREEN, workers=2)
    (folder / "screen/plates.full.tsv").write_text((folder / "screen/plates.tsv").read_text())
    made = make_project(folder / "project", project, folder / "screen")
    shutil.copy2(folder / "screen/plates.tsv", made.root / "screen/plates.tsv")
    values = yaml.safe_load((project / "workflow/configs/scaling.yaml").read_text())
    (made.root / "config.yaml").write_text(yaml.safe_dump(cut_down(values), sort_keys=False))
    made.run()
    return made


def table(study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.root / f"results/tables/{name}.csv")


def test_recall_stands_beside_training_operations(study):
    rows = table(study, "scaling")
    rows = rows[rows["threshold"] == 0.05].set_index("model")
    assert set(rows.index) == {*CHOSEN, *(f"{model}@10" for model in SNAPPED)}
    assert set(rows["family"]) == {"MAE", "MAE+", "CA-MAE+", "MU-Net", "WSL"}
    assert np.isfinite(rows[["recall", "ci_low", "ci_high", "gain", "flops"]]).all(axis=None)
    for model in SNAPPED:
        snapshot, end = rows.loc[f"{model}@10"], rows.loc[model]
        assert (snapshot["step"], end["step"], snapshot["crops"], end["crops"]) == (10, 60, 40, 240)
        assert snapshot["flops"] * 6 == end["flops"]
        assert snapshot["parameters"] == end["parameters"]
    assert rows["fraction"].to_dict()["munet_small_quarter"] == 0.25
    best = rows[rows["kind"] == "wsl"]["recall"].max()
    np.testing.assert_allclose(rows["gain"], rows["recall"] - best, atol=1e-9)
    assert (rows.loc[rows["kind"] == "wsl", "overlap"] == "labels").all()


def test_the_quarter_lies_inside_the_whole(study):
    quarter, whole = (pd.read_parquet(study.root / f"results/datasets/{name}.parquet") for name in ("quarter", "whole"))
    wells = {
        (name, split): set(found.loc[found["split"] == split, "well"])
        for name, found in (("quarter", quarter), ("whole", whole))
        for split in ("train", "validation")
    }
    assert wells["quarter", "train"] < wells["whole", "train"]
    assert wells["quarter", "validation"] == wells["whole", "validation"]


def test_seeds_of_one_training_are_one_row_of_the_fourier_table(study):
    rows = table(study, "fourier").set_index("model")
    assert len(rows) == len(CHOSEN) - 1
    assert rows.loc["mae_plus_base_whole", "seeds"] == 2
    assert rows.loc["mae_plus_base_whole", "fourier_weight"] == 0.01
    assert np.isfinite(rows["grad_norm_median"]).all()
    assert (rows["grad_norm_max"] >= rows["grad_norm_median"]).all()
    assert (rows["diverged"] == 0).all()


def test_the_report_draws_it(study):
    page = (study.root / "results/report/index.html").read_text()
    assert 'id="scaling"' in page
    rows = table(study, "scaling")
    top = rows.sort_values("recall", ascending=False, kind="stable").iloc[0]
    said = f"Highest recall among trained models: {top['model']} under {top['correction']}, {top['recall']:.3f}"
    assert said in html.unescape(page)


def with_snapshots(study, name: str, steps: list[int]) -> None:
    path = study.root / "config.yaml"
    values = yaml.safe_load(path.read_text())
    values["models"] = [m | ({"snapshots": steps} if m["name"] == name else {}) for m in values["models"]]
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def test_a_snapshot_more_or_less_reruns_no_other_row(study):
    assert study.stale() == {}
    saved = (study.root / "config.yaml").read_text()
    try:
        with_snapshots(study, "mae_base_whole", [10, 20])
        assert study.stale() == dict.fromkeys(ONE_ROW, 1) | ENDS
        done = study.run(check=False)
        assert done.returncode == 2
        assert "went past step 20 before a snapshot of it was asked for" in done.stderr
        with_snapshots(study, "mae_base_whole", [])
        assert study.stale() == ENDS
    finally:
        (study.root / "config.yaml").write_text(saved)


def test_the_papers_rows_can_be_planned(fresh_project, tmp_path):
    """On a plates table and annotations that are there and empty of pixels."""
    root, data = fresh_project.root, tmp_path / "data"
    (data / "annotations").mkdir(parents=True)
    (data / "rxrx3/HUVEC-1/Plate1").mkdir(parents=True)
    (data / "rxrx3/metadata.csv").write_text("well_id,experiment_name,plate,address,gene\n")
    for name in ("corum", "humap", "reactome", "stringdb"):
        (data / f"annotations/{name}.csv").write_text("entity1,entity2\nA,B\n")
    screen = root / "papers-screen"
    screen.mkdir()
    (screen / "layout.tsv").write_text(
        "well\tperturbation\tgene\tcontrol_type\nA01\tg\tG\ttreatment\nA02\tc\t\tEMPTY_control\n"
    )
    line = "HUVEC-1_1\tHUVEC-1\trxrx3\t$PLATEMAE_DATA/rxrx3/HUVEC-1/Plate1\tlayout.tsv"
    (screen / "plates.tsv").write_text(f"plate\tbatch\treader\tpath\tlayout\n{line}\n")
    os.environ["PLATEMAE_DATA"] = str(data)
    try:
        done = fresh_project.run("--configfile", "workflow/configs/papers.yaml", "--dry-run")
    finally:
        del os.environ["PLATEMAE_DATA"]
    jobs = jobs_of(done.stdout + done.stderr)
    assert jobs["train_model"] == 28
    assert jobs["score_map"] == 2 * 28
