"""The cells of a pooled plate: joined to fields, checked, and every problem of the table at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.contracts import CELLS_COLUMNS
from platemae.errors import ConfigError, PlatemaeError
from platemae.layouts.cells import read_cells
from platemae.layouts.options import LayoutOptions
from tests.unit.layouts.test_fuzz import mutated

SHAPE = (100, 120)
OPTIONS = LayoutOptions(control_types={"ntc": "negcon", "unlabelled": "treatment"})
HEAD = "well,field,cell,y,x,perturbation,gene,control_type"


def fields():
    """Fields of a plate: two pooled wells of two fields, and a well with one perturbation."""
    places = [("A01", "1"), ("A01", "2"), ("B02", "1"), ("B02", "2"), ("C03", "1")]
    rows = [
        {"plate": "P1", "batch": "B1", "well": well, "field": field, "group": f"{well[0]}/{int(well[1:])}/{field}"}
        | {"perturbation": "pooled" if well != "C03" else "drug"}
        for well, field in places
    ]
    return pd.DataFrame(rows)


def read(path, options=OPTIONS, plate="P1"):
    return read_cells(path, plate, fields(), SHAPE, options)


def write(path, *rows, head=HEAD, separator=","):
    path.write_text("\n".join((head, *rows, "")).replace(",", separator))
    return path


ROWS = (
    "B2,01,7,99.5,119.9,g1,TP53,",
    "A01,2,1,5,6,ntc_1,,ntc",
    "a1,1,2,50.25,0,g1,TP53,",
    "A01,1,1,3,110,g2,MYC,treatment",
)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_cells_are_joined_to_their_fields_in_order(tmp_path, separator):
    cells = read(write(tmp_path / "cells.csv", *ROWS, separator=separator))
    assert list(cells.columns) == list(CELLS_COLUMNS)
    assert list(zip(cells["group"], cells["cell"], cells["perturbation"], cells["control_type"], strict=True)) == [
        ("A/1/1", "1", "g2", "treatment"),
        ("A/1/1", "2", "g1", "treatment"),
        ("A/1/2", "1", "ntc_1", "negcon"),
        ("B/2/1", "7", "g1", "treatment"),
    ]
    assert list(cells["y"]) == [3, 50.25, 5, 99.5]
    assert list(cells["x"]) == [110, 0, 6, 119.9]
    assert set(cells["plate"]) == {"P1"}
    assert list(cells["gene"]) == ["MYC", "TP53", "", "TP53"]


def test_parquet_says_the_same_as_text(tmp_path):
    text = read(write(tmp_path / "cells.csv", *ROWS))
    table = pd.read_csv(tmp_path / "cells.csv")
    table["gene"] = table["gene"].astype("string")
    for number, kind in enumerate(("int64", "float32", "Int64")):
        path = tmp_path / f"{number}.parquet"
        table.assign(field=table["field"].astype(kind), cell=table["cell"].astype(kind)).to_parquet(path)
        pd.testing.assert_frame_equal(read(path), text)
    table.set_index(["well", "field"]).to_parquet(path)
    pd.testing.assert_frame_equal(read(path), text)


def test_a_table_of_several_plates(tmp_path):
    rows = ("P1,A1,1,1,1,1,g1", "P2,Z99,9,1,-5,-5,g1")
    path = write(tmp_path / "cells.csv", *rows, head="plate,well,field,cell,y,x,perturbation")
    assert list(read(path)["perturbation"]) == ["g1"]
    with pytest.raises(ConfigError, match="no cell is of plate P3; the table names P1, P2"):
        read(path, plate="P3")


def test_metadata_and_labels_are_those_of_layouts(tmp_path):
    known = tmp_path / "guides.csv"
    known.write_text("sgRNA,symbol,control_type\ng1,TP53,targeting\nn1,,non-targeting\n")
    path = write(tmp_path / "cells.csv", "A1,1,1,1,1,g1", "A1,1,2,1,2,n1", head="well,field,cell,y,x,guide")
    cells = read(
        path, LayoutOptions(metadata=(known,), control_types={"targeting": "treatment"}, perturbations={"n1": "negcon"})
    )
    assert list(zip(cells["gene"], cells["control_type"], strict=True)) == [("TP53", "treatment"), ("", "negcon")]
    with pytest.raises(ConfigError, match=r"unknown control types 'targeting' \(1 cell\), 'non-targeting' \(1 cell\)"):
        read(path, LayoutOptions(metadata=(known,)))


def test_all_problems_at_once_with_their_rows(tmp_path):
    rows = (
        *ROWS,
        "D04,1,1,1,1,g1,,",
        f"A01,{'9' * 5000},1,1,1,g1,,",
        "C03,1,1,1,1,g1,,",
        "A01,1,8,100,1,g1,,",
        "A01,1,9,1,-0.5,g1,,",
        "A01,1,10,nan,1,g1,,",
        "A01,1,11,1,far,g1,,",
        "A01,1,1,2,2,g1,,",
        "A01,1,,2,2,g1,,",
        "A01,1,12,2,2,g1,,strange",
        "A01,1,13,2,2,,,treatment",
    )
    with pytest.raises(ConfigError) as error:
        read(write(tmp_path / "cells.csv", *rows))
    message = str(error.value)
    for part in (
        "1 cells are in wells that the plate lacks: row 6 (well D04",
        "1 cells are in fields that their well lacks: row 7 (well A01, field 999",
        "1 cells are in wells that the layout does not call pooled: row 8 (well C03",
        "1 cells lie outside their field, which is 100 x 120 pixels: row 9 ",
        "1 cells lie outside their field, which is 100 x 120 pixels: row 10 ",
        "1 cells have no number as y: row 11 ",
        "1 cells have no number as x: row 12 ",
        "2 cells share an id in their field: row 5 (well A01, field 1, cell 1), row 13 ",
        "1 cells have no id: row 14 ",
        "unknown control type 'strange' (1 cell)",
        "1 treated cells have no perturbation [",
        "row 16, column perturbation",
    ):
        assert part in message, part


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "no header"),
        ("well,field,cell,perturbation\nA1,1,1,g\n", "columns are missing: y, x; there are well, field"),
        ("well,field,cell,y,x,perturbation\n", "names no cell"),
        ("well,field,cell,y,x,X,perturbation\nA1,1,1,1,1,1,g\n", "two columns hold the same thing"),
        ("well,field,cell,y,x,perturbation\nA1,1,1,1,1,g,h\n", "a row has 7 cells"),
    ],
)
def test_tables_that_are_none(tmp_path, content, word):
    (tmp_path / "cells.csv").write_text(content)
    with pytest.raises(ConfigError, match=word):
        read(tmp_path / "cells.csv")


def test_missing_and_damaged_parquet(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "bad.parquet")
    table = pd.read_csv(write(tmp_path / "cells.csv", *ROWS)).assign(perturbation=[[1], [2], [3], [4]])
    table.to_parquet(tmp_path / "nested.parquet")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "nested.parquet")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(), st.sampled_from(["cells.csv", "cells.parquet"]))
def test_damage_is_cells_or_one_clear_error(tmp_path, chance, name):
    source = write(tmp_path / "source.csv", *ROWS)
    if name.endswith("parquet"):
        pd.read_csv(source).to_parquet(tmp_path / name)
        source = tmp_path / name
    path = tmp_path / f"damaged-{name}"
    path.write_bytes(mutated(source.read_bytes(), chance))
    try:
        cells = read(path)
    except PlatemaeError:
        return
    assert ((cells["y"] >= 0) & (cells["y"] < SHAPE[0]) & (cells["x"] >= 0) & (cells["x"] < SHAPE[1])).all()
    assert set(cells["group"]) <= set(fields()["group"])


def test_a_hundred_thousand_cells_take_a_moment(tmp_path):
    rng = np.random.default_rng(0)
    n = 100_000
    table = pd.DataFrame({"well": "A1", "field": rng.integers(1, 3, n), "cell": np.arange(n)})
    table = table.assign(y=rng.uniform(0, 100, n), x=rng.uniform(0, 120, n))
    table["perturbation"] = [f"g{i}" for i in rng.integers(0, 500, n)]
    table.to_parquet(tmp_path / "cells.parquet")
    cells = read(tmp_path / "cells.parquet")
    mine = cells.set_index(cells["cell"].astype(int)).sort_index()
    np.testing.assert_array_equal(mine["y"], table["y"])
    assert list(mine["perturbation"]) == list(table["perturbation"])


def test_control_characters_in_names_and_ids_are_refused_together(tmp_path):
    rows = (*ROWS, 'A01,1,"3\t4",3,11,g2,"MYC\t=1",treatment')
    with pytest.raises(ConfigError) as error:
        read(write(tmp_path / "cells.csv", *rows))
    assert "1 cells have an id with a line break, tab or other control character: row 6" in str(error.value)
    assert "row 6, column gene" in str(error.value)
