"""Fields by name, whatever the instrument's spelling."""

from platemae.readers.names import field_label, field_order


def test_fields_sort_by_number_and_lose_leading_zeros():
    labels = [field_label(text) for text in ("010", "2", "01", "left")]
    assert sorted(labels, key=field_order) == ["1", "2", "10", "left"]


def test_thousands_of_digits_are_a_text():
    digits = "9" * 5000
    assert field_label(digits) == digits
    assert sorted([digits, "3"], key=field_order) == ["3", digits]
