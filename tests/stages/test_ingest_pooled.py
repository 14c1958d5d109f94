"""ingest_plate of pooled plates: a table of cells joins their fields."""

import dataclasses

import pandas as pd
import pytest

from platemae.contracts import CELLS_COLUMNS
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.synthetic import PooledSettings, write_screen
from tests.stages.raw_plate import LAYOUT, base, ingest, make_cfg, nothing_half_written, write_layout

__all__ = ["base"]  # the fixture

POOLED_LAYOUT = LAYOUT | {"A02": ("pooled", "treatment"), "B01": ("pooled", "treatment")}
CELLS = ("well,field,cell,y,x,perturbation,control_type", "A2,1,1,39,55,g1,treatment", "B1,02,1,0,0,ntc,negcon")


def pooled_cfg(base, *rows):
    write_layout(base / "layout.tsv", POOLED_LAYOUT)
    (base / "cells.csv").write_text("\n".join(rows or CELLS) + "\n")
    cfg = make_cfg()
    return cfg | {"plate": cfg["plate"] | {"cells": "cells.csv"}, "layouts": {}}


def test_a_pooled_plate_has_a_table_of_its_cells(base):
    results = Results(base / "results")
    arrayed = ingest(base)
    assert not results.cells("P1").exists()
    pooled = ingest(base, cfg=pooled_cfg(base))
    cells = pd.read_parquet(results.cells("P1"))
    assert list(cells.columns) == list(CELLS_COLUMNS)
    assert list(zip(cells["group"], cells["y"], cells["x"], cells["perturbation"], strict=True)) == [
        ("A/2/0", 39, 55, "g1"),
        ("B/1/1", 0, 0, "ntc"),
    ]
    wanted = {"cells": 2, "cell_perturbations": 2, "negcon_cells": 1, "poscon_cells": 0}
    assert {key: pooled.counts[key] for key in wanted} == wanted
    assert pooled.warnings == []
    assert pooled.counts["pixels"] == arrayed.counts["pixels"]
    moved = ingest(base, cfg=pooled_cfg(base, *CELLS[:2], CELLS[2].replace("0,0", "0,1")))
    assert moved.digest != pooled.digest
    write_layout(base / "layout.tsv")
    assert ingest(base).digest == arrayed.digest
    assert not results.cells("P1").exists()


def test_cells_that_cannot_be_are_refused_before_a_pixel_is_written(base):
    with pytest.raises(ConfigError, match="which is 40 x 56 pixels: row 2") as caught:
        ingest(base, cfg=pooled_cfg(base, CELLS[0], CELLS[1].replace("39", "40"), "A1,1,1,1,1,g,treatment"))
    assert "1 cells are in wells that the layout does not call pooled: row 3" in caught.value.what
    assert nothing_half_written(base)


def test_a_pooled_plate_without_controls_or_with_bare_wells_is_warned_about(base):
    warnings = ingest(base, cfg=pooled_cfg(base, *CELLS[:2])).warnings
    assert "1 pooled wells have no cell in the table, such as B01" in warnings
    assert "no cell of the plate is a negative control" in warnings


def test_a_pooled_synthetic_plate_joins_every_cell_to_its_field(tmp_path):
    settings = PooledSettings(plates=("P1",), batches=("B1",), rows=1, columns=2, height=64, width=80)
    write_screen(tmp_path, dataclasses.replace(settings, fields_per_well=2), workers=1)
    row = pd.read_csv(tmp_path / "plates.tsv", sep="\t").iloc[0].to_dict()
    cfg = make_cfg() | {"plate": row, "reader": {"name": "synthetic", "kind": "synthetic"}}
    manifest = ingest(tmp_path, cfg=cfg)
    cells = pd.read_parquet(Results(tmp_path / "results").cells("P1"))
    truth = pd.read_csv(tmp_path / "cells" / "P1.tsv", sep="\t", dtype=str, keep_default_na=False)
    truth = truth.assign(y=truth["y"].astype(float), x=truth["x"].astype(float))
    shared = ["well", "field", "cell", "y", "x", "perturbation", "gene", "control_type"]
    keys = ["well", "field", "y", "x"]
    pd.testing.assert_frame_equal(cells[shared], truth.sort_values(keys)[shared].reset_index(drop=True))
    assert manifest.counts["cells"] == len(truth) > 10
    assert set(cells["group"]) == {"A/1/0", "A/1/1", "A/2/0", "A/2/1"}
