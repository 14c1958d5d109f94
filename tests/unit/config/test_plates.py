"""plates.tsv and layouts: every problem named with file, row and column."""

import pytest

from platemae.config.plates import (
    Plate,
    check_layouts,
    layout_files,
    layout_options,
    read_layout,
    read_plates,
    resolve,
)
from platemae.config.sections import Config
from platemae.config.slices import stage_config
from platemae.errors import ConfigError
from platemae.layout import MANIFESTS

HEADER = "plate\tbatch\treader\tpath\tlayout\n"


def table(tmp_path, rows, layouts=("a.tsv",)):
    for name in layouts:
        (tmp_path / name).write_text("well\tperturbation\tcontrol_type\nA01\tx\ttreatment\n")
    path = tmp_path / "plates.tsv"
    path.write_text(HEADER + "".join("\t".join(row) + "\n" for row in rows))
    return path


def test_rows_are_read_as_written(tmp_path):
    path = table(tmp_path, [("P1", "B1", "r", "raw/P1", "a.tsv")])
    assert read_plates(path, ["r"]) == [Plate("P1", "B1", "r", "raw/P1", "a.tsv")]


def test_all_problems_at_once_with_row_and_column(tmp_path):
    rows = [
        ("P1", "B1", "r", "raw", "a.tsv"),
        ("P1", "B1", "r", "raw", "a.tsv"),
        ("P2", "B1", "nope", "raw", "a.tsv"),
        ("P3", "B1", "r", "raw", "missing.tsv"),
        ("P4", "B1", "r", "raw", ""),
        ("../P5", "B1", "r", "raw", "a.tsv"),
    ]
    with pytest.raises(ConfigError) as error:
        read_plates(table(tmp_path, rows), ["r"])
    text = str(error.value)
    assert "P1 stands in rows 2 and 3" in text
    assert "row 4, column reader" in text
    assert "row 5, column layout" in text
    assert "plate P4 has no layout" in text
    assert "'../P5' cannot be a plate" in text


def test_a_table_without_cells_has_no_pooled_plate_and_one_with_cells_names_what_is_missing(tmp_path):
    path = table(tmp_path, [("P1", "B1", "r", "raw", "a.tsv")])
    (tmp_path / "c.csv").write_text("")
    path.write_text(path.read_text().replace("layout\n", "layout\tcells\n").replace("a.tsv\n", "a.tsv\tc.csv\n"))
    assert read_plates(path, ["r"]) == [Plate("P1", "B1", "r", "raw", "a.tsv", "c.csv")]
    path.write_text(path.read_text() + "P2\tB1\tr\traw\ta.tsv\t\nP3\tB1\tr\traw\ta.tsv\tnone.csv\n")
    with pytest.raises(ConfigError, match=r"cells of plate P3 are missing: none.csv") as error:
        read_plates(path, ["r"])
    assert "row 4, column cells" in error.value.where


def test_a_folder_is_a_layout_when_it_holds_barcodes(tmp_path):
    path = table(tmp_path, [("P1", "B1", "r", "raw", "maps")])
    (tmp_path / "maps").mkdir()
    with pytest.raises(ConfigError, match=r"maps is a folder without barcode_platemap.csv"):
        read_plates(path, ["r"])
    (tmp_path / "maps" / "barcode_platemap.csv").write_text("")
    assert read_plates(path, ["r"])[0].layout == "maps"


def test_layout_problems_name_their_cells(tmp_path):
    path = tmp_path / "l.tsv"
    path.write_text(
        "well\tperturbation\tgene\tconcentration\tcontrol_type\n"
        "A1\tg\tG\t\ttreatment\nA01\tg\tG\t\ttreatment\nB1\t\t\t\ttreatment\nC1\tg\t\tmuch\tnegcon\nXX\tg\t\t\tcontrol\nD1\tg\t\t\tcontrol\n"
    )
    with pytest.raises(ConfigError) as error:
        read_layout(path)
    text = str(error.value)
    for part in (
        "A01 stands twice",
        "row 4, column perturbation",
        "'much' is no concentration",
        "'XX' is no well",
        "unknown control type 'control'",
    ):
        assert part in text, part


def test_layout_cells_are_read(tmp_path):
    path = tmp_path / "l.tsv"
    path.write_text("well\tperturbation\tgene\tcontrol_type\nb2\tG1_g1\tG1\ttreatment\n")
    assert read_layout(path) == {
        "B02": {"perturbation": "G1_g1", "gene": "G1", "compound": "", "concentration": "", "control_type": "treatment"}
    }


def test_a_run_without_any_negative_control_is_refused(tmp_path):
    path = table(tmp_path, [("P1", "B1", "r", "raw", "a.tsv")])
    with pytest.raises(ConfigError, match="negative control"):
        check_layouts(read_plates(path, ["r"]), tmp_path)


def test_paths_start_at_the_data_root_when_written_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PLATEMAE_DATA", "/data")
    assert str(resolve("$PLATEMAE_DATA/x/y", tmp_path)) == "/data/x/y"
    assert resolve("x/y", tmp_path) == tmp_path / "x/y"
    monkeypatch.delenv("PLATEMAE_DATA")
    with pytest.raises(ConfigError, match="PLATEMAE_DATA is not set"):
        resolve("$PLATEMAE_DATA/x", tmp_path)


# -- all layouts of a run ---------------------------------------------------------------------------------------------


def write_layout(path, *rows):
    path.write_text("well\tperturbation\tcontrol_type\n" + "".join("\t".join(row) + "\n" for row in rows))


def test_labels_that_no_layout_maps_are_one_error_with_the_counts_of_the_run(tmp_path):
    write_layout(tmp_path / "a.tsv", ("A1", "g1", "trt"), ("A2", "", "negcon"))
    write_layout(tmp_path / "b.tsv", ("A1", "g1", "trt"), ("A2", "g2", "trt"), ("A3", "g3", "pos"))
    plates = [Plate(f"P{i}", "B", "r", "raw", layout) for i, layout in enumerate(("a.tsv", "b.tsv", "b.tsv"))]
    with pytest.raises(ConfigError) as error:
        check_layouts(plates, tmp_path)
    assert error.value.what == (
        "unknown control types 'trt' (3 wells), 'pos' (1 well); known ones are 'negcon' (1 well)"
    )
    assert error.value.where == f"{tmp_path / 'a.tsv'} and 1 more"
    mapped = layout_options({"control_types": {"trt": "treatment", "pos": "poscon"}}, tmp_path)
    check_layouts(plates, tmp_path, mapped)


def test_the_controls_of_a_pooled_run_are_cells(tmp_path):
    write_layout(tmp_path / "a.tsv", ("A1", "pooled", "treatment"))
    check_layouts([Plate("P1", "B", "r", "raw", "a.tsv", "cells.csv")], tmp_path)
    with pytest.raises(ConfigError, match="negative control"):
        check_layouts([Plate("P1", "B", "r", "raw", "a.tsv")], tmp_path)


def test_a_plate_depends_on_its_own_plate_map_the_metadata_and_its_cells(tmp_path):
    (tmp_path / "maps" / "platemap").mkdir(parents=True)
    barcodes = tmp_path / "maps" / "barcode_platemap.csv"
    barcodes.write_text("Assay_Plate_Barcode,Plate_Map_Name\nP1,M1\nP2,M2\n")
    plate = Plate("P2", "B", "r", "raw", "maps", "cells.csv")
    wanted = [tmp_path / "maps" / "platemap" / "M2.txt", tmp_path / "genes.csv", tmp_path / "cells.csv"]
    assert layout_files(plate, {"metadata": ["genes.csv"]}, tmp_path) == wanted
    assert layout_files(Plate("P9", "B", "r", "raw", "maps"), {}, tmp_path) == [barcodes]
    assert layout_files(Plate("P9", "B", "r", "raw", "a.tsv"), {}, tmp_path) == [tmp_path / "a.tsv"]


def test_layouts_and_cells_of_a_plate_rerun_its_ingest_alone():
    plates = [Plate("P1", "B", "synthetic", "raw", "a.tsv"), Plate("P2", "B", "synthetic", "raw", "a.tsv")]
    mapped = Config(layouts={"control_types": {"trt": "treatment"}})
    pooled = [Plate("P1", "B", "synthetic", "raw", "a.tsv", "cells.csv"), plates[1]]

    def slices(config, plates):
        names = {"model": "mae_tiny", "correction": "tvn", "intensity": "controls", "dataset": "screen"}
        names |= {"fit_on": "negcon"}
        jobs = {}
        for stage, path in MANIFESTS.items():
            used = {key: name for key, name in names.items() if f"{{{key}}}" in path}
            for plate in ("P1", "P2") if "{plate}" in path else ("",):
                jobs[stage, plate] = stage_config(config, plates, stage, **used, **({"plate": plate} if plate else {}))
        return jobs

    first = slices(Config(), plates)
    changed = {job for job, cfg in slices(mapped, plates).items() if cfg != first[job]}
    assert changed == {("ingest_plate", "P1"), ("ingest_plate", "P2")}
    assert {job for job, cfg in slices(Config(), pooled).items() if cfg != first[job]} == {("ingest_plate", "P1")}
