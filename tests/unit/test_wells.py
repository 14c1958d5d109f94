"""Places of wells, and which plate holds them."""

import pytest

from platemae.report.figures import row_name
from platemae.wells import plate_shape, well_place


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
