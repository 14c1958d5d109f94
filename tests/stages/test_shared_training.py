"""A training that two projects share: one trains, the other exports the same weights."""

import json
import os
import shutil

import pytest

from platemae.errors import MissingError, TrainingError
from platemae.layout import Results
from platemae.sharing.root import SHARED
from platemae.stages import train_model


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """An empty shared folder."""
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv(SHARED, str(folder))
    return folder


def train(results: Results, cfg, **extra):
    manifest = train_model.run(results, cfg, model="m", threads=1, **extra)
    manifest.write(results.manifest("train_model", model="m"))
    return manifest


def no_training(monkeypatch):
    def refuse(*_):
        pytest.fail("it is trained again")

    monkeypatch.setattr(train_model, "train_in_processes", refuse)


def test_the_second_project_takes_finished_weights(make_screen, train_cfg, shared, monkeypatch):
    first = train(make_screen("one"), train_cfg(steps=2))
    no_training(monkeypatch)
    two = make_screen("two")
    assert train(two, train_cfg(steps=2)) == first
    assert [path.is_symlink() for path in (two.root / "models/.state").iterdir()] == [True]
    monkeypatch.delenv(SHARED)
    assert train(two, train_cfg(steps=2)) == first, "its link finds it without the variable, too"


def test_a_living_training_of_another_project_is_waited_for(make_screen, train_cfg, shared, monkeypatch):
    train(make_screen("one"), train_cfg(steps=2))
    (state,) = (shared / "models").iterdir()
    shutil.rmtree(state / "finished")  # the other project is not done yet; what is finished is taken without a lease
    held = {"host": os.uname().nodename, "processes": [{"pid": os.getpid(), "created": _created()}]}
    (state / "lease.json").write_text(json.dumps(held))
    monkeypatch.setattr(train_model, "WAIT_SECONDS", 0.0)
    with pytest.raises(TrainingError, match="another process works on this training"):
        train(make_screen("two"), train_cfg(steps=2))


def test_to_train_again_leaves_the_shared_training_alone(make_screen, train_cfg, shared, monkeypatch):
    one, two = make_screen("one"), make_screen("two")
    first = train(one, train_cfg(steps=2))
    (state,) = (shared / "models").iterdir()
    before = (state / "finished" / "model.safetensors").stat()
    train(two, train_cfg(steps=2))
    assert train(two, train_cfg(steps=2), retrain=True) == first
    assert [path.is_symlink() for path in (two.root / "models/.state").iterdir()] == [False]
    assert (state / "finished" / "model.safetensors").stat() == before


def test_a_shared_training_that_is_gone_is_named(make_screen, train_cfg, shared, monkeypatch):
    one = make_screen("one")
    train(one, train_cfg(steps=2))
    shared.rename(shared.with_name("elsewhere"))
    monkeypatch.delenv(SHARED)
    with pytest.raises(MissingError, match="the shared training is gone") as error:
        train(one, train_cfg(steps=2))
    assert str(shared) in error.value.where


def _created() -> float:
    import psutil

    return psutil.Process().create_time()
