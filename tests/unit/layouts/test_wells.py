"""Wells have one spelling, whatever a table writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.layouts.wells import join_well, normalise_well


@pytest.mark.parametrize(
    ("text", "well"), [("B7", "B07"), ("h12", "H12"), ("AF48", "AF48"), ("A001", "A01"), (" c-3 ", "C03")]
)
def test_wells_have_one_spelling(text, well):
    assert normalise_well(text) == well


@pytest.mark.parametrize("text", ["", "7B", "A0", "A", "ABC1", "A100", "AG1", "A49", "B3.", "Ä1"])
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match="no well"):
        normalise_well(text)


@pytest.mark.parametrize(
    ("row", "column", "well"), [("C", "3", "C03"), ("3", "3", "C03"), ("02", "011", "B11"), ("32", "48", "AF48")]
)
def test_row_and_column(row, column, well):
    assert join_well(row, column) == well


@pytest.mark.parametrize(("row", "column"), [("0", "1"), ("33", "1"), ("", "1"), ("A", ""), ("A", "B"), ("A", "-1")])
def test_row_and_column_that_are_no_well(row, column):
    with pytest.raises(ValueError, match="is no well"):
        join_well(row, column)


@given(st.integers(1, 32), st.integers(1, 48))
def test_letters_and_numbers_of_a_row_agree(row, column):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[row - 1] if row <= 26 else "A" + "ABCDEF"[row - 27]
    assert join_well(str(row), str(column)) == normalise_well(f"{letters.lower()}{column:03d}")
