"""train_model called again: what is finished is exported, what was stopped goes on, what others hold is left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from platemae.contracts import write_text
from platemae.errors import TrainingError
from platemae.layout import Results
from platemae.training.preempt import Interrupted
from tests.stages.trainings import RUN, results, states, train, verdict, weights

__all__ = ["results"]  # the fixture


def test_finished_weights_export_again_without_training(results, train_cfg):
    first = train(results, train_cfg())
    for path in results.model("m").iterdir():
        path.unlink()
    again = train(results, train_cfg(), processes=7)  # 7 processes could not share a batch of 8
    assert again == first
    other = train(results, train_cfg(), model="other")
    assert other.digest == first.digest
    assert len(states(results)) == 1


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
