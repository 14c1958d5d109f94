"""The end of the job, the launcher's word, and the command lines of one and several nodes."""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from platemae.errors import ConfigError, MachineError
from platemae.training import preempt
from platemae.training.launch import command
from platemae.training.preempt import StopRequest, ends_at, job_end, parse_end

SLURM = ("SLURM_JOB_ID", "SLURM_JOB_END_TIME", preempt.END_TIME, preempt.STOP_FILE, preempt.LAUNCHER)


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLURM:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that puts a shell script of a name in front of the PATH."""

    def put(name: str, text: str) -> None:
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return put


def test_nothing_limits_a_process_outside_a_job() -> None:
    assert job_end() is None
    assert StopRequest().reason() == ""


def test_times_are_read() -> None:
    assert parse_end("1700000000", "x") == 1.7e9
    assert parse_end("2026-11-21T18:00:00+01:00", "x") == datetime.fromisoformat("2026-11-21T17:00:00Z").timestamp()
    assert parse_end("2026-11-21T18:00:00", "x") == time.mktime((2026, 11, 21, 18, 0, 0, 0, 0, -1))
    with pytest.raises(ConfigError, match="'tomorrow' is no time"):
        parse_end("tomorrow", "--end-time")


def test_slurm_says_when_the_job_ends(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], None], tmp_path: Path
) -> None:
    program("squeue", f'echo asked >> {tmp_path}/squeue; [ "$3" = 17 ] && echo 2026-11-21T18:00:00')
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with ends_at(None):
        assert job_end() == StopRequest()._end == time.mktime((2026, 11, 21, 18, 0, 0, 0, 0, -1))
    assert (tmp_path / "squeue").read_text() == "asked\n", "once for all processes"
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1700000000")
    assert job_end() == 1.7e9
    with ends_at("1800000000"):
        assert job_end() == 1.8e9, "what is asked for comes first"
    assert job_end() == 1.7e9


@pytest.mark.parametrize("script", ["echo N/A", "exit 1", "sleep 0"])
def test_a_job_without_a_known_end_goes_on(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], None], script: str
) -> None:
    program("squeue", script)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert job_end() is None


def test_training_stops_a_margin_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]
    monkeypatch.setattr(preempt.time, "time", lambda: now[0])
    with ends_at(str(1e9 + 3600)):
        long, short = StopRequest(), None
    with ends_at(str(1e9 + 60)):
        short = StopRequest()
    assert long.reason() == short.reason() == ""
    now[0] += 31
    assert "the job ends at" in short.reason(), "half of a job that is shorter than twice the margin"
    assert long.reason() == ""
    now[0] = 1e9 + 3600 - preempt.END_MARGIN + 1
    assert "the job ends at" in long.reason()


def test_the_launchers_word_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(preempt.STOP_FILE, str(tmp_path / "stop"))
    request = StopRequest()
    assert request.reason() == ""
    (tmp_path / "stop").write_text("received SIGUSR1")
    assert request.reason() == "received SIGUSR1"


def test_a_launcher_on_another_node_is_not_looked_for_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(preempt.LAUNCHER, "elsewhere:999999999")
    assert StopRequest().reason() == ""
    monkeypatch.setenv(preempt.LAUNCHER, f"{socket.gethostname()}:999999999")
    assert "gone" in StopRequest().reason()


def test_several_nodes_are_one_step_of_the_job(
    monkeypatch: pytest.MonkeyPatch, program: Callable[[str, str], None]
) -> None:
    program("srun", "")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    line = command(["-m", "x", "y"], 4, nodes=2, threads=16)
    words = " ".join(line)
    assert line[0] == "srun"
    # Snakemake's plugin leaves of SLURM's variables the number of the job alone, so srun must be told each number.
    assert line[1:7] == [
        "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16", "--mem=0", "--kill-on-bad-exit=1",
    ]  # fmt: skip
    assert line[7:10] == [sys.executable, "-m", "platemae.training.launch"]
    assert f"--nnodes=2 --master_addr={socket.gethostname()} --master_port=" in words
    assert words.endswith("--nproc_per_node=4 -m x y")
    monkeypatch.setattr("platemae.training.launch._has_gpu", lambda: True)
    assert "--gres=gpu:4" in command(["x"], 4, nodes=2)


def test_several_nodes_need_a_job() -> None:
    with pytest.raises(MachineError, match="2 nodes are asked for, and this is no job of SLURM"):
        command(["-m", "x"], 1, nodes=2)
