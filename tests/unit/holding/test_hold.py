"""Who holds a results folder, and what becomes of what a killed run left."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from platemae.errors import MachineError, PlatemaeError
from platemae.holding import orphans
from platemae.holding.hold import check_at_rest, hold
from platemae.holding.note import Note, Run, note_file, read_note, this_host, write_note
from platemae.layout import Results

RACE = """
import sys
from pathlib import Path
from platemae.errors import PlatemaeError
from platemae.holding.hold import hold
from platemae.layout import Results
print("ready", flush=True)
sys.stdin.readline()
try:
    with hold(Results(Path(sys.argv[1]))):
        print("held", flush=True)
        sys.stdin.readline()
except PlatemaeError as error:
    print(error.what, flush=True)
"""
DEAD = [{"pid": 2**22 + 1, "created": 1.0}]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that writes the answers of squeue, one a call, and lets scancel note what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(orphans, "LOOK_SECONDS", 0.01)

    def answers(*texts: str) -> None:
        for number, text in enumerate(texts):
            (folder / f"answer{number}").write_text(text)
        count = f"n=$(cat {folder}/n 2>/dev/null || echo 0); echo $((n + 1)) > {folder}/n"
        _program(folder / "squeue", f'{count}\necho "$@" >> {tmp_path}/asked\ncat {folder}/answer$n')
        _program(folder / "scancel", f'echo "$@" > {tmp_path}/cancelled')

    return answers


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def left_by(results: Results, run: Run, processes: list[dict[str, float]] = DEAD) -> None:
    write_note(results, Note(run, processes))


def test_of_runs_that_start_at_once_one_holds_the_folder(results: Results) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([sys.executable, "-c", RACE, str(results.root)], **pipes) for _ in range(4)]
    assert [run.stdout.readline() for run in runs] == ["ready\n"] * 4
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    said = sorted(run.stdout.readline().strip() for run in runs)
    assert said[-1] == "held"
    assert all("another run" in line for line in said[:-1])
    for run in runs:
        run.communicate("\n")
    assert not note_file(results).exists()


def test_a_killed_holder_is_replaced(results: Results) -> None:
    left_by(results, Run("a1", this_host()))
    lock = results.root / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir()
    lock.touch()
    with hold(results) as held:
        assert [run.run_id for run in held.earlier] == ["a1"]
        assert not lock.exists()
        assert read_note(results).processes[0]["pid"] == os.getpid()
    assert not note_file(results).exists()


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_fails_leaves_word_of_itself(results: Results, ended: bool) -> None:
    with pytest.raises(PlatemaeError) if ended else pytest.MonkeyPatch.context(), hold(results, submits=True) as held:
        held.ended = False
        if ended:
            raise PlatemaeError("wrong", "here", "mend it")
    note = read_note(results)
    assert (note.run, note.processes, note.earlier) == (held.run, [], [])
    check_at_rest(results)


def test_another_host_is_believed_to_live_until_somebody_looked(results: Results, squeue: Callable) -> None:
    left_by(results, Run("a1", "login2 some-boot", submits=True), [{"pid": 77, "created": 1.0}])
    with pytest.raises(PlatemaeError, match="a run on login2 holds the results folder") as refused, hold(results):
        pass
    assert "ssh login2 ps -p 77" in refused.value.remedy
    assert "--take-over" in refused.value.remedy
    squeue("")
    with hold(results, take_over=True) as held:
        assert held.earlier[0].run_id == "a1"


def test_a_run_before_a_reboot_is_said_to_be_one(results: Results) -> None:
    left_by(results, Run("a1", f"{os.uname().nodename} another-boot"))
    with pytest.raises(PlatemaeError, match="before a reboot"), hold(results):
        pass


def test_a_run_in_a_job_that_is_over_needs_nobodys_word(results: Results, squeue: Callable) -> None:
    left_by(results, Run("a1", "node7 some-boot", job="31"))
    squeue("31\n", "", "")
    with pytest.raises(PlatemaeError, match="node7") as refused, hold(results):
        pass
    assert "squeue --jobs 31" in refused.value.remedy
    with hold(results) as held:
        assert held.earlier[0].run_id == "a1"


JOB = "12|platemae_a1_1234|RUNNING|rule_train_model_wildcards_mae\n"
FOREIGN = "13|platemae_b2_1234|RUNNING|rule_x\n14|bash|PENDING|\n"


def test_jobs_of_a_killed_run_are_waited_for(results: Results, squeue: Callable, capfd) -> None:
    left_by(results, Run("a1", this_host(), submits=True))
    half = results.root / ".half.parquet.tmp-7"
    of_stores = [results.root / name / ".c.tmp-7" for name in ("P1.zarr", ".P1.zarr.tmp-ab", ".P1.zarr.zip.tmp-cd")]
    for path in of_stores:
        path.parent.mkdir()
    for path in (half, *of_stores):
        path.touch()
    squeue(FOREIGN + JOB, JOB, FOREIGN)
    with hold(results, "wait"):
        assert not half.exists(), "removed when nobody writes it any more"
        assert all(path.exists() for path in of_stores), "no store is walked, nor what one left"
    assert (
        "1 SLURM jobs of a run that was killed are in the queue: 12 (train_model mae, running)"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize("user", ["maria", ""])
def test_slurm_is_asked_for_the_jobs_of_the_user_of_the_run(
    results: Results, squeue: Callable, tmp_path: Path, user: str
) -> None:
    """Somebody else's run in a shared folder counts; a note of before the user was noted asks for all jobs."""
    left_by(results, Run("a1", this_host(), submits=True, user=user))
    squeue(JOB, "")
    with hold(results, "wait") as held:
        assert held.run.user == pwd.getpwuid(os.geteuid()).pw_name
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.endswith(" --user=maria") for line in asked] == [bool(user)] * 2


def test_jobs_of_a_killed_run_are_cancelled(results: Results, squeue: Callable, tmp_path: Path) -> None:
    left_by(results, Run("a1", this_host(), submits=True))
    squeue(FOREIGN + JOB, JOB, "")
    with hold(results, "cancel"):
        assert (tmp_path / "cancelled").read_text() == "12\n"


def test_jobs_that_are_refused_are_not_forgotten(results: Results, squeue: Callable) -> None:
    left_by(results, Run("a1", this_host(), submits=True))
    half = results.root / ".half.parquet.tmp-7"
    half.touch()
    squeue(JOB, JOB, "")
    for _ in range(2):
        with pytest.raises(PlatemaeError, match=r"12 \(train_model mae, running\)"), hold(results):
            pass
    assert half.exists(), "a job may be writing it"
    with hold(results) as held:
        assert "a1" in {run.run_id for run in held.earlier}


def test_a_slurm_that_does_not_answer_is_no_empty_queue(results: Results, tmp_path: Path, monkeypatch) -> None:
    left_by(results, Run("a1", this_host(), submits=True))
    _program(tmp_path / "squeue", "echo Unable to contact slurm controller >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(MachineError, match="Unable to contact"), hold(results, "wait"):
        pass
    assert [run.run_id for run in read_note(results).earlier] == ["a1"]


def test_processes_of_a_killed_run_are_ended_but_not_those_of_slurms_jobs(results: Results) -> None:
    own = {**os.environ, orphans.RUN_ID: "a1"}
    own.pop("SLURM_JOB_ID", None)
    left = subprocess.Popen(["sleep", "60"], env=own)
    job = subprocess.Popen(["sleep", "60"], env=own | {"SLURM_JOB_ID": "12"})
    left_by(results, Run("a1", this_host()))
    with hold(results):
        assert not psutil.pid_exists(left.pid)
        assert job.poll() is None
    job.kill()
    job.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"host": "x", "run_id": "1", "processes": []})])
def test_a_torn_note_is_one_clear_error(results: Results, text: str) -> None:
    note_file(results).parent.mkdir(parents=True)
    note_file(results).write_text(text)
    with pytest.raises(PlatemaeError, match="cannot be read") as refused, hold(results):
        pass
    assert "delete it" in refused.value.remedy
