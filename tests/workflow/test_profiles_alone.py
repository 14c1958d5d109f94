"""From a table of profiles to map, scores and report, without an image: two plates of the TA-ORF expression screen."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def finished(project, shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles")
    path = shared_data / "profiles-taorf-l1000/taorf_u2os_72h_l1000.parquet"
    frame = pd.read_parquet(
        path, columns=["Metadata_det_plate", "Metadata_det_well", "Metadata_pert_mfc_desc", "Metadata_pert_type"]
    )
    frame.columns = ["plate", "well", "gene", "kind"]
    rows = []
    for plate, here in list(frame.groupby("plate"))[:2]:
        control = here["kind"] != "trt_oe"
        layout = here[["well", "gene"]].assign(
            perturbation=here["gene"], control_type=np.where(control, "negcon", "treatment")
        )
        layout.to_csv(folder / f"{plate}.tsv", sep="\t", index=False)
        rows.append([plate, plate, "bare", "-", f"{plate}.tsv"])
    columns = ["plate", "batch", "reader", "path", "layout"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "plates.tsv", sep="\t", index=False)
    table = {
        "source": "table",
        "table": str(path),
        "plate_column": "Metadata_det_plate",
        "well_column": "Metadata_det_well",
    }
    relations = {"kind": "known_relations", "relations": str(shared_data / "relations-efaar/Reactome.txt")}
    values = {
        "results": str(folder / "results"),
        "plates": str(folder / "plates.tsv"),
        "readers": [{"name": "bare", "kind": "none"}],
        "intensity": [],
        "datasets": [],
        "models": [{"name": "l1000", "kind": "profiles"} | table],
        "corrections": [{"name": "tvn", "kind": "tvn"}],
        "benchmarks": [{"name": "reactome", "n_bootstrap": 50, "n_shuffles": 20} | relations],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "platemae.cli", "run", "--cores", "2", "--configfile", str(folder / "config.yaml")]
    done = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "results"


def test_scores_cover_chance_on_a_screen_of_weak_signal(finished):
    scores = pd.read_csv(finished / "tables/scores.csv")
    recall = scores[(scores["metric"] == "recall") & (scores["threshold"] == 0.05)].iloc[0]
    assert recall["model"] == "l1000"
    assert recall["ci_low"] <= 0.1 <= recall["ci_high"]


def test_the_report_is_made_and_no_store(finished):
    assert "l1000" in (finished / "report/index.html").read_text()
    assert not list(finished.glob("plates/*.zarr"))
