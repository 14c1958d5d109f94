"""Wells and fields by name, whatever the instrument's spelling."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platemae.readers.names import field_label, field_order, join_well, parse_well, split_well

ROWS = [*string.ascii_uppercase, "AA", "AB", "AC", "AD", "AE", "AF"]


@pytest.mark.parametrize(
    ("text", "well"), [("B7", "B07"), ("b07", "B07"), ("B-7", "B07"), ("H12", "H12"), ("AF48", "AF48"), ("D007", "D07")]
)
def test_wells_get_one_spelling(text, well):
    assert parse_well(text) == well


@pytest.mark.parametrize("text", ["", "7B", "B", "B0", "B49", "ZZ1", "B7x", "AG1"])
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match="is no well"):
        parse_well(text)


@given(st.sampled_from(ROWS), st.integers(1, 48))
def test_row_letters_and_row_numbers_name_the_same_well(row, column):
    number = ROWS.index(row) + 1
    well = join_well(row, str(column))
    assert well == join_well(f"{number:02d}", f"{column:02d}") == parse_well(f"{row}{column}")
    assert split_well(well) == (row, column)


def test_fields_sort_by_number_and_lose_leading_zeros():
    labels = [field_label(text) for text in ("010", "2", "01", "left")]
    assert sorted(labels, key=field_order) == ["1", "2", "10", "left"]


def test_thousands_of_digits_are_a_text():
    digits = "9" * 5000
    assert field_label(digits) == digits
    assert sorted([digits, "3"], key=field_order) == ["3", digits]
    with pytest.raises(ValueError, match="is no well"):
        join_well(digits, digits)
