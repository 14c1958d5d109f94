"""Plates found by name and batch, against a walk over all of them."""

from random import Random

import pytest

from platemae.config import Config, stage_config
from platemae.config.chosen_plates import unit_plates
from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate

PLATES = [Plate(f"P{i}", f"B{i // 3}", "synthetic", "raw", "layout.tsv") for i in range(11)]
Random(1).shuffle(PLATES)
BY_BATCH = Config.model_validate({"corrections": [{"name": "tvn", "kind": "tvn", "batch_unit": "batch"}]})


def test_names_and_batches_are_those_of_a_walk():
    table = PlateTable(PLATES)
    assert list(table) == PLATES, "rows keep their order"
    assert list(table.names) == sorted(plate.plate for plate in PLATES)
    for plate in PLATES:
        assert table.by_name[plate.plate] is plate
        together = sorted(other.plate for other in PLATES if other.batch == plate.batch)
        assert list(table.of_batch[plate.batch]) == together
    assert PlateTable.of(table) is table


@pytest.mark.parametrize("mapped", [None, ["P1", "P7", "P4"]])
def test_the_plates_of_a_batch_are_those_on_the_maps_and_itself(mapped):
    config = BY_BATCH if mapped is None else BY_BATCH.model_copy(
        update={"map": BY_BATCH.map.model_copy(update={"plates": mapped})}
    )  # fmt: skip
    on_map = {plate.plate for plate in PLATES} if mapped is None else set(mapped)
    for plate in PLATES:
        together = {other.plate for other in PLATES if other.batch == plate.batch} & on_map
        assert unit_plates(config, PLATES, "tvn", plate.plate) == sorted(together | {plate.plate})


def test_a_list_and_a_table_give_one_slice():
    names = {"model": "mae_tiny", "correction": "tvn", "plate": "P4"}
    asked = {
        "ingest_plate": ("plate",),
        "embed_plate": ("model", "plate"),
        "fit_correction": ("model", "correction"),
        "correct_plate": ("model", "correction", "plate"),
        "build_map": ("model", "correction"),
        "score_map": ("model", "correction"),
        "render_report": (),
    }
    for stage, wildcards in asked.items():
        chosen = {name: names[name] for name in wildcards}
        assert stage_config(BY_BATCH, PLATES, stage, **chosen) == stage_config(
            BY_BATCH, PlateTable(PLATES), stage, **chosen
        )
