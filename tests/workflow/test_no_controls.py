"""A screen without any negative control, from profiles to scores: every kind of selection, then a frozen basis."""

import json
import os
import shutil
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GENES = [f"G{index}" for index in range(24)]
PLATES = ("P1", "P2")
CORRECTIONS = [
    {"name": "none", "kind": "none"},
    {"name": "tvn", "kind": "tvn", "fit_on": "all", "fit_plates": ["P1"]},
    {"name": "query", "kind": "center", "fit_on": "Metadata_Gene in ['G0', 'G1']"},
    {"name": "joint", "kind": "harmony", "fit_on": "all", "n_components": 4},
]


def write_screen(folder):
    """Write two plates of 24 genes; genes 2k and 2k + 1 share a direction, plates an offset."""
    rng = np.random.default_rng(0)
    directions = 3 * rng.standard_normal((12, 8))
    tables, rows = [], []
    for number, plate in enumerate(PLATES):
        wells = [f"{row}{column:02d}" for row in "AB" for column in range(1, 13)]
        layout = pd.DataFrame({"well": wells, "gene": GENES, "control_type": "treatment"})
        layout["perturbation"] = layout["gene"] + "_" + layout["well"].str[0]
        layout.to_csv(folder / f"{plate}.tsv", sep="\t", index=False)
        x = np.vstack([directions[GENES.index(gene) // 2] for gene in layout["gene"]])
        x = x + 0.5 * rng.standard_normal(x.shape) + 5 * number
        tables.append(pd.DataFrame(x, columns=[f"f{i}" for i in range(8)]).assign(plate=plate, well=wells))
        rows.append([plate, plate, "bare", "-", f"{plate}.tsv"])
    pd.concat(tables).to_csv(folder / "profiles.csv", index=False)
    columns = ["plate", "batch", "reader", "path", "layout"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "plates.tsv", sep="\t", index=False)
    pairs = [(f"G{2 * k}", f"G{2 * k + 1}") for k in range(12)]
    pd.DataFrame(pairs, columns=["entity1", "entity2"]).to_csv(folder / "relations.csv", index=False)


def run(project, folder, name, corrections, *extra):
    values = {
        "results": str(folder / name),
        "plates": str(folder / "plates.tsv"),
        "readers": [{"name": "bare", "kind": "none"}],
        "intensity": [],
        "datasets": [],
        "models": [{"name": "t", "kind": "profiles", "source": "table", "table": "profiles.csv"}],
        "corrections": corrections,
        "benchmarks": [
            {
                "name": "pairs",
                "kind": "known_relations",
                "relations": "relations.csv",
                "n_bootstrap": 20,
                "n_shuffles": 20,
            }
        ],
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "platemae.cli", "run", "--cores", "2", *extra]
    command += ["--configfile", str(folder / f"{name}.yaml")]
    done = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(project, tmp_path_factory):
    pytest.importorskip("harmonypy")
    made = tmp_path_factory.mktemp("no_controls")
    write_screen(made)
    code, output = run(project, made, "first", CORRECTIONS)
    assert code == 0, output[-4000:]
    assert "removes biology" in output
    return made


def test_every_selection_reaches_the_scores(folder):
    scores = pd.read_csv(folder / "first/tables/scores.csv")
    recall = scores[(scores["metric"] == "recall") & (scores["threshold"] == 0.05)].set_index("correction")["value"]
    assert set(recall.index) == {"none", "tvn", "query", "joint"}
    assert recall["tvn"] > 0.3
    stats = sorted(path.name for path in (folder / "first/control_stats/t").iterdir())
    assert stats[0] == "all"
    assert stats[1] == "negcon", "kind none keeps the default selection"
    assert stats[2].startswith("query-")
    manifest = json.loads((folder / "first/corrections/t/tvn.manifest.json").read_text())
    assert (manifest["counts"]["n_controls"], manifest["counts"]["fit_on"]) == (24, "all")
    assert "also removes biology" in manifest["warnings"][0]
    assert "fitted on" in (folder / "first/report/index.html").read_text()


def test_the_basis_of_the_first_run_serves_another(project, folder):
    frozen = {"name": "tvn", "kind": "tvn", "fit_on": "all", "basis": "first/corrections/{model}/tvn.npz"}
    # What does not hang on the correction is there already; what does must come from the frozen basis.
    shutil.copytree(folder / "first", folder / "second", symlinks=True)
    for name in ("corrections", "corrected"):
        shutil.rmtree(folder / "second" / name)
    code, output = run(project, folder, "second", [frozen])
    assert code == 0, output[-4000:]
    for plate in PLATES:
        one, other = (
            anndata.read_h5ad(folder / name / f"corrected/t/tvn/{plate}.h5ad").X for name in ("first", "second")
        )
        np.testing.assert_array_equal(one, other)


def test_without_fit_on_the_run_stops_at_its_start(project, folder):
    code, output = run(project, folder, "third", [{"name": "tvn", "kind": "tvn"}], "--dry-run")
    assert code == 2
    assert "no well of the whole run is a negative control" in output
