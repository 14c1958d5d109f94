"""The pattern reader joins files to wells by name and tells all that is wrong at once."""

import shutil
import string
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.pattern import inventory as read_inventory
from platemae.readers.pixels import load_field

PATTERN = r"(?P<row>\d+)-(?P<column>\d+)-f(?P<field>\d+)-(?P<channel>\w+)\.tif"


def entry(pattern=PATTERN, channels=("dna", "actin")):
    named = [{"source": source, "name": source.upper(), "stain": f"{source} dye"} for source in channels]
    return {"name": "scope", "kind": "pattern", "pattern": pattern, "channels": named, "pixel_size_um": 0.5}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def inventory(folder, **kw):
    return read_inventory(folder, entry(**kw))


def test_files_join_by_name_and_gaps_shift_nothing(tmp_path):
    touch(tmp_path, "02-03-f2-dna.tif", "02-03-f2-actin.tif", "01-12-f1-actin.tif", "01-02-f1-dna.tif", "notes.txt")
    found = inventory(tmp_path)
    assert [(r.well, r.field, r.missing) for r in found.records] == [
        ("A02", "1", ["ACTIN"]),
        ("A12", "1", ["DNA"]),
        ("B03", "2", []),
    ]
    assert found.records[2].planes["ACTIN"][0].path == tmp_path / "02-03-f2-actin.tif"
    assert list(found.records[2].planes) == ["DNA", "ACTIN"]
    assert found.unmatched == ("notes.txt",)
    assert (found.files[0].name, found.files[0].size) == ("01-02-f1-dna.tif", 1)


def test_an_unpadded_well_group_and_no_field_group(tmp_path):
    touch(tmp_path, "B7_dna.tif", "B10_dna.tif", "AA1_dna.tif")
    found = inventory(tmp_path, pattern=r"(?P<well>[A-Z]+\d+)_(?P<channel>\w+)\.tif", channels=("dna",))
    assert [(r.well, r.field) for r in found.records] == [("B07", "0"), ("B10", "0"), ("AA01", "0")]


def test_a_pattern_with_a_slash_sees_the_whole_path_below_the_folder(tmp_path):
    touch(tmp_path, "raw/01-01-f1-dna.tif", "thumbs/01-01-f1-dna.tif", "raw/01-01-f1-actin.tif")
    found = inventory(tmp_path, pattern="raw/" + PATTERN)
    assert [record.missing for record in found.records] == [[]]
    assert found.unmatched == ("thumbs/01-01-f1-dna.tif",)


def test_two_files_for_one_place_are_refused_by_name(tmp_path):
    touch(tmp_path, "a/01-01-f1-dna.tif", "b/01-01-f01-dna.tif")
    with pytest.raises(InputError) as caught:
        inventory(tmp_path)
    assert "well A01, field 1, channel DNA" in caught.value.what
    assert "a/01-01-f1-dna.tif" in caught.value.what
    assert "b/01-01-f01-dna.tif" in caught.value.what


def test_an_unknown_channel_lists_found_and_expected(tmp_path):
    touch(tmp_path, "01-01-f1-dna.tif", "01-01-f1-er.tif")
    with pytest.raises(InputError, match=r"unknown channel 'er' in 1 files.*expected: dna, actin"):
        inventory(tmp_path)


def test_all_problems_come_together(tmp_path):
    touch(tmp_path, "01-01-f1-er.tif", "01-99-f1-dna.tif", "01-01-f1-dna.tif")
    with pytest.raises(InputError) as caught:
        inventory(tmp_path)
    for part in ("2 problems", "unknown channel 'er'", "column '99' is no well"):
        assert part in caught.value.what


def test_no_match_shows_what_is_there(tmp_path):
    touch(tmp_path, "image.png")
    with pytest.raises(InputError, match=r"no file matches the pattern.*1 files such as image.png"):
        inventory(tmp_path)


@pytest.mark.parametrize(("pattern", "what"), [("(", "no regular expression"), (r"(?P<channel>\w+)", "groups channel")])
def test_a_bad_pattern_names_its_key(tmp_path, pattern, what):
    with pytest.raises(ConfigError, match=what) as caught:
        inventory(tmp_path, pattern=pattern)
    assert caught.value.where == "readers: scope, pattern"


@pytest.mark.parametrize("key", ["name", "source"])
def test_channels_must_differ(tmp_path, key):
    touch(tmp_path, "01-01-f1-dna.tif")
    config = entry()
    config["channels"][1][key] = config["channels"][0][key]
    with pytest.raises(ConfigError, match="share a name or a source") as caught:
        read_inventory(tmp_path, config)
    assert caught.value.where == "readers: scope, channels"


def test_a_missing_folder(tmp_path):
    with pytest.raises(MissingError, match="folder of a plate is missing"):
        inventory(tmp_path / "nowhere")


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path):
    folder = tmp_path / "plate"
    touch(folder, "raw/01-01-f1-dna.tif")
    (folder / "01-01-f1-actin.tif").symlink_to(folder / "raw" / "01-01-f1-dna.tif")
    assert inventory(folder).records[0].missing == []
    touch(tmp_path, "secret.tif")
    (folder / "01-02-f1-dna.tif").symlink_to(tmp_path / "secret.tif")
    with pytest.raises(InputError, match="leads out of the plate's folder"):
        inventory(folder)


def test_pixels_come_in_the_order_of_the_channels(tmp_path):
    for value, channel in ((7, "actin"), (3, "dna")):
        tifffile.imwrite(tmp_path / f"01-01-f1-{channel}.tif", np.full((4, 6), value, np.uint16))
    record = inventory(tmp_path).records[0]
    assert load_field(record)[:, 0, 0].tolist() == [3, 7]


def test_the_unpadded_wells_and_missing_sites_of_the_nf1_plate(shared_data):
    folder = shared_data / "nf1-cellpainting-plate2"
    pattern = r"(?P<well>[A-H]\d+)_01_\d_(?P<field>\d)_(?P<channel>DAPI|GFP|RFP)_001\.tif"
    found = inventory(folder, pattern=pattern, channels=("DAPI", "GFP", "RFP"))
    sites = {record.well: record.field for record in found.records}
    assert sites == {"B07": "3", "D06": "2", "D07": "1", "F07": "2", "H12": "1"}
    assert not any(record.missing for record in found.records)
    assert found.unmatched == ("README.md",)
    for name, (plane,) in found.records[1].planes.items():
        assert plane.path.name == f"D6_01_{['DAPI', 'GFP', 'RFP'].index(name) + 1}_2_{name}_001.tif"


def test_the_bbbc013_plate(shared_data):
    pattern = r"Channel(?P<channel>[12])-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"
    found = inventory(shared_data / "bbbc013-rows-abcd", pattern=pattern, channels=("1", "2"))
    assert len(found.records) == 48
    assert found.records[13].well == "B02"
    assert found.records[13].planes["2"][0].path.name == "Channel2-14-B-02.tif"


def test_the_folder_may_move(tmp_path):
    touch(tmp_path / "one", "01-01-f1-dna.tif", "01-01-f1-actin.tif")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    here, there = inventory(tmp_path / "one"), inventory(tmp_path / "two")
    assert [f.name for f in here.files] == [f.name for f in there.files]


# -- any names, any order, any gap ------------------------------------------------------------------------------------

PROPERTY = settings(
    max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PLACES = st.tuples(st.integers(1, 16), st.integers(1, 24), st.integers(0, 120), st.sampled_from(["dna", "actin"]))


@given(
    places=st.lists(PLACES, min_size=1, max_size=25, unique=True),
    padding=st.tuples(*[st.integers(1, 3)] * 3),
    strangers=st.lists(st.text(string.ascii_letters + "_. ", min_size=1, max_size=12), max_size=4),
)
@PROPERTY
def test_every_image_lands_in_its_place_and_nothing_else_does(tmp_path, places, padding, strangers):
    folder = tmp_path / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    named = {}
    for row, column, field, channel in places:
        name = f"{row:0{padding[0]}}-{column:0{padding[1]}}-f{field:0{padding[2]}}-{channel}.tif"
        named[row, column, field, channel] = name
    others = {f"x{name}x" for name in strangers}
    touch(folder, *named.values(), *others)
    found = inventory(folder)
    fields = sorted({place[:3] for place in places})
    letters = string.ascii_uppercase
    assert [(r.well, r.field) for r in found.records] == [(f"{letters[y - 1]}{x:02d}", str(f)) for y, x, f in fields]
    for record, place in zip(found.records, fields, strict=True):
        for channel in ("dna", "actin"):
            name = named.get((*place, channel))
            assert [p.path.name for p in record.planes[channel.upper()]] == ([name] if name else [])
    assert {file.name for file in found.files} == set(named.values())
    assert set(found.unmatched) == others


@given(names=st.lists(st.text("-0123456789fdnactis. _\u0660\xb2", min_size=1, max_size=20), min_size=1, max_size=6))
@PROPERTY
def test_any_names_end_in_an_inventory_or_a_clear_error(tmp_path, names):
    folder = tmp_path / "raw"
    shutil.rmtree(folder, ignore_errors=True)
    touch(folder, *(f"a{n}" for n in names), *(f"{n}-dna.tif" for n in names))
    with suppress(PlatemaeError):
        assert isinstance(inventory(folder), Inventory)
