"""Copies of plates on the node: whole, shared, bounded, and never needed."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from platemae.data import node_cache
from platemae.data.node_cache import LIST, NodeCache
from platemae.errors import ConfigError
from platemae.store.plate_reader import SHARD_FILE, PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

GROUP = "A/1/0"


def plate(folder, name: str, seed: int):
    pixels = np.random.default_rng(seed).integers(0, 60_000, (1, 64, 64), dtype=np.uint16)
    path = folder / "shared" / f"{name}.zarr"
    sources = [FieldSource(GROUP, "0", "f", lambda: pixels)]
    write_plate(path, name, sources, [StoreChannel("DNA", "DNA")], 0.5, chunk_px=64, threads=1)
    return path


def size_gb(path) -> float:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / node_cache.GIGABYTE


@pytest.fixture
def cache(tmp_path) -> NodeCache:
    return NodeCache(str(tmp_path / "node"), 1.0)


def test_a_disk_without_locks_has_no_copies(tmp_path, cache, monkeypatch, caplog):
    def no_locks(file, operation):
        raise OSError(errno.ENOSYS, "no locks here")

    store = plate(tmp_path, "P1", 0)
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert cache.path_of(store) == store
    assert "is read where it lies" in caplog.text


def test_a_plate_is_copied_once_and_reads_alike(tmp_path, cache, monkeypatch):
    store = plate(tmp_path, "P1", 0)
    copied = []
    real = node_cache._copy
    monkeypatch.setattr(node_cache, "_copy", lambda a, b: copied.append(a) or real(a, b))
    found = cache.path_of(store)
    assert found != store
    assert cache.folder in found.parents
    np.testing.assert_array_equal(PlateStore(found).read_field(GROUP), PlateStore(store).read_field(GROUP))
    n_files = len(copied)
    assert n_files == len([p for p in store.rglob("*") if p.is_file()])
    assert NodeCache(str(tmp_path / "node"), 1.0).path_of(store) == found
    assert len(copied) == n_files


def test_another_content_is_another_copy(tmp_path, cache):
    first = cache.path_of(plate(tmp_path, "P1", 0))
    second = cache.path_of(plate(tmp_path, "P1", 1))
    assert first != second
    assert not np.array_equal(PlateStore(first).read_field(GROUP), PlateStore(second).read_field(GROUP))


def test_the_longest_unused_gives_way(tmp_path):
    stores = [plate(tmp_path, name, i) for i, name in enumerate(("P1", "P2", "P3"))]
    limit = 2.5 * size_gb(stores[0])
    copies = []
    for age, store in zip((300, 900), stores, strict=False):
        copies.append(NodeCache(str(tmp_path), limit).path_of(store))  # the cache goes out of use with its process
        os.utime(copies[-1].parent.with_name(f"{copies[-1].parent.name}.lock"), (age, age))
    third = NodeCache(str(tmp_path), limit).path_of(stores[2])
    assert third != stores[2]
    assert not copies[0].exists()
    assert copies[1].exists()


def test_what_is_in_use_stays_and_the_store_is_read_instead(tmp_path, caplog):
    stores = [plate(tmp_path, name, i) for i, name in enumerate(("P1", "P2"))]
    cache = NodeCache(str(tmp_path), 1.5 * size_gb(stores[0]))
    first = cache.path_of(stores[0])
    with caplog.at_level(logging.WARNING):
        assert cache.path_of(stores[1]) == stores[1]
    assert first.exists()
    assert "read where it lies" in caplog.text


def test_nothing_but_copies_is_ever_removed(tmp_path):
    store = plate(tmp_path, "P1", 0)
    cache = NodeCache(str(tmp_path / "node"), 0.5 * size_gb(store))
    other = cache.folder / "somebody" / "thesis.txt"
    other.parent.mkdir()
    other.write_text("years of work")
    assert cache.path_of(store) == store
    assert other.exists()


def test_a_torn_copy_is_made_again_and_rests_of_a_killed_one_go(tmp_path, cache):
    store = plate(tmp_path, "P1", 0)
    found = NodeCache(str(tmp_path / "node"), 1.0).path_of(store)
    (found / GROUP / SHARD_FILE).write_bytes(b"")
    rest = cache.folder / ".0123.copying"
    rest.mkdir()
    assert cache.path_of(store) == found
    np.testing.assert_array_equal(PlateStore(found).read_field(GROUP), PlateStore(store).read_field(GROUP))
    assert not rest.exists()


def test_a_copy_that_differs_is_not_used(tmp_path, cache, monkeypatch, caplog):
    store = plate(tmp_path, "P1", 0)

    def flipped(source, target):
        content = bytearray(source.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(content)

    monkeypatch.setattr(node_cache.shutil, "copyfile", flipped)
    with caplog.at_level(logging.WARNING):
        assert cache.path_of(store) == store
    assert "differs from what was copied" in caplog.text
    assert [p for p in cache.folder.iterdir() if p.is_dir()] == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, cache, monkeypatch, caplog):
    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(node_cache, "_lock_file", denied)
    store = plate(tmp_path, "P1", 0)
    with caplog.at_level(logging.WARNING):
        assert cache.path_of(store) == store
    assert "cannot be used" in caplog.text


def test_processes_share_one_copy(tmp_path):
    store = plate(tmp_path, "P1", 0)
    code = """
import sys
from pathlib import Path
from platemae.data.node_cache import NodeCache
print(NodeCache(sys.argv[1], 1.0).path_of(Path(sys.argv[2])))
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(store)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate(timeout=60)[0].strip() for process in running}
    assert len(found) == 1
    listed = json.loads((next(iter(map(type(store), found))).parent / LIST).read_text())
    assert all(name.startswith("P1.zarr/") for name in listed)


def test_variables_are_replaced_and_unset_ones_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(tmp_path))
    assert NodeCache("$NODE_DISK/copies", 1.0).folder == tmp_path / "copies" / "platemae-plates"
    monkeypatch.delenv("NODE_DISK")
    with pytest.raises(ConfigError, match=r"no \$NODE_DISK here"):
        NodeCache("$NODE_DISK/copies", 1.0)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        NodeCache(str(tmp_path / "file"), 1.0)
