"""The jobs of a run and what each does, against counts by hand and closed forms."""

import json

import pytest

from platemae.config import Config
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate
from platemae.layout import Results
from platemae.models.flops import encoder_flops, training_flops
from platemae.models.settings import architecture
from platemae.planning.networks import network_cost
from platemae.planning.sizes import PlateSize, sizes_of
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
