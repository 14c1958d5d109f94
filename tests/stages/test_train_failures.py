"""train_model: what fails is told, and is not tried again in vain."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from platemae.cli import main
from platemae.errors import ConfigError, DivergedError, MachineError, UntrainableError
from platemae.holding.orphans import RUN_ID
from platemae.store.plate_writer import FieldSource, write_plate
from tests.stages.conftest import CHANNELS, WELLS, texture
from tests.stages.trainings import results, states, train, verdict

__all__ = ["results"]  # the fixture


def test_crops_larger_than_the_fields_name_the_plate(results, train_cfg):
    with pytest.raises(ConfigError, match="plate P1 have 48 x 48 pixels, fewer than a crop of 64"):
        train(results, train_cfg(architecture={"crop_px": 64}))


def test_plates_with_other_stains_do_not_train_together(results, train_cfg, write_plate_of):
    from platemae.store.plate_reader import StoreChannel

    write_plate_of(results, "P2", (StoreChannel("DNA", "GFP"), StoreChannel("Actin", "Phalloidin")))
    with pytest.raises(ConfigError, match="plate P2 has another stain in DNA"):
        train(results, train_cfg())


def test_a_dataset_without_training_fields_is_a_failure(results, train_cfg):
    table = pd.read_parquet(results.dataset("screen"))
    table.assign(split="validation").to_parquet(results.dataset("screen"))
    with pytest.raises(UntrainableError, match="the dataset screen has no field for train"):
        train(results, train_cfg())
    assert verdict(results)["verdict"] == "failed"


def test_pixels_that_are_no_numbers_are_told(results, train_cfg):
    """Readers refuse them; a store written by others may hold some."""
    shutil.rmtree(results.store("P1"))
    spoilt = texture(1).astype(np.float32)
    spoilt[0, ::4, ::4] = np.nan
    groups = [f"{well[0]}/{int(well[1:])}/{field}" for well in WELLS for field in "01"]
    sources = [FieldSource(group, group[-1], group, lambda: spoilt) for group in groups]
    write_plate(results.store("P1"), "P1", sources, CHANNELS, 0.5, chunk_px=32, threads=1)
    with pytest.raises(DivergedError, match=r"\d+ pixels of this batch are not finite"):
        train(results, train_cfg())
    assert list(states(results)[0].glob("bad-batch-step-*.npy"))


@pytest.fixture
def training_is_forbidden(monkeypatch):
    def forbid():
        def never(*_args, **_kwargs):
            raise AssertionError("training began")

        monkeypatch.setattr("platemae.stages.train_model.train_in_processes", never)

    return forbid


def test_a_divergence_ends_the_next_attempt_at_once(results, train_cfg, training_is_forbidden):
    cfg = train_cfg(lr=1e30)
    with pytest.raises(DivergedError, match="loss"):
        train(results, cfg)
    assert verdict(results)["verdict"] == "failed"
    assert "Failed" in (states(results)[0] / "training.html").read_text()
    with pytest.raises(DivergedError):
        train(results, cfg, retrain=True)
    training_is_forbidden()
    with pytest.raises(DivergedError, match="an earlier attempt failed: loss") as error:
        train(results, cfg)
    assert "--retrain" in error.value.remedy
    with pytest.raises(AssertionError, match="training began"):
        train(results, cfg, retrain=True)
    with pytest.raises(AssertionError, match="training began"):
        train(results, train_cfg(lr=1e-3))
    assert len(states(results)) == 2, "other settings are another training"


def test_settings_that_do_not_fit_the_data_are_a_failure(results, train_cfg, training_is_forbidden):
    cfg = train_cfg(architecture={"crop_px": 64})
    with pytest.raises(ConfigError, match="fewer than a crop of 64"):
        train(results, cfg)
    training_is_forbidden()
    with pytest.raises(ConfigError, match=r"an earlier attempt failed: .* fewer than a crop of 64"):
        train(results, cfg)
    with pytest.raises(AssertionError, match="training began"):
        train(results, cfg, code="mended")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_absent_gpu_is_an_error_and_no_failure_of_the_training(results, train_cfg):
    with pytest.raises(MachineError, match="torch sees no GPU"):
        train(results, train_cfg(device="cuda"))
    assert verdict(results)["verdict"] == "continue"
    train(results, train_cfg(device="cpu"))
    assert len(states(results)) == 1


def test_jobs_of_one_run_meet_the_same_error_three_times_and_those_of_the_next_begin_anew(
    results, train_cfg, monkeypatch, capsys
):
    tried = []

    def out_of_memory(*_args):
        tried.append(os.environ[RUN_ID])
        raise MachineError(f"CUDA out of memory: {len(tried)} GiB")

    monkeypatch.setattr("platemae.stages.train_model.train_in_processes", out_of_memory)
    line = ["train-model", "--model", "m", "--code", "c", "--results", str(results.root)]
    for run_id, jobs in (("r1", 5), ("r2", 2)):
        monkeypatch.setenv(RUN_ID, run_id)
        for _ in range(jobs):
            assert main([*line, "--cfg", json.dumps(train_cfg())]) == 2
    assert tried == ["r1"] * 3 + ["r2"] * 2
    assert "3 attempts of this run ended in the same error: CUDA out of memory: 3 GiB" in capsys.readouterr().err
