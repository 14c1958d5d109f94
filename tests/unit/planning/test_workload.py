"""The jobs of a run and what each does, against counts by hand and closed forms."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from platemae.config import Config
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.layout import Results
from platemae.models.flops import encoder_flops, training_flops
from platemae.models.settings import architecture
from platemae.planning.networks import network_cost
from platemae.planning.sizes import PlateSize, sampled_sizes, sizes_of
from platemae.planning.workload import count_jobs, pending_work, rows_of

TINY = architecture("tiny")
SIZE = PlateSize(wells=10, fields=20, channels=2, height=100, width=64, depth=2)
SIZES = {f"P{i}": SIZE for i in range(4)}


def pending(config, plates, folder):
    found = {}
    for work in pending_work(config, plates, SIZES, Results(folder)):
        found.setdefault(work.stage, []).append(work)
    return found


def model(**more):
    return {"name": "m", "kind": "mae", "dataset": "screen", "intensity": "controls", **more}


def test_the_demo_has_as_many_jobs_as_snakemake_says(plates):
    found = count_jobs(Config(), plates)
    assert sum(found.values()) == 101
    assert (found["embed_plate"], found["import_profiles"], found["correct_plate"]) == (8, 4, 36)


def test_pending_jobs_of_an_empty_folder_are_all_jobs(plates, tmp_path):
    found = pending(Config(), plates, tmp_path)
    assert {stage: sum(work.jobs for work in works) for stage, works in found.items()} == {
        stage: jobs for stage, jobs in count_jobs(Config(), plates).items() if jobs
    }


def test_plates_off_the_maps_are_counted_where_features_or_a_fit_need_them(plates, tmp_path):
    """Held against Snakemake's own jobs in tests/workflow/test_planned_jobs.py."""
    values = {
        "map": {"plates": ["P0"]},
        "models": [model(), {"name": "classical", "kind": "classical"}],
        "corrections": [{"name": "none", "kind": "none"}, {"name": "tvn", "kind": "tvn", "fit_plates": ["P1", "P2"]}],
    }
    found = count_jobs(Config.model_validate(values), plates)
    assert (found["measure_plate"], found["embed_plate"], found["import_profiles"]) == (4, 3, 3)
    assert (found["summarize_controls"], found["correct_plate"], found["build_map"]) == (2 * 3, 2 * 2, 2 * 2)
    values["models"][1]["feature_plates"] = ["P3"]
    values["corrections"][1] = {"name": "tvn", "kind": "tvn", "basis": "basis.npz"}
    found = pending(Config.model_validate(values), plates, tmp_path)
    assert {stage: sum(work.jobs for work in found[stage]) for stage in ("measure_plate", "embed_plate")} == {
        "measure_plate": 2,
        "embed_plate": 1,
    }


def test_a_job_with_a_manifest_is_done(plates, tmp_path):
    for name in ("qc/P1", "embeddings/mae_tiny/P0", "corrected/untrained/tvn/P3", "models/untrained/manifest"):
        path = tmp_path / (f"{name}.json" if name.endswith("manifest") else f"{name}.manifest.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    found = {stage: sum(work.jobs for work in works) for stage, works in pending(Config(), plates, tmp_path).items()}
    assert (found["qc_plate"], found["embed_plate"], found["correct_plate"], found["train_model"]) == (3, 7, 35, 1)


def test_a_training_costs_three_forward_passes_of_all_its_crops(plates, tmp_path):
    entry = model(train={"steps": 100, "global_batch": 8, "mask_ratio": 0.5})
    (work,) = pending(Config.model_validate({"models": [entry]}), plates, tmp_path)["train_model"]
    assert work.flops == 100 * work.step_flops == 3 * training_flops(TINY, 2, 0.5).total * 8 * 100
    entry["train"]["activation_checkpointing"] = True
    (again,) = pending(Config.model_validate({"models": [entry]}), plates, tmp_path)["train_model"]
    assert again.flops == pytest.approx(work.flops * 4 / 3)


def test_snapshots_and_models_of_one_training_cost_it_once(plates, tmp_path):
    models = [model(snapshots=[10], train={"steps": 100}), model(name="twin", train={"steps": 100})]
    works = pending(Config.model_validate({"models": models}), plates, tmp_path)["train_model"]
    assert {work.name: work.flops > 0 for work in works} == {"m@10": False, "m": True, "twin": False}


def test_an_embedding_costs_its_tiles_without_a_mask(plates, tmp_path):
    (work,) = pending(Config.model_validate({"models": [model()]}), plates, tmp_path)["embed_plate"]
    tiles = 4 * 2  # of 32 pixels, overlapping over 100 x 64
    assert work.jobs == 4
    assert work.flops == 20 * tiles * encoder_flops(TINY, 2, TINY.n_patches)
    assert work.read_gb == pytest.approx(20 * 2 * 100 * 64 * 2 / 1e9)


@pytest.mark.parametrize(("wells", "measured"), [(500, 16.6), (5_000, 60.3), (50_000, 187.0)])
def test_a_report_costs_what_it_was_measured_to_cost_within_a_factor_of_two(tmp_path, wells, measured):
    """Core seconds of whole reports, two models before and after TVN: docs/decisions.md, The report."""
    names = [f"P{i}" for i in range(-(-wells // 384))]
    sizes = {name: PlateSize(wells // len(names), 2 * wells // len(names), 4, 256, 256, 2) for name in names}
    table = PlateTable([Plate(name, "B1", "synthetic", "raw", "layout.tsv") for name in names])
    corrections = [{"name": kind, "kind": kind} for kind in ("none", "tvn")]
    config = Config.model_validate({"models": [model(), model(name="other")], "corrections": corrections})
    (work,) = [w for w in pending_work(config, table, sizes, Results(tmp_path)) if w.stage == "render_report"]
    assert 0.5 < work.fixed_seconds / measured < 2


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "munet", "preset": "munet_m"},
        {"kind": "wsl", "preset": "wsl_tiny", "backbone": None, "label": "gene", "domain": "plate"},
        {"kind": "wsl", "preset": "tiny", "backbone": "vit", "label": "gene", "domain": "plate"},
        {"kind": "camae", "preset": "camae_tiny"},
        {"kind": "pretrained", "preset": "tiny", "backbone": "vit_small_patch16_384", "file": None, "sha256": None},
    ],
)
def test_every_kind_of_network_is_counted(entry):
    crop = {"crop_px": 64} if entry["kind"] == "pretrained" else {}
    cost = network_cost(entry | {"architecture": crop}, {"mask_ratio": 0.75, "steps": 10}, 2)
    assert cost.embed_flops > 1e6
    assert cost.parameters > 1e4
    assert (cost.train_flops > 0) == (entry["kind"] != "pretrained")


def test_rows_of_a_plate():
    pooled = PlateSize(10, 20, 2, 100, 64, 2, cells=77)
    assert [rows_of(pooled, rows, 160) for rows in ("well", "field", "crop", "cell")] == [10, 20, 160, 77]


def test_sizes_come_from_the_ingest_and_unreadable_plates_are_named(screen, plates):
    results, config = Results(screen.parent / "results"), Config()
    results.manifest("ingest_plate", plate="P2").unlink()
    sizes, problems = sizes_of(config, plates, screen.parent, results)
    assert set(sizes) == {"P0", "P1", "P3"}
    assert sizes["P0"].pixel_bytes == 20 * 2 * 100 * 64 * 2
    assert len(problems) == 1, "its raw folder is not there"
    assert json.dumps(problems[0].what)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 1, "counts": {}}'])
def test_a_torn_manifest_is_a_problem_of_its_plate_alone(screen, plates, text):
    results = Results(screen.parent / "results")
    path = results.manifest("ingest_plate", plate="P2")
    path.write_text(text)
    sizes, problems = sizes_of(Config(), plates, screen.parent, results)
    assert set(sizes) == {"P0", "P1", "P3"}
    assert [problem.where for problem in problems] == [str(path)]
    assert sampled_sizes(Config(), plates, screen.parent, results)["P2"].pixel_bytes == 0, (
        "its readers say what is wrong"
    )


def test_the_cells_of_pooled_plates_are_counted_before_their_ingest(tmp_path, monkeypatch):
    """One table for two plates, another of a plate alone, and an arrayed plate of the same reader."""
    header = "plate,well,field,cell,y,x,perturbation"
    rows = [f"P{i % 3 % 2},A01,1,{i},3,4,g{i % 5}" for i in range(300)]
    (tmp_path / "both.csv").write_text("\n".join([header, *rows]) + "\n")
    own = pd.DataFrame([row.split(",")[1:] for row in rows[:70]], columns=header.split(",")[1:])
    own.to_parquet(tmp_path / "own.parquet")
    tables = {"P0": "both.csv", "P1": "both.csv", "P2": "own.parquet", "P3": "", "P4": "both.csv"}
    plates = PlateTable([Plate(p, "B", "synthetic", "raw", "layout.tsv", cells) for p, cells in tables.items()])
    record = SimpleNamespace(well="A01", planes={"DNA": ["a plane"]})
    inventory = SimpleNamespace(records=[record], channels=["DNA"])
    monkeypatch.setattr("platemae.planning.sizes.look", lambda cfg, name, base: (inventory, {}, []))
    monkeypatch.setattr("platemae.planning.sizes.read_plane", lambda plane: np.zeros((64, 48), np.uint16))
    sizes, problems = sizes_of(Config(), plates, tmp_path, Results(tmp_path / "results"))
    assert {name: size.cells for name, size in sizes.items()} == {"P0": 200, "P1": 100, "P2": 70, "P3": 0}
    assert [problem.what for problem in problems] == ["no cell is of plate P4"]
    sampled = sampled_sizes(Config(), plates, tmp_path, Results(tmp_path / "results"))
    assert (sampled["P1"].cells, sampled["P3"].cells) == (200, 0), "as the first of its kind"
    embed = {"rows": "cell"}
    work = pending_work(Config.model_validate({"models": [model()], "embed": embed}), plates, sizes, Results(tmp_path))
    flops = {each.flops for each in work if each.stage == "embed_plate"}
    assert flops == {cells * encoder_flops(TINY, 1, TINY.n_patches) for cells in (200, 100, 70, 0)}
