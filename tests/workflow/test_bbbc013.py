"""A real plate from TIFFs to report: workflow/configs/bbbc013.yaml, with a shorter training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

STEPS = 350


@pytest.fixture(scope="module")
def finished(project, shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bbbc013")
    values = yaml.safe_load((project / "workflow/configs/bbbc013.yaml").read_text())
    values |= {"results": str(folder / "results"), "train": values["train"] | {"steps": STEPS}}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    environment = {**os.environ, "PLATEMAE_DATA": str(shared_data)}
    command = [sys.executable, "-m", "platemae.cli", "run", "--configfile", str(folder / "config.yaml")]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "results"


@pytest.fixture(scope="module")
def values(finished):
    table = pd.read_csv(finished / "tables/scores.csv")
    return table.pivot_table(index=["model", "correction"], columns="metric", values="value")


def test_every_row_is_there(values):
    models = {"mae", "untrained", "tile_pca", "intensity_means", "well_position"}
    assert {model for model, _ in values.index} == models


def test_controls_are_told_apart_and_dose_rises(values):
    best = values.loc["mae"].max()
    assert best["leave_one_out_accuracy"] >= 0.9
    assert best["dose_spearman"] >= 0.8


def test_reconstruction_beats_the_mean(finished):
    counts = json.loads((finished / "models/mae/manifest.json").read_text())["counts"]
    assert counts["val_mse_share"] < 1.0, counts


def test_the_report_says_that_the_plate_cannot_tell_rows_apart(finished):
    page = Path(finished / "report/index.html").read_text()
    assert "not set apart on" in page
