"""A layout as a table, well formed and not: the same wells come out, and every problem names its place."""

import gzip
import os

import pytest

from platemae.errors import ConfigError
from platemae.layouts import text
from platemae.layouts.read import read_layout
from tests.unit.layouts.reading import TREATED, read, refused, write


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n"])
def test_the_separator_is_told_from_the_header(tmp_path, separator, start):
    lines = ("Well Position", "Perturbation, in words", "perturbation", "control_type"), ("b2", "a;b,c", "g1", "negcon")
    path = tmp_path / "layout.txt"
    path.write_text(start + "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines), "utf-8")
    assert read(path)["B02"]["perturbation"] == "g1"


def test_configured_names_come_before_well_known_ones(tmp_path):
    path = write(tmp_path / "l.csv", "well,Position,perturbation,Reagent,Kind", "Z,A1,no,siX,negcon")
    given = {"well": "Position", "perturbation": "Reagent", "control_type": "Kind"}
    assert read(path, columns=given)["A01"]["perturbation"] == "siX"
    assert "there is no column 'reagent'" in refused(path, columns={"gene": "reagent"})


def test_a_row_and_a_column_make_a_well(tmp_path):
    path = write(tmp_path / "l.csv", "row;col;drug;concentration;unit", "C;3;taxol;250;nM", "D;4;taxol;1;uM")
    layout = read_layout(path, "P1", TREATED)
    assert {well: (w["compound"], w["perturbation"], w["concentration"]) for well, w in layout.items()} == {
        "C03": ("taxol", "taxol", "0.25"),
        "D04": ("taxol", "taxol", "1"),
    }


def test_units_that_no_factor_joins_are_refused_among_treated_wells_alone(tmp_path):
    head = "well,compound,concentration,unit,control_type"
    rows = ("A1,taxol,1,uM,treatment", "A2,dmso,0.1,%,negcon")
    assert read(write(tmp_path / "l.csv", head, *rows))["A02"]["concentration"] == "0.1"
    assert "different units: molar (1 wells), % (1 wells)" in refused(
        write(tmp_path / "l.csv", head, *rows, "A3,soap,0.1,%,treatment")
    )


def test_all_problems_of_a_table_come_together(tmp_path):
    path = write(
        tmp_path / "l.tsv",
        "well\tperturbation\tconcentration\tcontrol_type",
        "A1\tg\t\ttreatment",
        "A01\tg\t\ttreatment",
        "Q99\tg\t\ttreatment",
        "B1\t\t\ttreatment",
        "B2\tg\tinf\ttrt",
    )
    message = refused(path)
    assert "A01 stands twice [" in message
    assert "row 3, column well" in message
    assert "'Q99' is no well" in message
    assert "B01 has no perturbation" in message
    assert "row 5, column perturbation" in message
    assert "'inf' is no concentration" in message
    assert "unknown control type 'trt' (1 well); known ones are 'treatment' (3 wells)" in message


@pytest.mark.parametrize(
    ("row", "what", "remedy"),
    [
        ("A1,,", "1 well not filled in ('blank')", "fill in perturbation and control_type"),
        ("A1,DMSO,", "1 well with a perturbation and no control type ('unlabelled')", "{DMSO: negcon}"),
        ("A1,DMSO,negcontrol", "unknown control type 'negcontrol' (1 well)", "{negcontrol: negcon}"),
        ("A1,DMSO,ctl_vector", "unknown control type 'ctl_vector' (1 well)", "{ctl_vector: ...}"),
    ],
)
def test_what_a_layout_leaves_open_is_told_from_what_it_says_wrongly(tmp_path, row, what, remedy):
    """A template that nobody filled in holds no label `blank`, and no remedy makes a control a treatment."""
    message = refused(write(tmp_path / "l.csv", "well,perturbation,control_type", row, "A2,g1,treatment"))
    assert f"{what}; known ones are 'treatment' (1 well)" in message
    assert remedy in message


def test_hundreds_of_problems_are_counted_not_listed(tmp_path):
    rows = [f"{row}{column},g,treatment" for row in "ABCDEFGH" for column in range(50, 90)]
    message = refused(write(tmp_path / "l.csv", "well,perturbation,control_type", *rows))
    assert "300 more problems" in message
    assert len(message) < 6000


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "no header"),
        (b"\n \n", "no header"),
        (b"well\tperturbation\n", "names no well"),
        (b"perturbation,control_type\ng,negcon\n", "well, or row and column"),
        (b"well,Well,perturbation\nA1,A1,g\n", "two columns hold the same thing"),
        (b"well,perturbation\nA1,g,h\n", "a row has 3 cells, the header 2"),
        (b'well,perturbation\nA1,"g\nA2,h\n', "cannot be split into cells"),
        ("well,perturbation\nA1,Gr\u00fcn\n".encode("latin-1"), "no.* UTF-8 text: byte 0xfc in line 2"),
        ("well,perturbation\nA1,g\n".encode("utf-16"), "UTF-8"),
        ("well,perturbation\nA1,g\n".encode("utf-16-le"), "zero bytes"),
        (b"\x1f\x8b\x08broken", "cannot be read"),
    ],
)
def test_what_is_no_table_is_one_clear_error(tmp_path, content, word):
    path = tmp_path / "l.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=word):
        read_layout(path, "P1", TREATED)


def test_a_packed_table_is_read_and_a_bomb_is_not(tmp_path, monkeypatch):
    path = tmp_path / "l.csv.gz"
    path.write_bytes(gzip.compress(b"well,perturbation,control_type\nA1,g,negcon\n" + b"\n" * 10_000))
    assert list(read(path)) == ["A01"]
    monkeypatch.setattr(text, "MAX_BYTES", 5000)
    with pytest.raises(ConfigError, match="larger than"):
        read(path)


def test_a_fifo_and_a_name_that_no_file_has_are_no_layouts(tmp_path):
    os.mkfifo(tmp_path / "l.csv")
    assert "a layout is missing" in refused(tmp_path / "l.csv")
    assert "a layout is missing" in refused(tmp_path / ("l" * 5000))


@pytest.mark.parametrize("text", ["inf", "1e999", "1_000", "0,5", "\u0661", "1 uM", "--1"])
def test_what_is_no_number_is_no_concentration(tmp_path, text):
    path = write(tmp_path / "l.csv", "well,concentration,control_type", f'A1,"{text}",negcon')
    assert f"{text!r} is no concentration" in refused(path)


@pytest.mark.parametrize("sign", ["\r", "\n", "\t", "\v", "\x85", "\u2028"])
def test_a_control_character_in_a_name_is_refused_with_its_place(tmp_path, sign):
    path = tmp_path / "l.csv"
    rows = f'A1,"TP53{sign}=1+1",g1,negcon,', f'A2,,"g{sign}2",treatment,', f'A3,"MYC{sign}",g3,treatment,"a{sign}b"'
    path.write_text("\n".join(["well,gene,perturbation,control_type,note", *rows, ""]), newline="")
    message = refused(path)
    assert "2 problems" in message  # both at once; outer space is cut off, and nobody reads the note
    lines = 2 if sign in "\r\n" else 1  # rows are called by their last line
    assert f"l.csv, row {1 + lines}, column gene" in message
    assert f"l.csv, row {1 + 2 * lines}, column perturbation" in message
    assert sign == "\n" or sign not in message
