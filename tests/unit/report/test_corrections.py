"""The page of corrections: how far plates stand apart before and after, and every number held by its table."""

import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.shift import plate_shifts
from platemae.contracts import Manifest
from platemae.layout import Results
from platemae.report import plate_shift
from platemae.report.blocks import Page, Table, walk
from platemae.report.page import render
from platemae.report.sections import corrections
from platemae.report.source import Source
from platemae.store.parquet import write_parquet
from tests.unit.report.picked import wrong_numbers

HOSTILE = "<img src=x onerror=alert(1)>"
PLATES = ("P1", "P2", "P3", HOSTILE)
CFG = {
    "plates": list(PLATES),
    "map_plates": list(PLATES),
    "measured_plates": [],
    "embedded_plates": list(PLATES),
    "models": [{"name": "mae", "kind": "mae"}],
    "corrections": [{"name": "none", "kind": "none"}, {"name": "center", "kind": "center"}],
    "benchmarks": [],
}


def wells(controls: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Ten wells a plate, the first ones controls; the last plate lies far off."""
    x_ND = np.random.default_rng(0).normal(size=(40, 6)) + np.repeat([0, 0.5, 1, 4], 10)[:, None]
    kind = np.tile(["negcon"] * controls + ["treatment"] * (10 - controls), 4)
    return x_ND, pd.DataFrame({"Metadata_Plate": np.repeat(PLATES, 10), "Metadata_Control_Type": kind})


def made(root, controls: int = 4) -> Source:
    results = Results(root)
    x_ND, obs = wells(controls)
    plate_Q4 = x_ND.reshape(4, 10, 6)
    centred = (plate_Q4 - plate_Q4[:, : max(controls, 1)].mean(axis=1, keepdims=True)).reshape(40, 6)
    for name, values in (("none", x_ND), ("center", centred)):
        pair = {"model": "mae", "correction": name}
        Manifest("fit_correction", "0", {"kind": name, "n_controls": 16}).write(
            results.manifest("fit_correction", **pair)
        )
        write_parquet(plate_shifts(values, obs), results.plate_shifts(**pair))
    return Source(results, CFG)


def page_of(source: Source) -> str:
    return render("t", [Page("corrections", "Corrections", [corrections.build(source)])])


def tables(source: Source) -> list[Table]:
    page = Page("corrections", "Corrections", [corrections.build(source)])
    return [block for block in walk([page]) if isinstance(block, Table)]


def summary(source: Source) -> Table:
    return next(table for table in tables(source) if "median" in table.columns)


def test_plates_stand_apart_before_and_not_after(tmp_path):
    source = made(tmp_path)
    before, wells_before, after, wells_after = ([str(cell) for cell in row] for row in summary(source).rows)
    assert (before[:3], wells_after[:3]) == (["mae", "none", "controls"], ["mae", "center", "wells"])
    controls = plate_shifts(*wells(4))[:4]
    expected = [f"{value:.2f}" for value in (controls["shift"].median(), 0.43, controls["shift"].max())]
    assert before[3:] == [*expected, HOSTILE]
    assert after[3:] == ["0.00", "0.43", "0.00", ""]
    assert 0 < float(wells_after[3]) < float(wells_before[3])


def test_every_plate_has_its_row_the_furthest_off_first(tmp_path):
    table = next(table for table in tables(made(tmp_path)) if table.columns[0] == "plate")
    assert [row[0] for row in table.rows] == [HOSTILE, "P1", "P2", "P3"]
    assert [str(row[1]) for row in table.rows] == ["4"] * 4
    assert [str(row[5]) for row in table.rows] == ["10"] * 4


def test_numbers_equal_their_table_and_names_are_text(tmp_path):
    page = page_of(made(tmp_path))
    wrong, compared = wrong_numbers(page, tmp_path)
    assert wrong == []
    assert compared > 2 * 4 * 8
    assert "<img src=x" not in page


def test_many_plates_are_cut_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(plate_shift, "MAX_ROWS", 6)
    monkeypatch.setattr(plate_shift, "LEAST_ROWS", 1)
    source = made(tmp_path)
    assert "shift of 4 plates (the 3 furthest off; maps/mae/none.plates.parquet has all)" in page_of(source)
    assert all(len(table.rows) == 3 for table in tables(source) if table.columns[0] == "plate")


def test_without_controls_wells_stand_alone_and_it_is_said(tmp_path):
    source = made(tmp_path, controls=0)
    assert [row[2] for row in summary(source).rows] == ["wells", "wells"]
    assert "No two plates have negative controls" in page_of(source)
    assert wrong_numbers(page_of(source), tmp_path)[0] == []


def test_rows_that_are_cells_are_called_so(tmp_path):
    source = made(tmp_path)
    assert "Rows of an embedding" not in page_of(source)
    for rows in ("well", "cell"):
        embedded = Manifest("embed_plate", "0", {"rows": rows})
        embedded.write(source.results.manifest("embed_plate", model="mae", plate="P1"))
        page = page_of(Source(source.results, CFG))
        assert ("Rows of an embedding are cells here" in page) == (rows == "cell")
        assert ("a guide in a well as one well" in page) == (rows == "cell")


@pytest.mark.parametrize("how", ["no map", "one plate"])
def test_what_was_not_measured_is_said(tmp_path, how):
    source = made(tmp_path)
    for name in ("none", "center"):
        path = source.results.plate_shifts("mae", name)
        if how == "no map":
            path.unlink()
        else:
            x_ND, obs = wells(4)
            write_parquet(plate_shifts(x_ND[:10], obs[:10]), path)
    assert "Not measured: no map holds them." in page_of(source)
