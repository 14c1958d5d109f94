"""train_model: equal weights however it is run, and nothing thrown away or taken over in silence."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from platemae.cli import main
from platemae.contracts import Manifest, write_text
from platemae.errors import ConfigError, DivergedError, MachineError, TrainingError, UntrainableError
from platemae.fingerprint import PACKAGE, import_closure
from platemae.holding.orphans import RUN_ID
from platemae.layout import Results
from platemae.making.files import FILES
from platemae.making.key import training_key
from platemae.models.export import load_model
from platemae.models.normalise import standardise
from platemae.models.registry import build
from platemae.models.settings import architecture
from platemae.stages.train_model import run
from platemae.store.plate_writer import FieldSource, write_plate
from platemae.training.preempt import Interrupted
from tests.stages.conftest import CHANNELS, WELLS, texture

RUN = """
import json, sys
from pathlib import Path
from platemae.layout import Results
from platemae.stages.train_model import run
print(run(Results(Path(sys.argv[1])), json.loads(sys.argv[2]), model="m", threads=1, code="code").digest)
"""


def train(results: Results, cfg: dict, model: str = "m", code: str = "code", **more) -> Manifest:
    return run(results, cfg, model=model, threads=1, code=code, **more)


def states(results: Results) -> list[Path]:
    return sorted((results.root / "models" / ".state").iterdir())


def weights(results: Results, model: str = "m") -> dict[str, torch.Tensor]:
    return load_model(results.model(model))[0].state_dict()


@pytest.fixture
def results(make_screen) -> Results:
    return make_screen()


def test_files_facts_and_manifest(results, train_cfg):
    manifest = train(results, train_cfg())
    folder = results.model("m")
    assert sorted(p.name for p in folder.iterdir()) == sorted(FILES)
    facts = json.loads((folder / "model.json").read_text())
    assert facts["channels"] == [{"name": "DNA", "stain": "Hoechst"}, {"name": "Actin", "stain": "Phalloidin"}]
    assert facts["pixel_size_um"] == 0.5
    assert facts["intensity"]["pooled"]["DNA"] == [400.0, 9000.0]
    assert facts["training"]["crops"] == 96
    assert facts["training"]["flops"] > 0
    history = pd.read_parquet(folder / "history.parquet")
    assert history["step"].tolist()[-1] == 12
    assert history["val_loss"].notna().sum() == 2
    assert manifest.counts["val_loss"] == pytest.approx(history["val_loss"].iloc[-1], rel=1e-5)
    assert 0.3 < manifest.counts["val_mse_share"] < 3
    assert train(results, train_cfg()).digest == manifest.digest


def test_reconstructions_show_what_was_hidden(results, train_cfg):
    train(results, train_cfg())
    shown = np.load(results.model("m") / "reconstructions.npz")
    target, masked, reconstruction = (shown[name] for name in ("target", "masked", "reconstruction"))
    assert target.shape == masked.shape == reconstruction.shape == (12, 2, 16, 16)
    np.testing.assert_allclose(target.mean((2, 3)), 0, atol=1e-4)
    hidden = np.isnan(masked)
    assert hidden.mean() == pytest.approx(0.75)
    assert np.array_equal(masked[~hidden], target[~hidden])
    assert np.array_equal(reconstruction[~hidden], target[~hidden])


def test_input_variance_is_that_of_the_standardised_validation_crops(results, train_cfg):
    counts = train(results, train_cfg()).counts
    shown = torch.from_numpy(np.load(results.model("m") / "reconstructions.npz")["target"])
    # Noise of 20 counts in a range of 8600 is far above the epsilon of the standardisation.
    assert counts["input_variance"] == pytest.approx(float(standardise(shown * 255).square().mean()), abs=0.02)


def test_finished_weights_export_again_without_training(results, train_cfg):
    first = train(results, train_cfg())
    for path in results.model("m").iterdir():
        path.unlink()
    again = train(results, train_cfg(), processes=7)  # 7 processes could not share a batch of 8
    assert again == first
    other = train(results, train_cfg(), model="other")
    assert other.digest == first.digest
    assert len(states(results)) == 1


def test_other_settings_have_another_state(results, train_cfg):
    train(results, train_cfg(steps=2))
    train(results, train_cfg(steps=3))
    assert len(states(results)) == 2
    cfg = train_cfg(steps=3)
    assert training_key(results, cfg) == training_key(results, train_cfg(steps=3, checkpoint_steps=1, validate_every=1))
    assert training_key(results, cfg) != training_key(results, train_cfg(steps=3, flip=False))


def test_code_change_after_the_end_stops_and_names_two_ways(results, train_cfg):
    first = train(results, train_cfg(steps=2), code="old")
    with pytest.raises(TrainingError, match="finished by other code") as error:
        train(results, train_cfg(steps=2), code="new")
    assert "--accept-code" in error.value.remedy
    assert "--retrain" in error.value.remedy
    accepted = train(results, train_cfg(steps=2), code="new", accept_code=True)
    assert accepted.digest == first.digest
    assert "old" in accepted.warnings[0]
    assert train(results, train_cfg(steps=2), code="new") == accepted
    retrained = train(results, train_cfg(steps=2), code="newer", retrain=True)
    assert retrained == first


def interrupted(results: Results, cfg: dict, at_step: int, number=signal.SIGKILL) -> None:
    """Start the training in a process of its own and end it when the checkpoint of a step, or a later one, is there."""
    child = subprocess.Popen([sys.executable, "-c", RUN, str(results.root), json.dumps(cfg)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300  # a busy machine may take a minute to import torch
    while not any(int(path.stem[5:]) >= at_step for path in results.root.glob("models/.state/*/step-*.pt")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(number)
    child.wait()
    assert not (results.model("m") / "model.json").exists()


def test_killed_and_started_again_gives_equal_weights(make_screen, train_cfg):
    cfg = train_cfg(steps=200, checkpoint_steps=10)
    killed, whole = make_screen("killed"), make_screen("whole")
    interrupted(killed, cfg, 20)
    with pytest.raises(TrainingError, match="begun by other code"):
        train(killed, cfg, code="other")
    assert not (states(killed)[0] / "finished").exists()
    assert train(killed, cfg).digest == train(whole, cfg).digest
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(killed)[name]), name


def test_a_training_whose_lease_was_taken_over_stops(results, train_cfg):
    code = "from platemae.data import lease; lease.BEAT_SECONDS = 0.1\n" + RUN
    cfg = json.dumps(train_cfg(steps=100_000, checkpoint_steps=20))
    line = [sys.executable, "-c", code, str(results.root), cfg]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    while not any((results.root / "models/.state").rglob("step-*.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    taken = states(results)[0] / "lease.json"
    other = json.dumps({"host": "elsewhere", "processes": [{"pid": 1, "created": 1.0}]})
    write_text(taken, other)
    told = process.communicate(timeout=60)[1]
    assert "Interrupted" in told
    assert "taken over by process 1 on elsewhere" in told
    assert taken.read_text() == other


def test_a_finished_training_is_taken_without_a_write_or_a_lease(results, train_cfg):
    """It may lie in another user's folder, and somebody may hold it."""
    first = train(results, train_cfg())
    folder = states(results)[0]
    other = json.dumps({"host": "elsewhere", "processes": [{"pid": 1, "created": 1.0}]})
    write_text(folder / "lease.json", other)
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    again = train(results, train_cfg(), model="other")
    assert again.digest == first.digest
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_a_live_training_is_not_joined(results, train_cfg, monkeypatch):
    cfg = train_cfg()
    train(results, cfg)
    monkeypatch.setattr("platemae.stages.train_model.WAIT_SECONDS", 0.0)
    held = {"host": os.uname().nodename, "processes": [{"pid": os.getpid(), "created": _created()}]}
    shutil.rmtree(states(results)[0] / "finished")
    (states(results)[0] / "lease.json").write_text(json.dumps(held))
    with pytest.raises(TrainingError, match="another process works on this training"):
        train(results, cfg)


def _created() -> float:
    import psutil

    return psutil.Process().create_time()


@pytest.mark.slow
def test_two_processes_equal_one(make_screen, train_cfg):
    cfg = train_cfg(steps=6)
    one, two = make_screen("one"), make_screen("two")
    train(one, cfg)
    train(two, cfg, processes=2)
    history = [pd.read_parquet(r.model("m") / "history.parquet") for r in (one, two)]
    np.testing.assert_allclose(history[0]["loss"], history[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(history[0]["val_loss"], history[1]["val_loss"], rtol=1e-4, equal_nan=True)
    assert not (states(two)[0] / "lease.json").exists()


@pytest.mark.slow
def test_an_error_in_one_of_several_processes_is_told(results, train_cfg):
    with pytest.raises(MachineError, match="cannot be shared equally"):
        train(results, train_cfg(global_batch=9), processes=2)


def test_untrained_is_the_network_before_its_first_step(results, train_cfg):
    cfg = train_cfg("untrained")
    manifest = train(results, cfg)
    assert manifest.counts["steps"] == 0
    spec = architecture(cfg["model"]["preset"], **cfg["model"]["architecture"]).to_dict()
    fresh = build("mae", spec, 2, seed=0).state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in weights(results).items())
    assert [p.name for p in (results.root / "models").iterdir()] == ["m"]
    assert train(results, train_cfg("untrained", seed=1), model="other").digest != manifest.digest
    assert train(results, cfg).digest == manifest.digest


def test_tile_pca(results, train_cfg):
    cfg = train_cfg("tile_pca", {"crop_px": 16, "tile_px": 8, "components": 6})
    manifest = train(results, cfg)
    assert manifest.counts["kind"] == "tile_pca"
    assert 0 < manifest.counts["variance_share"] <= 1
    module, facts = load_model(results.model("m"))
    assert facts["architecture"] == {"crop_px": 16, "tile_px": 8, "components": 6}
    assert module.embed(torch.rand(3, 2, 16, 16) * 255).shape == (3, 12)
    assert train(results, cfg).digest == manifest.digest
    shown = np.load(results.model("m") / "reconstructions.npz")
    residual = np.mean((shown["target"] - shown["reconstruction"]) ** 2)
    assert residual < np.mean(shown["target"] ** 2)


def test_crops_larger_than_the_fields_name_the_plate(results, train_cfg):
    with pytest.raises(ConfigError, match="plate P1 have 48 x 48 pixels, fewer than a crop of 64"):
        train(results, train_cfg(architecture={"crop_px": 64}))


def test_plates_with_other_stains_do_not_train_together(results, train_cfg, write_plate_of):
    from platemae.store.plate_reader import StoreChannel

    write_plate_of(results, "P2", (StoreChannel("DNA", "GFP"), StoreChannel("Actin", "Phalloidin")))
    with pytest.raises(ConfigError, match="plate P2 has another stain in DNA"):
        train(results, train_cfg())


def test_a_dataset_without_training_fields_is_a_failure(results, train_cfg):
    table = pd.read_parquet(results.dataset("screen"))
    table.assign(split="validation").to_parquet(results.dataset("screen"))
    with pytest.raises(UntrainableError, match="the dataset screen has no field for train"):
        train(results, train_cfg())
    assert verdict(results)["verdict"] == "failed"


def test_pixels_that_are_no_numbers_are_told(results, train_cfg):
    """Readers refuse them; a store written by others may hold some."""
    shutil.rmtree(results.store("P1"))
    spoilt = texture(1).astype(np.float32)
    spoilt[0, ::4, ::4] = np.nan
    groups = [f"{well[0]}/{int(well[1:])}/{field}" for well in WELLS for field in "01"]
    sources = [FieldSource(group, group[-1], group, lambda: spoilt) for group in groups]
    write_plate(results.store("P1"), "P1", sources, CHANNELS, 0.5, chunk_px=32, threads=1)
    with pytest.raises(DivergedError, match=r"\d+ pixels of this batch are not finite"):
        train(results, train_cfg())
    assert list(states(results)[0].glob("bad-batch-step-*.npy"))


def test_the_code_of_a_model_is_its_own_and_holds_no_page():
    closure = import_closure("platemae.stages.train_model", ("mae",), PACKAGE)
    assert {"platemae.making.make", "platemae.training.loop", "platemae.models.mae"} <= set(closure)
    assert not [name for name in closure if name.startswith(("platemae.live", "platemae.models.munet"))]


# -- verdict, end of the job, page, cost -------------------------------------------------------------------------------


def verdict(results: Results) -> dict:
    return json.loads((states(results)[0] / "verdict.json").read_text())


@pytest.fixture
def training_is_forbidden(monkeypatch):
    def forbid():
        def never(*_args, **_kwargs):
            raise AssertionError("training began")

        monkeypatch.setattr("platemae.stages.train_model.train_in_processes", never)

    return forbid


def test_a_divergence_ends_the_next_attempt_at_once(results, train_cfg, training_is_forbidden):
    cfg = train_cfg(lr=1e30)
    with pytest.raises(DivergedError, match="loss"):
        train(results, cfg)
    assert verdict(results)["verdict"] == "failed"
    assert "Failed" in (states(results)[0] / "training.html").read_text()
    with pytest.raises(DivergedError):
        train(results, cfg, retrain=True)
    training_is_forbidden()
    with pytest.raises(DivergedError, match="an earlier attempt failed: loss") as error:
        train(results, cfg)
    assert "--retrain" in error.value.remedy
    with pytest.raises(AssertionError, match="training began"):
        train(results, cfg, retrain=True)
    with pytest.raises(AssertionError, match="training began"):
        train(results, train_cfg(lr=1e-3))
    assert len(states(results)) == 2, "other settings are another training"


def test_settings_that_do_not_fit_the_data_are_a_failure(results, train_cfg, training_is_forbidden):
    cfg = train_cfg(architecture={"crop_px": 64})
    with pytest.raises(ConfigError, match="fewer than a crop of 64"):
        train(results, cfg)
    training_is_forbidden()
    with pytest.raises(ConfigError, match=r"an earlier attempt failed: .* fewer than a crop of 64"):
        train(results, cfg)
    with pytest.raises(AssertionError, match="training began"):
        train(results, cfg, code="mended")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_an_error_and_no_failure_of_the_training(results, train_cfg):
    with pytest.raises(MachineError, match="torch sees no GPU"):
        train(results, train_cfg(device="cuda"))
    assert verdict(results)["verdict"] == "continue"
    train(results, train_cfg(device="cpu"))
    assert len(states(results)) == 1


def test_jobs_of_one_run_meet_the_same_error_three_times_and_those_of_the_next_begin_anew(
    results, train_cfg, monkeypatch, capsys
):
    tried = []

    def out_of_memory(*_args):
        tried.append(os.environ[RUN_ID])
        raise MachineError(f"CUDA out of memory: {len(tried)} GiB")

    monkeypatch.setattr("platemae.stages.train_model.train_in_processes", out_of_memory)
    line = ["train-model", "--model", "m", "--code", "c", "--results", str(results.root)]
    for run_id, jobs in (("r1", 5), ("r2", 2)):
        monkeypatch.setenv(RUN_ID, run_id)
        for _ in range(jobs):
            assert main([*line, "--cfg", json.dumps(train_cfg())]) == 2
    assert tried == ["r1"] * 3 + ["r2"] * 2
    assert "3 attempts of this run ended in the same error: CUDA out of memory: 3 GiB" in capsys.readouterr().err


def test_a_job_that_ends_soon_leaves_a_checkpoint_and_the_next_goes_on(make_screen, train_cfg):
    cfg = train_cfg(steps=3, checkpoint_steps=100)
    short, whole = make_screen("short"), make_screen("whole")
    for step in (1, 2):
        with pytest.raises(Interrupted, match=f"after step {step} of 3: the job ends at") as error:
            train(short, cfg, end_time=str(time.time()))
        assert error.value.exit_code == 75
        assert verdict(short)["verdict"] == "continue"
        assert "Stopped, can go on" in (states(short)[0] / "training.html").read_text()
    assert train(short, cfg, end_time=str(time.time())).digest == train(whole, cfg).digest


def test_the_command_ends_with_the_code_of_a_job_to_requeue(results, train_cfg):
    line = ["train-model", "--model", "m", "--code", "c", "--results", str(results.root), "--cfg"]
    environment = os.environ | {"SLURM_JOB_ID": "17", "SLURM_JOB_END_TIME": str(int(time.time()))}
    line = [sys.executable, "-m", "platemae.cli", *line, json.dumps(train_cfg())]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stderr
    assert "the job ends at" in done.stderr
    assert "page of the training" in done.stderr
    assert verdict(results)["job"] == "17"


def test_the_page_is_found_beside_the_log_and_changes_no_weight(make_screen, train_cfg, monkeypatch):
    watched, alone = make_screen("watched"), make_screen("alone")
    monkeypatch.setattr("platemae.live.watch.EVERY_SECONDS", 0.0)
    cfg = train_cfg(checkpoint_steps=4)
    cfg["model"]["name"] = "<i>"
    first = train(watched, cfg)
    link = watched.root / "logs/train_model/m.html"
    text = link.read_text()
    assert link.resolve() == (states(watched)[0] / "training.html").resolve()
    assert "Finished" in text
    assert "&lt;i&gt;" in text
    assert "<i>" not in text
    assert text.count("<img") == 3
    monkeypatch.setattr("platemae.making.make.crops_so_far", lambda model: None)
    assert train(alone, cfg).digest == first.digest


def test_cost_is_in_the_facts_and_not_in_the_manifest(results, train_cfg):
    manifest = train(results, train_cfg())
    facts = json.loads((results.model("m") / "model.json").read_text())["training"]
    assert facts["gpu_hours"] == 0
    assert 0 < facts["core_hours"] < 0.1
    assert facts["attempts"] == 1
    assert not {"gpu_hours", "core_hours", "attempts", "seconds"} & manifest.counts.keys()


SRUN = """#!/bin/bash
# Stand-in for srun: as many "nodes" as tasks, all of them this machine.
for word in "$@"; do case $word in --ntasks=*) n=${word#*=} ;; esac; done
while [[ $1 == --* ]]; do shift; done
for ((i = 0; i < n; i++)); do SLURM_NODEID=$i "$@" & pids+=($!); done
code=0
for pid in "${pids[@]}"; do wait $pid || code=$?; done
exit $code
"""


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """Make ``srun`` start its tasks here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text(SRUN)
    (tmp_path / "bin/srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")


@pytest.mark.slow
def test_two_nodes_equal_one_with_as_many_processes(make_screen, train_cfg, two_nodes, capfd):
    cfg = train_cfg(steps=6)
    one, two = make_screen("one"), make_screen("two")
    first = train(one, cfg, processes=2)
    second = train(two, cfg, processes=1, nodes=2)
    assert second.digest == first.digest
    said = capfd.readouterr().err
    assert said.count("world size 2, as asked for") == 2
    history = [pd.read_parquet(r.model("m") / "history.parquet") for r in (one, two)]
    assert history[0]["loss"].tolist() == history[1]["loss"].tolist()


@pytest.mark.slow
def test_an_error_on_another_node_comes_back(results, train_cfg, two_nodes):
    with pytest.raises(MachineError, match="cannot be shared equally by 2 processes"):
        train(results, train_cfg(global_batch=9), nodes=2)
    with pytest.raises(DivergedError, match="loss"):
        train(results, train_cfg(lr=1e30), nodes=2)


@pytest.mark.slow
def test_two_nodes_stop_before_the_job_ends(make_screen, train_cfg, two_nodes):
    cfg = train_cfg(steps=4, checkpoint_steps=100)
    short, whole = make_screen("short"), make_screen("whole")
    with pytest.raises(Interrupted, match="the job ends at"):
        train(short, cfg, end_time=str(time.time()), nodes=2)
    assert train(short, cfg, processes=2).digest == train(whole, cfg, processes=2).digest
