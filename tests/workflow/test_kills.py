"""Kill -9 of a stage, or of Snakemake and its parent, then run again: complete, with equal results."""

import json
import os
import shutil
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
STAGES = {
    "ingest-plate": (None, "ingest_all"),
    "train-model": ("datasets_all", "models_all"),
    "embed-plate": ("models_all", "embeddings_all"),
}
"""Stages that are killed, the target that is there before, and their own; others are whole or absent like these."""


def digests(made):
    """Content digests of everything, by manifest."""
    results = made.root / "results"
    return {str(path.relative_to(results)): Manifest.read(path).digest for path in results.rglob("*manifest.json")}


class Restored:
    """A project in one place, as input paths are compared, whose results can be set back to those of a target."""

    def __init__(self, made):
        self.made, self.expected = made, {}
        for before, target in STAGES.values():
            for wanted in filter(None, (before, target)):
                if wanted not in self.expected:
                    made.run("--cores", "1", "--target", wanted)
                    self.expected[wanted] = digests(made)
                    shutil.copytree(made.root / "results", self._kept(wanted), symlinks=True)

    def _kept(self, target):
        return self.made.root.parent / "kept" / target

    def before(self, stage):
        """Return the project as it is before a stage, without a process of an earlier test."""
        for process in psutil.process_iter(["cwd"]):
            if (process.info["cwd"] or "").startswith(str(self.made.root)):
                process.kill()
                process.wait(timeout=30)
        shutil.rmtree(self.made.root / "results", ignore_errors=True)
        if STAGES[stage][0]:
            shutil.copytree(self._kept(STAGES[stage][0]), self.made.root / "results", symlinks=True)
        return self.made


@pytest.fixture(scope="module")
def restored(tmp_path_factory, project, tiny_screen):
    made = make_project(tmp_path_factory.mktemp("kill") / "project", project, tiny_screen)
    made.edit("config.yaml", "steps: 4", STEPS)
    made.edit("config.yaml", "checkpoint_steps: 2", "checkpoint_steps: 10")
    return Restored(made)


def target_of(stage):
    return "--cores", "1", "--target", STAGES[stage][1]


def start(made, stage, *more, **io):
    command = [sys.executable, "-m", "platemae.cli", "run", *target_of(stage), *more]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # The process group of a terminal: its signals come to all of it.
    return subprocess.Popen(command, cwd=made.root, env=made.environment, start_new_session=True, **(quiet | io))


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
def test_killed_and_run_again(restored, stage, victim):
    made = restored.before(stage)
    run = start(made, stage)
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
    made.run(*target_of(stage))
    assert digests(made) == restored.expected[STAGES[stage][1]]
    left = [path for path in Path(made.root, "results").rglob("*") if ".tmp" in path.name]
    assert left == [], "nothing half-written stays"
    again = made.run(*target_of(stage))
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_training_that_is_asked_to_stop_goes_on_in_the_next_try(restored):
    made = restored.before("train-model")
    run = start(made, "train-model", "--", "--retries", "1")
    wait_for(made, "train-model").send_signal(signal.SIGUSR1)
    assert run.wait(timeout=600) == 0
    assert digests(made) == restored.expected["models_all"]
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
    run = start(fresh_project, "ingest-plate")
    try:
        wait_for(fresh_project, "ingest-plate")
        second = fresh_project.run(check=False)
        assert second.returncode == 2
        assert "another run works in this folder" in second.stderr
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(timeout=120)


@pytest.mark.parametrize(("number", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)])
def test_a_run_that_is_asked_to_stop_takes_its_jobs_along(restored, number, send):
    made = restored.before("train-model")
    run = start(made, "train-model", stderr=subprocess.PIPE, text=True)
    job = wait_for(made, "train-model")
    send(run.pid, number)
    told = run.communicate(timeout=120)[1]
    assert run.returncode != 0
    assert "Traceback" not in told, "Snakemake ended in order"
    assert not psutil.pid_exists(job.pid), "the trainer has ended, with a checkpoint"
    assert any((made.root / "results/models/.state").rglob("step-*.pt"))
    (verdict,) = (made.root / "results/models/.state").rglob("verdict.json")
    assert "received SIGINT" in json.loads(verdict.read_text())["why"]
