"""Names of images are understood without being told: whatever the order of their parts."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.preflight.file_names import guess_pattern
from platemae.wells import join_well, parse_well

WELLS = ["A01", "A02", "B07", "H12"]


def read_back(pattern, names):
    """Well, field, channel and depth of each name, as the pattern says."""
    found = []
    for name in names:
        groups = re.fullmatch(pattern, name).groupdict()
        well = parse_well(groups["well"]) if "well" in groups else join_well(groups["row"], groups["column"])
        found.append((well, int(groups.get("field") or 0), groups["channel"], int(groups.get("z") or 0)))
    return found


@pytest.mark.parametrize(
    ("form", "channels"),
    [
        ("P1_{well}_s{field}_{channel}.tif", ("w1", "w2")),
        ("{well}_01_{number}_{field}_{channel}_001.tif", ("DAPI", "GFP")),
        ("screen_{well}_T0001F{field:03d}L01A01Z{z:02d}{channel}.tif", ("C01", "C02")),
        ("r{row:02d}c{column:02d}f{field:02d}p{z:02d}-{channel}sk1fk1fl1.tiff", ("ch1", "ch2")),
        ("Plate 7 {well} (fld {field} wv {channel}).tif", ("DAPI", "FITC")),
        ("{channel}-{letter}-{column:02d}.tif", ("Channel1", "Channel2")),
        ("exp1_{well}_{field}_{channel}.png", ("hoechst", "mito")),
    ],
)
def test_common_forms_are_read_right(form, channels):
    names, truth = [], []
    for well in WELLS:
        for field in (1, 2) if "{field" in form else (0,):
            for number, channel in enumerate(channels):
                for z in (1, 2) if "{z" in form else (0,):
                    parts = {"row": ord(well[0]) - 64, "column": int(well[1:]), "letter": well[0], "number": number + 1}
                    names.append(form.format(well=well, field=field, channel=channel, z=z, **parts))
                    truth.append((well, field, channel, z))
    guess = guess_pattern(sorted(names))
    assert guess is not None
    assert sorted(guess.channels) == sorted(channels)
    assert sorted(read_back(guess.pattern, names)) == sorted(truth)


@given(
    order=st.permutations(["well", "field", "channel"]),
    sign=st.sampled_from(["_", "-", " ", "."]),
    wells=st.lists(st.sampled_from([f"{r}{c:02d}" for r in "ABCDEFGH" for c in range(1, 13)]), min_size=2, unique=True),
    n_fields=st.integers(2, 9),
    channels=st.sampled_from([("DAPI", "GFP"), ("w1", "w2", "w3"), ("ch1", "ch2"), ("DNA", "ER", "Mito")]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_order_of_the_parts_does_not_matter(order, sign, wells, n_fields, channels):
    places = [(w, f, c) for w in wells for f in range(1, n_fields + 1) for c in channels]
    parts = [{"well": w, "field": f"s{f}", "channel": c} for w, f, c in places]
    names = ["x" + sign + sign.join(part[key] for key in order) + ".tif" for part in parts]
    guess = guess_pattern(names)
    assert guess is not None
    assert [found[:3] for found in read_back(guess.pattern, names)] == places


@given(st.lists(st.text(max_size=30), max_size=30))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_any_text_gives_a_pattern_or_none(names):
    guess = guess_pattern(names)
    assert guess is None or any(re.fullmatch(guess.pattern, name) for name in names)


def test_names_without_wells_or_with_two_images_a_place_give_none():
    assert guess_pattern([f"image_{i}_DAPI.tif" for i in range(9)]) is None
    assert guess_pattern([]) is None


def test_the_names_of_real_plates(shared_data):
    nf1 = sorted(p.name for p in (shared_data / "nf1-cellpainting-plate2").rglob("*.tif"))
    guess = guess_pattern(nf1)
    assert guess.channels == ("DAPI", "GFP", "RFP")
    assert {w for w, *_ in read_back(guess.pattern, nf1)} == {"B07", "D06", "D07", "F07", "H12"}
    bbbc013 = sorted(p.name for p in (shared_data / "bbbc013-rows-abcd" / "images").iterdir())
    found = read_back(guess_pattern(bbbc013).pattern, bbbc013)
    assert len(set(found)) == 96
    assert ("D12", 0, "Channel2", 0) in found
