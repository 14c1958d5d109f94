"""Locks, and what stands for them where a file system has none."""

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest

from platemae import locks
from platemae.locks import alone, lock

COUNT = """
import errno, fcntl, sys, time
from pathlib import Path
from platemae.locks import alone
if sys.argv[2] == "none":
    def no_locks(file, operation):
        raise OSError(errno.ENOSYS, "no locks here")
    fcntl.flock = no_locks
counter = Path(sys.argv[1]) / "counter"
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    with alone(Path(sys.argv[1]) / "guard"):
        before = int(counter.read_text())
        time.sleep(0.001)
        counter.write_text(str(before + 1))
"""


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("locks_there", ["some", "none"])
def test_one_process_at_a_time_looks_and_writes(tmp_path, locks_there):
    (tmp_path / "counter").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path), locks_there]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    assert [one.stdout.readline() for one in processes] == ["ready\n"] * 3
    for one in processes:
        one.communicate("\n", timeout=60)
        assert one.returncode == 0
    assert (tmp_path / "counter").read_text() == "60"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter", "guard"]


def test_the_file_of_a_killed_process_is_removed_in_the_end(tmp_path, no_locks, monkeypatch):
    monkeypatch.setattr(locks, "LOOK_SECONDS", 0.001)
    left = tmp_path / "guard.made"
    left.touch()
    then = time.time() - locks.FORGOTTEN_SECONDS + 1
    os.utime(left, (then, then))
    started = time.monotonic()
    with alone(tmp_path / "guard"):
        assert time.monotonic() - started > 0.5, "a young one is waited for"
        assert left.exists()
    assert not left.exists()


def test_an_error_that_is_not_the_lack_of_locks_is_told(tmp_path, monkeypatch):
    def broken(file, operation):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with (tmp_path / "file").open("w") as file, pytest.raises(OSError, match="broken"):
        lock(file)
