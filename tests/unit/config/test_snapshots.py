"""Snapshots in the configuration: rows of their own, no entries of their own."""

import pytest

from platemae.config import load_config, stage_config
from platemae.config.plates import Plate
from platemae.errors import ConfigError

PLATES = [Plate("P1", "B1", "synthetic", "P1", "layout.tsv")]
MODEL = {"name": "m", "kind": "mae", "dataset": "screen", "intensity": "controls"}


def config(*models, **sections):
    return load_config({"models": [MODEL | model for model in models], **sections})


def test_snapshots_are_rows_before_their_model():
    found = config({"snapshots": [300, 20]}, {"name": "plain"})
    assert [row.name for row in found.rows] == ["m@20", "m@300", "m", "plain"]
    assert found.entry("models", "m@20").parent == "m"
    assert stage_config(found, PLATES, "compare_models")["models"] == ["m@20", "m@300", "m", "plain"]
    assert [m["parent"] for m in stage_config(found, PLATES, "render_report")["models"]] == ["m", "m", None, None]


def test_what_a_training_reads_does_not_depend_on_its_snapshots():
    plain, with_snapshots = config({}), config({"snapshots": [20]})
    of_model = stage_config(plain, PLATES, "train_model", model="m")
    assert stage_config(with_snapshots, PLATES, "train_model", model="m") == of_model
    assert stage_config(with_snapshots, PLATES, "train_model", model="m@20") == of_model | {"snapshot": 20}


def test_a_snapshot_is_embedded_and_scored_as_its_model():
    found = config({"snapshots": [20], "embed": {"tiling": "drop"}})
    for stage, more in (("embed_plate", {"plate": "P1"}), ("score_map", {"correction": "tvn"})):
        of_model, of_snapshot = (stage_config(found, PLATES, stage, model=name, **more) for name in ("m", "m@20"))
        assert of_snapshot == of_model


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"snapshots": [800]}, "800 of 800 steps"),
        ({"snapshots": [50], "train": {"steps": 50}}, "50 of 50 steps"),
        ({"snapshots": [0]}, "snapshots cannot be 0"),
        ({"snapshots": [20, 20]}, "m@20 is used twice"),
        ({"kind": "untrained", "snapshots": [20]}, "snapshots belong to the kinds that are trained here"),
    ],
)
def test_snapshots_that_cannot_be(model, problem):
    with pytest.raises(ConfigError, match=problem):
        config(model)


def test_a_snapshots_name_is_taken():
    with pytest.raises(ConfigError, match="m@20 is used twice"):
        config({"snapshots": [20]}, {"name": "m@20"})
