"""What each job reads of the configuration: a gate re-embeds, and retrains only where the dataset asks for it."""

import pytest

from platemae.config import Config, load_config, stage_config, stage_entries
from platemae.config.plates import Plate
from platemae.errors import ConfigError

PLATES = [Plate(name, "b1", "synthetic", name, "layout.tsv") for name in ("P1", "P2")]
JOBS = {
    "qc_plate": {"plate": "P1"},
    "fit_intensity": {"intensity": "controls"},
    "build_dataset": {"dataset": "screen"},
    "train_model": {"model": "mae_tiny"},
    "embed_plate": {"model": "mae_tiny", "plate": "P1"},
    "import_profiles": {"model": "intensity_means", "plate": "P1"},
    "render_report": {},
}


def slices(plates=PLATES, **sections):
    config = Config(**sections)
    return {stage: stage_config(config, plates, stage, **wildcards) for stage, wildcards in JOBS.items()}


def changed(before, after):
    return {stage for stage in JOBS if before[stage] != after[stage]}


AFTER_THE_GATE = {"embed_plate", "import_profiles", "render_report"}


@pytest.mark.parametrize(
    ("gate", "dataset", "stages"),
    [
        ("warn", {"name": "screen"}, AFTER_THE_GATE),
        ("warn", {"name": "screen", "qc": "follow"}, AFTER_THE_GATE | {"build_dataset"}),
        ("stop", {"name": "screen", "qc": "follow"}, {"qc_plate"}),
    ],
)
def test_a_gate_changes_what_comes_after_it_and_training_only_where_asked(gate, dataset, stages):
    before = slices(datasets=[dataset])
    assert changed(before, slices(datasets=[dataset], qc={"gate": gate})) == stages


def test_a_dataset_that_follows_a_gate_that_excludes_is_the_same_dataset():
    assert changed(slices(), slices(datasets=[{"name": "screen", "qc": "follow"}])) == set()


def test_a_limit_changes_qc_alone():
    assert changed(slices(), slices(qc={"min_focus": 0.2})) == {"qc_plate"}


def test_a_map_and_a_dataset_that_name_their_plates_are_frozen_for_new_ones():
    named = {
        "intensity": [{"name": "controls", "fit_plates": ["P1", "P2"]}],
        "datasets": [{"name": "screen", "plates": ["P1", "P2"]}],
    }
    more = [*PLATES, Plate("P3", "b2", "synthetic", "P3", "layout.tsv")]
    assert changed(slices(**named), slices(more, **named)) == {"render_report"}
    assert changed(slices(), slices(more)) == {"fit_intensity", "build_dataset", "render_report"}


@pytest.mark.parametrize("key", ["quantiles", "limits"])
def test_a_map_of_no_width_is_refused(key):
    with pytest.raises(ConfigError, match=f"{key}: the first value must be below the second"):
        load_config({"intensity": [{"name": "controls", key: [0.5, 0.5]}]})


@pytest.mark.parametrize("qc", [{"limits": "fixed"}, {"warn": {"cells": [5, None]}}])
def test_fixed_limits_and_their_values_belong_together(qc):
    with pytest.raises(ConfigError, match="belong together"):
        load_config({"qc": qc})
    load_config({"qc": {"limits": "fixed", "warn": {"cells": [5, None]}}})


def test_a_checkpoint_follows_its_file_and_every_network_that_it_may_hold():
    entry = {"name": "taken", "kind": "checkpoint", "file": "w", "dataset": "screen", "intensity": "controls"}
    config = Config(models=[entry])
    train = stage_config(config, PLATES, "train_model", model="taken")
    assert train["model"]["file"] == "w"
    assert train == stage_config(Config(models=[entry], train={"lr": 0.5}), PLATES, "train_model", model="taken")
    for stage in ("train_model", "embed_plate"):
        followed = stage_entries(config, PLATES, stage, model="taken", plate="P1")
        assert {"checkpoint", "camae", "mae", "munet"} <= set(followed)
    assert stage_config(config, PLATES, "score_map", model="taken", correction="tvn")["overlap"] == "unknown"
