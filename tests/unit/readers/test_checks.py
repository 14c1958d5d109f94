"""Folder against layout: everything that does not fit, before a pixel is read."""

from dataclasses import replace
from pathlib import Path

from platemae.readers.base import ChannelInfo, FieldRecord, Inventory, Plane, RawFile
from platemae.readers.checks import LISTED, inventory_problems, with_images

CHANNELS = (ChannelInfo("DNA", "Hoechst"), ChannelInfo("ER", "ConA"))


def make(wells, promised=None, lacking=()):
    records = [
        FieldRecord(well, "1", {"DNA": (Plane(Path("d")),), "ER": () if well in lacking else (Plane(Path("e")),)})
        for well in wells
    ]
    files = tuple(RawFile(f"{i}", 1, 0.0) for i in range(2 * len(wells) - len(lacking)))
    return Inventory(tuple(records), CHANNELS, 1.0, files, (), promised, found=len(files))


def problems(inventory, layout, allow_missing=False):
    return [p.what for p in inventory_problems("P1", Path("raw"), inventory, layout, allow_missing)]


def test_a_plate_that_fits_has_none():
    assert problems(make(["A01", "A02"], promised=4), {"A01": "negcon", "A02": "treatment"}) == []


def test_wells_are_compared_both_ways():
    found = problems(make(["A01", "B01"]), {"A01": "negcon", "C01": "treatment", "D01": "empty"})
    assert found == [
        "the layout of plate P1 names 1 wells that the plate lacks: C01",
        "1 wells of plate P1 are not in its layout: B01",
    ]


def test_a_missing_channel_is_named_unless_allowed():
    layout = {"A01": "negcon", "A02": "treatment"}
    inventory = make(["A01", "A02"], lacking=["A02"])
    assert problems(inventory, layout) == ["no file for plate P1, well A02, field 1, channel ER"]
    assert problems(inventory, layout, allow_missing=True) == []


def test_fewer_images_than_promised_means_a_copy_still_runs():
    inventory = make(["A01"], promised=4)
    assert problems(inventory, {"A01": "negcon"}) == ["plate P1 has 2 images, its own metadata lists 4"]
    assert problems(inventory, {"A01": "negcon"}, allow_missing=True) == []


def test_many_gaps_are_counted_not_all_listed():
    wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 13)]
    found = problems(make(wells, lacking=wells), dict.fromkeys(wells, "negcon"))
    assert len(found) == LISTED + 1
    assert found[-1] == f"{48 - LISTED} more fields of plate P1 lack a channel"


def test_a_field_without_any_image_is_left_out_and_named():
    whole = make(["A01"])
    empty = FieldRecord("A02", "3", {"DNA": (), "ER": ()})
    found = with_images(replace(whole, records=(*whole.records, empty)))
    assert found.records == whole.records
    assert found.notes == ("1 fields have no image at all and are left out: A02 field 3",)
    assert with_images(whole) is whole
