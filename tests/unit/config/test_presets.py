"""The configurations that come with the program: they load, and hold the rows that they promise."""

from itertools import product

import pytest
import yaml

from platemae.config import read_config, stage_config
from platemae.config.plates import Plate
from platemae.config.sections import benchmark_entry
from platemae.making.key import architecture_of, settings_of

PLATES = [Plate("P1", "B1", "synthetic", "P1", "layout.tsv"), Plate("P2", "B2", "synthetic", "P2", "layout.tsv")]
CONFIGS = ("scaling", "papers")


@pytest.fixture(params=CONFIGS)
def config(request, project):
    return read_config(project / f"workflow/configs/{request.param}.yaml")


def test_every_model_is_one_that_can_be_made(config):
    for row in config.rows:
        cfg = stage_config(config, PLATES, "train_model", model=row.name)
        if row.kind != "pretrained":
            assert architecture_of(cfg["model"])["crop_px"] in (32, 256)
        assert settings_of(cfg["train"]).steps > max(row.snapshots, default=0)


def study(project, name):
    config = read_config(project / f"workflow/configs/{name}.yaml")
    return stage_config(config, PLATES, "compare_models")["study"]


def test_the_study_is_sizes_times_fractions_times_snapshots_times_families(project):
    rows = study(project, "scaling")
    steps = {row["model"]: row["model"].rpartition("@")[2] if row["snapshot"] else "end" for row in rows}
    sizes = {row["model"]: "small" if "_small_" in row["model"] else "base" for row in rows}
    found = {(r["family"], sizes[r["model"]], r["fraction"], steps[r["model"]]) for r in rows}
    families = ("MAE", "MAE+", "CA-MAE+", "MU-Net", "WSL")
    assert found == set(product(families, ("small", "base"), (0.25, 1.0), ("60", "240", "end")))


def test_seeds_of_the_fourier_rows_are_twins(project):
    rows = {row["model"]: row for row in study(project, "scaling")}
    for family in ("mae", "mae_plus"):
        one, other = rows[f"{family}_base_whole"], rows[f"{family}_base_whole_seed1"]
        assert one["twins"] == other["twins"]
        assert (one["seed"], other["seed"]) == (0, 1)
    ends = [row["twins"] for row in rows.values() if not row["snapshot"]]
    assert len(set(ends)) == len(ends) - 2


def test_the_papers_rows_have_all_architectures(project):
    models = read_config(project / "workflow/configs/papers.yaml").models
    weights = {(m.kind, m.preset, m.train.get("fourier_weight", 0.0)) for m in models}
    vits = [f"vit_{size}" for size in ("s16", "b16", "b8", "l16", "l8")]
    assert {("mae", vit, weight) for vit in vits for weight in (0.0, 0.01)} <= weights
    assert {("camae", f"camae_{size}16", 0.01) for size in "sbl"} <= weights
    assert {("munet", f"munet_{size}", 0.0) for size in "ml"} | {("wsl", "wsl_densenet161", 0.0)} <= weights
    assert {m.backbone for m in models if m.kind == "pretrained"} == {
        "vit_small_patch16_384",
        "vit_base_patch16_384",
        "vit_base_patch8_224",
        "vit_large_patch16_384",
    }
    assert {m.backbone for m in models if m.kind == "wsl"} == {None, "vit"}
    assert all(m.train["lr"] == 3e-5 for m in models if "_l" in m.name and m.kind in ("mae", "camae"))


def test_siblings_of_jump_are_asked_for_only_where_wells_have_genes_or_labels(project):
    """Compound plates have no gene, and a benchmark without names ends score_map; the lines to add are entries."""
    path = project / "workflow/configs/jump_cp.yaml"
    assert [entry.kind for entry in read_config(path).benchmarks] == ["replicability"]
    lines = [line.strip("# \n") for line in path.read_text().splitlines() if "sibling_retrieval, kind" in line]
    values = [yaml.safe_load(line)[0] for line in lines]
    assert [value.get("labels", value.get("match")) for value in values] == ["gene", "jump-screen/targets.csv"]
    assert [benchmark_entry(**value).group_by for value in values] == ["gene", "label"]
