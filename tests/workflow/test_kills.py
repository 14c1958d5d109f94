"""Kill -9 of a stage, or of Snakemake and its parent, then run again: complete, with equal results."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from platemae.contracts import Manifest
from tests.workflow.conftest import make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# Long enough to be caught in the act, short enough for a test.
STEPS = "steps: 200"
# The stages after the embeddings take seconds and are whole or absent like these.
TARGET = ("--cores", "1", "--target", "embeddings_all")


def project_with_longer_training(folder, project, tiny_screen):
    made = make_project(folder, project, tiny_screen)
    made.edit("config.yaml", "steps: 4", STEPS)
    made.edit("config.yaml", "checkpoint_steps: 2", "checkpoint_steps: 10")
    return made


def digests(made):
    """Content digests of everything up to the embeddings, by manifest."""
    results = made.root / "results"
    folders = ("plates", "qc", "intensity", "datasets", "models", "embeddings")
    paths = [path for folder in folders for path in sorted((results / folder).rglob("*manifest.json"))]
    return {str(path.relative_to(results)): Manifest.read(path).digest for path in paths}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, project, tiny_screen):
    made = project_with_longer_training(tmp_path_factory.mktemp("kill") / "undisturbed", project, tiny_screen)
    made.run(*TARGET)
    return digests(made)


def start(made, *more):
    command = [sys.executable, "-m", "platemae.cli", "run", *TARGET, *more]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=made.root, env=made.environment, **quiet)


def wait_for(made, stage, seconds=600):
    """Return the process of a stage of this project once it has begun its work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if stage in words and str(made.root) in (process.info["cwd"] or "") and "-c" not in words[:2]:
                if begun(made, stage):
                    return process
        time.sleep(0.02)
    raise AssertionError(f"{stage} did not start within {seconds} s")


def begun(made, stage):
    """Whether the stage is in the middle: half a store, a checkpoint, or an embedding under way."""
    results = made.root / "results"
    if stage == "ingest-plate":
        return any(not path.name.endswith((".json", ".parquet")) for path in (results / "plates").glob(".*"))
    if stage == "train-model":
        return any((results / "models/.state").rglob("step-*.pt"))
    return (results / "logs/embed_plate").exists()


def family(process):
    return [process, *psutil.Process(process.pid).children(recursive=True)]


@pytest.mark.parametrize("stage", ["ingest-plate", "train-model", "embed-plate"])
@pytest.mark.parametrize("victim", ["stage", "snakemake"])
def test_killed_and_run_again(tmp_path, project, tiny_screen, undisturbed, stage, victim):
    made = project_with_longer_training(tmp_path / "project", project, tiny_screen)
    run = start(made)
    process = wait_for(made, stage)
    if victim == "stage":
        process.kill()
        assert run.wait(timeout=120) != 0, "a killed stage is no success"
    else:
        parents = [p for p in family(run) if "snakemake" in " ".join(psutil.Process(p.pid).cmdline())]
        for parent in parents:
            os.kill(parent.pid, signal.SIGKILL)
        run.kill()
        run.wait(timeout=30)
    made.run(*TARGET)
    assert digests(made) == undisturbed
    left = [path for path in Path(made.root, "results").rglob("*") if ".tmp" in path.name]
    assert left == [], "nothing half-written stays"
    again = made.run(*TARGET)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_training_that_is_asked_to_stop_goes_on_in_the_next_try(tmp_path, project, tiny_screen, undisturbed):
    made = project_with_longer_training(tmp_path / "project", project, tiny_screen)
    run = start(made, "--", "--retries", "1")
    wait_for(made, "train-model").send_signal(signal.SIGUSR1)
    assert run.wait(timeout=600) == 0
    assert digests(made) == undisturbed
    facts = json.loads((made.root / "results/models/mae/model.json").read_text())
    assert facts["training"]["attempts"] == 2
    assert facts["training"]["gpu_hours"] == 0


def test_a_lock_without_a_holder_is_not_cleared(fresh_project):
    locks = fresh_project.root / "results/.snakemake/locks"
    locks.mkdir(parents=True)
    (locks / "0.input.lock").write_text("x\n")
    done = fresh_project.run(check=False)
    assert done.returncode == 2
    assert "lock" in done.stderr
    assert (locks / "0.input.lock").exists()


def test_a_living_run_is_not_disturbed(fresh_project):
    run = start(fresh_project)
    try:
        wait_for(fresh_project, "ingest-plate")
        second = fresh_project.run(check=False)
        assert second.returncode == 2
        assert "another run works in this folder" in second.stderr
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(timeout=120)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_takes_its_jobs_along(tmp_path, project, tiny_screen, number):
    made = project_with_longer_training(tmp_path / "project", project, tiny_screen)
    run = start(made)
    job = wait_for(made, "train-model")
    run.send_signal(number)
    assert run.wait(timeout=120) != 0
    assert not psutil.pid_exists(job.pid), "the trainer has ended, with a checkpoint"
    assert any((made.root / "results/models/.state").rglob("step-*.pt"))
