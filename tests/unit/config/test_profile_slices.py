"""What jobs of classical features and of profiles read of the configuration, and of other plates."""

import pytest

from platemae.config import load_config, stage_config
from platemae.config.plates import Plate
from platemae.errors import ConfigError


def plates(*names):
    return [Plate(plate=name, batch="b1", reader="r", path=name, layout="layout.tsv") for name in names]


def slice_of(model, stage="import_profiles", names=("P1", "P2"), **sections):
    readers = [{"name": "r", "kind": "synthetic"}]
    config = load_config({"readers": readers, "models": [{"name": "m"} | model]} | sections)
    wildcards = {"model": "m", "plate": "P1"} if stage == "import_profiles" else {"plate": "P1"}
    return stage_config(config, plates(*names), stage, **wildcards)


TABLE = {"kind": "profiles", "source": "table", "table": "{plate}.csv"}


@pytest.mark.parametrize(
    ("model", "read"),
    [
        ({"kind": "classical"}, ["P1", "P2"]),
        ({"kind": "classical", "feature_plates": ["P2"]}, ["P2"]),
        (TABLE, ["P1", "P2"]),
        (TABLE | {"table": "all.csv"}, []),
        (TABLE | {"table": "all.csv", "missing": "drop_wells"}, []),
        (TABLE | {"table": "all.csv", "missing": "drop_features"}, ["P1", "P2"]),
        ({"kind": "profiles", "source": "intensity_means"}, []),
        ({"kind": "profiles", "source": "well_position"}, []),
    ],
)
def test_plates_whose_features_a_job_compares_with(model, read):
    assert slice_of(model)["feature_plates"] == read


def test_a_later_plate_touches_no_other_where_plates_are_named():
    model = TABLE | {"feature_plates": ["P1", "P2"]}
    assert slice_of(model) == slice_of(model, names=("P1", "P2", "P3"))
    assert slice_of(TABLE) != slice_of(TABLE, names=("P1", "P2", "P3"))


def test_measure_is_read_by_its_own_stage_alone():
    model = {"kind": "classical"}
    changed = {"measure": {"min_cells": 9}}
    assert slice_of(model) == slice_of(model, **changed)
    assert slice_of(model, "measure_plate") != slice_of(model, "measure_plate", **changed)
    assert slice_of(model, "qc_plate") == slice_of(model, "qc_plate", **changed)


def test_classical_needs_neither_dataset_nor_intensity():
    assert slice_of({"kind": "classical"})["model"] == {"name": "m", "kind": "classical", "source": None}
    with pytest.raises(ConfigError, match="needs dataset and intensity"):
        slice_of({"kind": "mae"})


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({"features": ["costes"]}, "measure.features: there is no costes"),
        ({"features": []}, "measure.features"),
        ({"min_nucleus_um": 50}, "min_nucleus_um must be below max_nucleus_um"),
        ({"bits": 4}, "measure.bits"),
    ],
)
def test_wrong_values_are_named(measure, message):
    with pytest.raises(ConfigError, match=message):
        slice_of({"kind": "classical"}, measure=measure)
