"""The lease and the record of a training."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from platemae.data import lease as lease_module
from platemae.data.lease import LEASE, join_lease, lease
from platemae.data.training_state import TrainingState
from platemae.errors import ConfigError, DivergedError, MachineError, TrainingError
from platemae.training.preempt import Interrupted

HOLD = "import sys,time; from pathlib import Path; from platemae.data.lease import lease\n"
HOLD += "with lease(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"


def holder(folder) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    return child


def test_a_live_lease_is_refused_and_a_dead_one_taken_over(tmp_path):
    child = holder(tmp_path)
    with pytest.raises(TrainingError, match=f"process {child.pid}"), lease(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (tmp_path / LEASE).exists()
    with lease(tmp_path):
        assert json.loads((tmp_path / LEASE).read_text())["processes"][0]["pid"] == os.getpid()
    assert not (tmp_path / LEASE).exists()


def test_a_reused_pid_does_not_hold(tmp_path):
    held = {"host": os.uname().nodename, "processes": [{"pid": os.getppid(), "created": 1.0}]}
    (tmp_path / LEASE).write_text(json.dumps(held))
    with lease(tmp_path):
        assert os.getpid() in {p["pid"] for p in json.loads((tmp_path / LEASE).read_text())["processes"]}


def test_another_host_counts_as_dead_only_when_silent(tmp_path):
    path = tmp_path / LEASE
    path.write_text(json.dumps({"host": "elsewhere", "processes": [{"pid": 1, "created": 1.0}]}))
    with pytest.raises(TrainingError, match="process 1 on elsewhere"), lease(tmp_path):
        pass
    long_ago = time.time() - lease_module.SILENT_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    with lease(tmp_path):
        assert json.loads(path.read_text())["host"] == os.uname().nodename


def silent_for(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_the_lease_names_the_slurm_job_and_its_requeued_self_takes_it_over(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    path = tmp_path / LEASE
    with lease(tmp_path):
        held = json.loads(path.read_text())
    assert held["job"] == "17"
    path.write_text(json.dumps(held | {"host": "elsewhere"}))
    with pytest.raises(TrainingError, match="on elsewhere, SLURM job 17"), lease(tmp_path):
        pass  # a node that SLURM has lost may work on, and its heart beats
    silent_for(path, 61)
    with lease(tmp_path):
        assert json.loads(path.read_text())["host"] != "elsewhere"


@pytest.mark.parametrize(
    ("squeue", "taken"),
    [
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("exit 0", True),
        ('[ "$2" = --jobs=18 ] && echo 18', False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", False),
    ],
)
def test_a_job_that_is_over_is_asked_for(tmp_path, monkeypatch, squeue, taken):
    """The words are SLURM 22.05's own: of a job long gone, of one that has just ended, of one that runs."""
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{squeue}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / LEASE
    path.write_text(json.dumps({"host": "elsewhere", "processes": [{"pid": 1, "created": 1.0}], "job": "18"}))
    silent_for(path, 61)
    if taken:
        with lease(tmp_path):
            assert json.loads(path.read_text())["host"] != "elsewhere"
    else:
        with pytest.raises(TrainingError, match="SLURM job 18"), lease(tmp_path):
            pass


def test_a_live_lease_is_waited_for(tmp_path):
    child = holder(tmp_path)
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 {child.pid}"])
    with lease(tmp_path, wait_seconds=30):
        assert not psutil.pid_exists(child.pid) or psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    child.wait()


def test_a_launched_process_holds_on_when_its_launcher_dies(tmp_path):
    child = holder(tmp_path)
    join_lease(tmp_path)
    child.kill()
    child.wait()
    with pytest.raises(TrainingError, match=str(os.getpid())), lease(tmp_path):
        pass


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_file_system_without_locks_has_leases_too(tmp_path, no_locks):
    with lease(tmp_path):
        assert json.loads((tmp_path / LEASE).read_text())["processes"][0]["pid"] == os.getpid()
        with pytest.raises(TrainingError, match=str(os.getpid())), lease(tmp_path):
            pass


@pytest.mark.parametrize("left", ["another's", "none"])
def test_a_holder_is_told_that_it_lost_its_lease(tmp_path, monkeypatch, left):
    monkeypatch.setattr(lease_module, "BEAT_SECONDS", 0.02)
    lost, path = threading.Event(), tmp_path / LEASE
    with lease(tmp_path, lost=lost.set):
        path.write_text("{")  # torn, or a file system that fails for a moment
        assert not lost.wait(0.2)
        if left == "none":
            path.unlink()
        else:
            path.write_text(json.dumps({"host": "elsewhere", "processes": [{"pid": os.getpid(), "created": 1.0}]}))
        assert lost.wait(10)
    assert path.exists() == (left != "none"), "what is another's stays"


def test_a_torn_lease_holds_nobody_off(tmp_path):
    (tmp_path / LEASE).write_text("{")
    with lease(tmp_path):
        assert (tmp_path / LEASE).exists()


def enter(tmp_path, code: str, started=True, **ways: bool) -> TrainingState:
    state = TrainingState(tmp_path, code)
    state.enter({"kind": "mae"}, started=started, **({"retrain": False, "accept_code": False} | ways))
    return state


def test_other_code_must_be_accepted_and_is_recorded(tmp_path):
    enter(tmp_path, "a" * 64, started=False)
    with pytest.raises(TrainingError, match="begun by other code") as error:
        enter(tmp_path, "b" * 64)
    assert "--accept-code" in error.value.remedy
    assert "--retrain" in error.value.remedy
    state = enter(tmp_path, "b" * 64, accept_code=True)
    assert state.accepted() == [{"from": "a" * 64, "to": "b" * 64}]
    assert enter(tmp_path, "b" * 64).accepted() == state.accepted()


def test_finished_under_other_code_says_so(tmp_path):
    enter(tmp_path, "a", started=False).finished.mkdir()
    with pytest.raises(TrainingError, match="finished by other code"):
        enter(tmp_path, "b")


def test_retrain_clears_and_forgets(tmp_path):
    enter(tmp_path, "a", started=False)
    (tmp_path / "step-1.pt").write_text("x")
    (tmp_path / "finished").mkdir()
    state = enter(tmp_path, "b", retrain=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.json"]
    assert state.record()["code"] == "b"


def test_nothing_begun_needs_no_acceptance(tmp_path):
    enter(tmp_path, "a", started=False)
    assert enter(tmp_path, "b", started=False).record()["code"] == "b"


LASTING = [ConfigError("a crop is larger", "w", "r."), DivergedError("loss nan", "w", "r.")]
PASSING = [MachineError("no GPU"), Interrupted("received SIGTERM"), TrainingError("code 1"), "training"]


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_a_failure_is_told_again_under_the_same_code(tmp_path, error):
    state = TrainingState(tmp_path, "a")
    state.raise_if_failed()
    state.note(error)
    with pytest.raises(type(error), match=f"an earlier attempt failed: {error.what}") as again:
        state.raise_if_failed()
    assert again.value.where == "w"
    assert again.value.remedy.startswith("r. ")
    assert "--retrain" in again.value.remedy
    TrainingState(tmp_path, "b").raise_if_failed()
    enter(tmp_path, "a", retrain=True).raise_if_failed()


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_after_anything_else_the_next_attempt_goes_on(tmp_path, error):
    state = TrainingState(tmp_path, "a")
    state.note(error)
    state.raise_if_failed()
    assert state.verdict()["verdict"] == "continue"


def attempts(folder, *errors, run="r1"):
    """Note attempts as a stage does, and return the number of those that began."""
    for number, error in enumerate(errors):
        state = TrainingState(folder, "a", run)
        try:
            state.raise_if_failed()
        except TrainingError as told:
            return number if "the same error" in told.what else -1
        state.note("training")
        if error is not None:  # else it was killed
            state.note(error)
    return len(errors)


def memory(gigabytes):
    return RuntimeError(f"CUDA out of memory. Tried to allocate {gigabytes} GiB")


def test_the_same_error_is_not_tried_for_ever_in_one_run(tmp_path):
    assert attempts(tmp_path, *map(memory, range(20))) == 3
    assert attempts(tmp_path, memory(1)) == 0
    TrainingState(tmp_path, "b", "r1").raise_if_failed()
    TrainingState(tmp_path, "a").raise_if_failed()
    assert attempts(tmp_path, *map(memory, range(20)), run="r2") == 3, "another run begins anew, when it is mended"


def test_by_hand_nothing_is_counted(tmp_path):
    assert attempts(tmp_path, *map(memory, range(5)), run="") == 5


STOPPED = Interrupted("received SIGTERM")


@pytest.mark.parametrize("other", [STOPPED, TrainingError("code 1"), MachineError("no GPU")], ids=str)
def test_another_end_begins_the_count_anew(tmp_path, other):
    errors = [memory(1), memory(1), other, memory(1), memory(1), memory(1), memory(1)]
    assert attempts(tmp_path, *errors) == 6


def test_stops_and_kills_go_on_freely_and_a_kill_hides_no_error(tmp_path):
    assert attempts(tmp_path, *[STOPPED, None] * 10) == 20
    assert attempts(tmp_path, memory(1), None, memory(1), None, None, memory(1), memory(1)) == 6


def test_an_error_after_a_further_checkpoint_is_another(tmp_path):
    for step in range(6):
        (tmp_path / f"step-{step:09d}.pt").touch()
        assert attempts(tmp_path, memory(1)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"again": 3}',
        '{"code": "a", "again": {"run": "r", "times": "9"}}',
        '{"verdict": "failed", "code": "a"}',
        '{"verdict": "failed"}',
    ],
)
def test_a_torn_verdict_stops_nobody(tmp_path, text):
    (tmp_path / "verdict.json").write_text(text)
    state = TrainingState(tmp_path, "a", "r")
    state.raise_if_failed()
    state.note("training")
    assert state.verdict()["verdict"] == "continue"
