"""plates.tsv and layouts: every problem named with file, row and column."""

import pytest

from platemae.config.plates import Plate, check_layouts, normalise_well, read_layout, read_plates, resolve
from platemae.errors import ConfigError

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


@pytest.mark.parametrize(("text", "well"), [("B7", "B07"), ("h12", "H12"), ("AF48", "AF48"), ("A001", "A01")])
def test_wells_have_one_spelling(text, well):
    assert normalise_well(text) == well


@pytest.mark.parametrize("text", ["", "7B", "A0", "A", "ABC1", "A100"])
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match="no well"):
        normalise_well(text)


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
