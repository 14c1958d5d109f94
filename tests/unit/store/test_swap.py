"""A folder appears whole or not at all, whatever is killed when."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from platemae.store import swap
from platemae.store.swap import LOCK, NEW, OLD, clear_leftovers, replaced_folder

WRITER = """
import sys, time
from pathlib import Path
from platemae.store.swap import replaced_folder
with replaced_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def read(path):
    return {p.name: p.read_text() for p in path.iterdir()}


def test_new_content_replaces_old_and_nothing_else_stays(tmp_path):
    path = tmp_path / "store"
    for text in ("one", "two"):
        with replaced_folder(path) as folder:
            (folder / "file").write_text(text)
            (folder / text).write_text("")
            assert not path.exists() or read(path)["file"] == "one"
        assert read(path) == {"file": text, text: ""}
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_an_error_leaves_the_old_one(tmp_path):
    path = tmp_path / "store"
    with replaced_folder(path) as folder:
        (folder / "file").write_text("one")
    with pytest.raises(FileNotFoundError), replaced_folder(path) as folder:
        (folder / "deeper" / "file").write_text("two")
    assert read(path) == {"file": "one"}
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_two_renames_do_where_folders_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "_exchange", lambda one, two: False)
    test_new_content_replaces_old_and_nothing_else_stays(tmp_path)


def test_the_callback_runs_between_completion_and_swap(tmp_path):
    path = tmp_path / "store"
    seen = []
    with replaced_folder(path, before_swap=lambda: seen.append(path.exists())) as folder:
        (folder / "file").write_text("one")
    assert seen == [False]


def test_leftovers_of_a_killed_writer_go_those_of_a_live_one_stay(tmp_path):
    path = tmp_path / "store"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout.readline() == "writing\n"
        assert clear_leftovers(path) == []
        assert len(list(tmp_path.glob(".store.tmp-*"))) == 1
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert len(clear_leftovers(path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path):
    temporary = tmp_path / ".store.tmp-0123"
    for name, text in ((OLD, "old"), (NEW, "new")):
        (temporary / name).mkdir(parents=True)
        (temporary / name / "file").write_text(text)
    (temporary / LOCK).write_text("")
    clear_leftovers(tmp_path / "store")
    assert read(tmp_path / "store") == {"file": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


def test_without_locks_only_old_leftovers_go(tmp_path, monkeypatch):
    def no_locks(file, operation):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with replaced_folder(tmp_path / "store") as folder:
        (folder / "file").write_text("one")
    for name, age in (("new", 60), ("stale", 3 * 24 * 3600)):
        lock = tmp_path / f".store.tmp-{name}" / LOCK
        lock.parent.mkdir()
        lock.write_text("")
        os.utime(lock, (time.time() - age,) * 2)
    assert [p.name for p in clear_leftovers(tmp_path / "store")] == [".store.tmp-stale"]
    assert (tmp_path / ".store.tmp-new").is_dir()
