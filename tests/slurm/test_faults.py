"""Each fault ends with a complete, equal result, and no job is done twice without need. A table says what happened."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.slurm.faults import FIRST_STEPS, LONG, MODEL, DisturbedScreen, until
from tests.workflow.conftest import make_project, tiny_screen

__all__ = ["tiny_screen"]  # the fixture
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def screen(tmp_path_factory, project, tiny_screen, cluster) -> DisturbedScreen:
    """Two plates, a training of some seconds and one that is longer than a job of one minute."""
    made = make_project(tmp_path_factory.mktemp("faults") / "project", project, tiny_screen)
    made.edit("config.yaml", "checkpoint_steps: 2", "checkpoint_steps: 5")
    made.edit("config.yaml", "validate_every: 2", "validate_every: 1000")
    made.edit("config.yaml", "kind: mae", f"kind: mae, train: {{steps: {FIRST_STEPS}}}")
    line = next(row for row in (made.root / "config.yaml").read_text().splitlines() if "name: mae" in row)
    made.edit("config.yaml", line, f"{line}\n{line.replace('name: mae', 'name: long')}")
    return DisturbedScreen(made, cluster)


@pytest.fixture(scope="module")
def table() -> Iterator[Callable[[str, str, DisturbedScreen, int], None]]:
    """Collects a row a fault, and prints them all; docs/cluster.md quotes them."""
    rows: list[str] = []

    def add(fault: str, happened: str, screen: DisturbedScreen, needed: int) -> None:
        jobs = screen.jobs()
        states = ", ".join(record.state for record in jobs)
        rows.append(f"| {fault} | {happened} | yes | {len(jobs) - needed} of {len(jobs)} ({states}) |")

    yield add
    print("\n| fault | what happened | equal result | wasted jobs |\n|---|---|---|---|", *rows, sep="\n")


@pytest.fixture
def calm(screen: DisturbedScreen) -> DisturbedScreen:
    screen.set_back()
    return screen


def test_a_training_longer_than_its_jobs_goes_on_in_the_next(calm, table):
    calm.end(calm.start(target=LONG, profile="minute"))
    assert calm.digest(LONG) == calm.expected[LONG]
    *before, last = calm.jobs()
    assert last.state == "COMPLETED"
    assert "FAILED" in {job.state for job in before}, "they end of themselves, not by TIMEOUT"
    assert len(before) + 1 >= calm.attempts(LONG) >= 2
    table("a training longer than its job of one minute", "went on in the next job", calm, calm.attempts(LONG))


def test_a_requeued_training_goes_on(calm, table):
    run = calm.start()
    job = calm.training(run)
    calm.cluster.ask("scontrol", "requeue", job)
    calm.end(run)
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 2
    jobs = calm.jobs()
    assert {record.job for record in jobs} == {job}, "SLURM starts it again; Snakemake submits no second one"
    table("`scontrol requeue` of the running training", "the same job went on from its checkpoint", calm, 2)


def test_a_preempted_training_goes_on(calm, table):
    run = calm.start()
    job = calm.training(run)
    calm.cluster.ask("sbatch", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    calm.end(run)
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 2
    assert {record.job for record in calm.jobs()} == {job}
    table("preempted by partition `urgent`", "the same job went on from its checkpoint", calm, 2)


def test_a_cancelled_training_goes_on_in_the_next_try(calm, table):
    run = calm.start()
    calm.cluster.ask("scancel", calm.training(run))
    calm.end(run)
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 2
    assert [record.state for record in calm.jobs()] == ["CANCELLED", "COMPLETED"]
    table("`scancel` of the running training", "Snakemake submitted it again; it went on", calm, 2)


def test_a_training_whose_node_is_lost_goes_on(calm, table):
    run = calm.start()
    job = calm.training(run)
    calm.lose_node(job)
    try:
        calm.end(run)
    finally:
        calm.restart_daemons()  # the node comes back with it
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 2
    assert [(record.job, record.state) for record in calm.jobs()] == [(job, "NODE_FAIL"), (job, "COMPLETED")]
    table("a node lost with all on it, marked down", "SLURM started the job again elsewhere; it went on", calm, 2)


@pytest.mark.parametrize("daemon", ["slurmd", "slurmctld"])
def test_a_daemon_that_is_killed_and_comes_back_loses_nothing(calm, table, daemon):
    run = calm.start()
    job = calm.training(run)
    pid = calm.node_daemon(job)[1] if daemon == "slurmd" else calm.controller()
    os.kill(pid, signal.SIGKILL)
    calm.restart_daemons()
    calm.go_on()
    calm.end(run)
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 1
    table(f"{daemon} killed and started again", "the job worked on", calm, 1)


def test_jobs_of_a_killed_run_are_waited_for_and_kept(calm, table):
    run = calm.start()
    job = calm.training(run)
    calm.kill(run)
    second = calm.start()
    waits = f"1 SLURM jobs of a run that was killed are in the queue: {job} (train_model mae"
    until(lambda: waits in calm.said(), "the next run waits", second)
    calm.go_on()
    said = calm.end(second)
    assert "1 results that jobs finished without their run are kept: train_model mae" in said
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert [record.job for record in calm.jobs()] == [job]
    assert calm.attempts() == 1
    assert calm.made.stale()["train_model"] == 1, "the long one; Snakemake has a whole record of this one"
    table("`kill -9` of run and Snakemake, run again", "waited for the job, kept its result", calm, 1)


def test_jobs_of_a_killed_run_are_cancelled_when_asked(calm, table):
    run = calm.start()
    job = calm.training(run)
    calm.kill(run)
    calm.end(calm.start("--orphans", "cancel"))
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert [(record.state, record.job == job) for record in calm.jobs()] == [("CANCELLED", True), ("COMPLETED", False)]
    assert calm.attempts() == 2
    table("the same, with `--orphans cancel`", "cancelled the job, which left a checkpoint; the next went on", calm, 2)


def test_one_of_two_runs_is_refused(calm, table):
    runs = [calm.start(), calm.start()]
    refused = until(lambda: [run for run in runs if run.poll() is not None], "one of the runs ends")
    assert len(refused) == 1
    said = calm.end(refused[0], code=2)
    assert "another run" in said
    calm.end(next(run for run in runs if run not in refused))
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert len(calm.jobs()) == 1
    table("two runs started at once", "one worked, the other was refused", calm, 1)


def test_a_run_that_is_interrupted_takes_its_jobs_along(calm, table):
    run = calm.start()
    calm.training(run)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=600) != 0
    until(lambda: not calm.cluster.queue(), "an empty queue")
    calm.end(calm.start())
    assert calm.digest(MODEL) == calm.expected[MODEL]
    assert calm.attempts() == 2
    assert [record.state for record in calm.jobs()] == ["CANCELLED", "COMPLETED"]
    table("Ctrl-C, run again", "cancelled the job, which left a checkpoint; the next went on", calm, 2)
