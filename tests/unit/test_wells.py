"""Wells have one spelling, whatever a table or an instrument writes; places of wells, and which plate holds them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.report.mosaic import row_name
from platemae.wells import join_well, parse_well, plate_shape, split_well, well_place

ROWS = [*string.ascii_uppercase, "AA", "AB", "AC", "AD", "AE", "AF"]


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("B7", "B07"),
        ("b07", "B07"),
        ("B-7", "B07"),
        ("h12", "H12"),
        ("AF48", "AF48"),
        ("A001", "A01"),
        (" c-3 ", "C03"),
    ],
)
def test_wells_have_one_spelling(text, well):
    assert parse_well(text) == well


@pytest.mark.parametrize("text", ["", "7B", "A0", "A", "ABC1", "A100", "AG1", "ZZ1", "A49", "B7x", "B3.", "Ä1"])
def test_what_names_no_well_is_refused(text):
    with pytest.raises(ValueError, match="is no well"):
        parse_well(text)


@pytest.mark.parametrize(
    ("row", "column", "well"), [("C", "3", "C03"), ("3", "3", "C03"), ("02", "011", "B11"), (" 32", "48 ", "AF48")]
)
def test_row_and_column(row, column, well):
    assert join_well(row, column) == well


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("0", "1"),
        ("33", "1"),
        ("", "1"),
        ("A", ""),
        ("A", "B"),
        ("A", "-1"),
        ("B1", "2"),
        ("B-", "3"),
        ("9" * 5000,) * 2,
    ],
)
def test_row_and_column_that_are_no_well(row, column):
    with pytest.raises(ValueError, match="is no well"):
        join_well(row, column)


@given(st.sampled_from(ROWS), st.integers(1, 48))
def test_row_letters_and_row_numbers_name_the_same_well(row, column):
    number = ROWS.index(row) + 1
    well = join_well(row, str(column))
    assert well == join_well(f"{number:02d}", f"{column:02d}") == parse_well(f"{row.lower()}{column:03d}")
    assert split_well(well) == (row, column)
    assert well_place(well) == (number - 1, column - 1)


@pytest.mark.parametrize(("well", "place"), [("A01", (0, 0)), ("B03", (1, 2)), ("H12", (7, 11)), ("AF48", (31, 47))])
def test_a_well_has_its_place(well: str, place: tuple[int, int]) -> None:
    assert well_place(well) == place
    assert well.startswith(row_name(place[0]))


def test_what_is_no_well_is_refused() -> None:
    with pytest.raises(ValueError, match="no well"):
        well_place("12A")


@pytest.mark.parametrize(
    ("wells", "shape"),
    [
        (["A01", "B03"], (2, 3)),
        (["A01", "D12"], (8, 12)),
        (["P24"], (16, 24)),
        (["AF30"], (32, 48)),
        (["J15"], (10, 15)),  # 150 of 384
    ],
)
def test_the_plate_is_the_smallest_usual_one(wells: list[str], shape: tuple[int, int]) -> None:
    assert plate_shape(wells) == shape
