"""From a table of profiles to map, scores and report, without an image: two plates of the TA-ORF expression screen."""

import os
import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from platemae.annotations.fetch import fetch
from platemae.contracts import Manifest

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
    platemae_run(project, folder / "config.yaml", values)
    return folder / "results"


def platemae_run(project, configfile, values):
    configfile.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "platemae.cli", "run", "--cores", "2", "--configfile", str(configfile)]
    done = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_scores_cover_chance_on_a_screen_of_weak_signal(finished):
    scores = pd.read_csv(finished / "tables/scores.csv")
    recall = scores[(scores["metric"] == "recall") & (scores["threshold"] == 0.05)].iloc[0]
    assert recall["model"] == "l1000"
    assert recall["ci_low"] <= 0.1 <= recall["ci_high"]


def test_the_report_is_made_and_no_store(finished):
    assert "l1000" in (finished / "report/index.html").read_text()
    assert not list(finished.glob("plates/*.zarr"))


def test_the_switches_of_a_map_rerun_it_and_what_follows(finished, project, shared_data):
    """Consensus, chromosome arms, clusters, outdated symbols, published numbers of one's own, fetched annotations."""
    folder, before = finished.parent, Manifest.read(map_manifest(finished))
    genes = anndata.read_h5ad(finished / "maps/l1000/tvn.h5ad").obs_names.tolist()
    arms = "".join(f"{gene},{i % 3 + 1}p\n" for i, gene in enumerate(genes[:-1]))
    (folder / "arms.csv").write_text("gene,chromosome_arm\n" + arms)
    known = fetch(["reactome"], folder / "known", origin=str(shared_data / "relations-efaar"))
    source = pd.read_csv(folder / "known/reactome.csv")
    absent = sorted(set(source.to_numpy().ravel()) - set(genes))[0]
    (folder / "aliases.csv").write_text(f"previous,current\n{absent},{genes[0]}\n")
    own = "table,row,column,value,source,metric,threshold\nmine,a paper,Reactome,0.3,reactome,recall,0.05\n"
    (folder / "mine.csv").write_text(own)
    values = yaml.safe_load((folder / "config.yaml").read_text())
    values["map"] = {
        "aggregate": "consensus",
        "proximity_bias": "chromosome_arm",
        "chromosome_arms": "arms.csv",
        "embed": {"neighbors": 10},
    }
    values["benchmarks"][0] |= {"relations": "known/reactome.csv", "aliases": "aliases.csv"}
    values["report"] = {"published": "mine.csv"}
    corrected = (finished / "corrected/l1000/tvn").glob("*.h5ad")
    stamps = {path: path.stat().st_mtime_ns for path in corrected}
    platemae_run(project, folder / "switches.yaml", values)
    assert known
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "what comes before the map stays"
    gene_map, after = anndata.read_h5ad(finished / "maps/l1000/tvn.h5ad"), Manifest.read(map_manifest(finished))
    assert after.digest != before.digest
    assert after.counts["n_arms_centered"] == 3
    assert after.warnings[-1] == f"genes without a chromosome arm, not corrected: {genes[-1]}"
    assert gene_map.obsm["X_umap"].shape == (len(genes), 2)
    assert gene_map.obs["leiden"].notna().all()
    warnings = Manifest.read(finished / "scores/l1000/tvn.manifest.json").warnings
    assert f"reactome: 1 symbols that the map has under another name: {absent} ({genes[0]})" in warnings
    table = pd.read_csv(finished / "tables/papers/mine.csv")
    assert table["measured_model"].tolist() == ["l1000"]
    assert table["difference"].iloc[0] == pytest.approx(table["measured"].iloc[0] - 0.3)
    assert "published: a paper, data not stated; here: l1000, no training of ours" in table["unlike"].iloc[0]


def map_manifest(results):
    return results / "maps/l1000/tvn.manifest.json"
