"""Checkpoints: whole or not there; torn and foreign ones are left out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from platemae.errors import TrainingError
from platemae.training.checkpoint import CheckpointStore

IDENTITY = {"lr": 1e-4, "architecture width": 16}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    store = CheckpointStore(tmp_path / "state", IDENTITY)
    for step in (3, 6, 9):
        store.save(step, {"weights": torch.full((50,), float(step)), "history": [{"step": step}]})
    return store


def test_newest_of_two_kept(store: CheckpointStore) -> None:
    assert [path.name for path in store.files()] == ["step-000000009.pt", "step-000000006.pt"]
    assert sorted(p.name for p in store.folder.iterdir()) == ["step-000000006.pt", "step-000000009.pt"]
    found = store.load()
    assert found is not None
    assert found[0] == 9
    assert found[1]["history"] == [{"step": 9}]
    assert torch.equal(found[1]["weights"], torch.full((50,), 9.0))


def test_an_empty_folder_is_a_fresh_start(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "none", IDENTITY).load() is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    where = content.index(torch.full((50,), 9.0).numpy().tobytes())
    content[where + 5] ^= 1
    path.write_bytes(content)


def _foreign(path: Path) -> None:
    torch.save({"state_dict": torch.zeros(3)}, path)


def _code(path: Path) -> None:
    torch.save({"format": print}, path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_cut, _flip, _foreign, _code, _empty])
def test_a_spoilt_newest_file_falls_back_with_a_warning(
    store: CheckpointStore, spoil: object, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(store.files()[0])  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        found = store.load()
    assert found is not None
    assert found[0] == 6
    assert "step-000000009.pt is left out" in caplog.text


def test_another_runs_state_is_refused_and_says_why(store: CheckpointStore, caplog: pytest.LogCaptureFixture) -> None:
    other = CheckpointStore(store.folder, IDENTITY | {"lr": 2e-4})
    with pytest.raises(TrainingError, match="none of 2"):
        other.load()
    assert "other lr" in caplog.text


def test_left_over_temporary_files_are_no_checkpoints(store: CheckpointStore) -> None:
    (store.folder / ".step-000000012.pt.77").write_bytes(b"half")
    found = store.load()
    assert found is not None
    assert found[0] == 9
