"""CellVoyager measurements become fields: the real plate, and files written as CQ1 and CV7000 write them."""

import re

import numpy as np
import pytest
import tifffile

from platemae.errors import ConfigError, InputError, MissingError
from platemae.readers.cellvoyager import inventory
from platemae.readers.checks import inventory_problems
from platemae.readers.pixels import load_field

ENTRY = {"name": "cv", "kind": "cellvoyager"}
BTS = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"'


def record(row=2, column=3, field=1, z=1, time=1, ch=1, name=None, kind="IMG", x=100.5, y=200.0, **more):
    """Return a record; a fact that is None is left out."""
    facts = {"Type": kind, "Column": column, "Row": row, "TimePoint": time, "FieldIndex": field, "ZIndex": z}
    facts |= {"X": x, "Y": y, "Ch": ch, **more}
    if name is None:
        name = f"W{row:02d}{column:02d}F{field:04d}T{time:04d}Z{z:03d}C{ch}.tif"
    attributes = " ".join(f'bts:{key}="{value}"' for key, value in facts.items() if value is not None)
    return name, f"<bts:MeasurementRecord {attributes}>{name}</bts:MeasurementRecord>"


def failure(well=(2, 3), why="AF Error at B03 No. 0", **kw):
    """Return the record of a failed autofocus, which names neither field nor channel."""
    return record(*well, field=None, z=None, ch=None, kind="ERR", name=why, PartialTileIndex=1, **kw)


def write(folder, records, setting="S.mes", targets=None, pixel="0.65", lacking=()):
    folder.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(text for _, text in records)
    (folder / "MeasurementData.mlf").write_text(f"<bts:MeasurementData {BTS}>\n{lines}\n</bts:MeasurementData>")
    channels = "".join(
        f'<bts:MeasurementChannel bts:Ch="{ch}" bts:HorizontalPixelDimension="{pixel}" />' for ch in (1, 2, 3, 10)
    )
    detail = (
        f'<bts:MeasurementDetail bts:MeasurementSettingFileName="{setting}" {BTS}>{channels}</bts:MeasurementDetail>'
    )
    (folder / "MeasurementDetail.mrf").write_text(detail, encoding="utf-8-sig")
    if targets is not None:
        named = "".join(f'<bts:Channel bts:Ch="{ch}" {attributes} />' for ch, attributes in targets.items())
        text = f"<bts:MeasurementSetting {BTS}><bts:ChannelList>{named}</bts:ChannelList></bts:MeasurementSetting>"
        (folder / "S.mes").write_text(text, encoding="utf-8-sig")
    for name, text in records:
        if 'Type="IMG"' in text and name not in lacking and not name.startswith(("/", "..")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"x")


@pytest.fixture
def measured(shared_data):
    (path,) = (shared_data / "vendor-yokogawa-cv8000").rglob("MeasurementData.mlf")
    return path.parent


def test_the_real_plate(measured):
    text = (measured / "MeasurementData.mlf").read_text()
    rows = re.findall(
        r'Column="(\d+)" bts:Row="(\d+)" .*?FieldIndex="(\d+)" bts:ZIndex="(\d+)".*? bts:X="(.*?)" bts:Y="(.*?)"'
        r'.*? bts:Ch="(\d+)">(.*?)<',
        text,
    )
    found = inventory(measured, ENTRY)
    assert (found.promised, found.found) == (len(rows), len(rows)) == (96, 96)
    assert (found.n_z, found.n_times, found.unmatched, found.notes) == (4, 1, (), ())
    assert [c.name for c in found.channels] == re.findall(
        r'bts:Ch="[12]" bts:Target="(.*?)"', (measured / "Minimal-3C3W2S-FP2-stack.mes").read_text()
    )
    assert found.pixel_size_um == 0.325
    assert len(found.records) == len({row[:3] for row in rows}) == 12
    fields = {(record.well, record.field): record for record in found.records}
    for column, row, field, z, x, y, ch, name in rows:
        one = fields[f"{'ABCDEFGH'[int(row) - 1]}{int(column):02d}", field]
        assert one.planes[found.channels[int(ch) - 1].name][int(z) - 1].path == measured / name
        assert (one.x_um, one.y_um) == (float(x), -float(y))
    wells = {record.well: "treatment" for record in found.records}
    assert inventory_problems("p", measured, found, wells, allow_missing=False) == []


def test_the_pixels_of_the_real_plate(measured):
    one = inventory(measured, ENTRY).records[5]
    stack = [tifffile.imread(plane.path) for plane in one.planes["488"]]
    assert np.array_equal(load_field(one)[1], np.max(stack, axis=0))


def test_channels_come_by_number_by_the_names_of_the_settings(tmp_path):
    targets = {
        1: 'bts:Target="DAPI"',
        2: 'bts:Target="" bts:Fluorophore="Alexa 568"',
        10: 'bts:Target=""',
        4: 'bts:Target="x"',
    }
    write(tmp_path, [record(ch=ch) for ch in (10, 2, 1)], targets=targets)
    found = inventory(tmp_path, ENTRY)
    assert [(c.name, c.stain) for c in found.channels] == [("DAPI", "DNA"), ("Alexa_568", "Alexa 568"), ("C10", "C10")]
    assert found.pixel_size_um == 0.65


def test_without_settings_channels_are_numbered_and_equal_names_too(tmp_path):
    write(tmp_path / "a", [record(ch=ch) for ch in (1, 2)])
    assert [c.name for c in inventory(tmp_path / "a", ENTRY).channels] == ["C01", "C02"]
    write(tmp_path / "b", [record(ch=ch) for ch in (1, 2)], targets=dict.fromkeys((1, 2), 'bts:Target="DAPI"'))
    assert [c.name for c in inventory(tmp_path / "b", ENTRY).channels] == ["DAPI_C01", "DAPI_C02"]


def test_without_the_detail_the_pixel_size_must_be_set(tmp_path):
    write(tmp_path, [record()])
    (tmp_path / "MeasurementDetail.mrf").unlink()
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        inventory(tmp_path, ENTRY)
    assert inventory(tmp_path, {**ENTRY, "pixel_size_um": 0.3}).channels[0].name == "C01"


def test_a_cq1_measurement_with_its_projection_beside_the_stack(tmp_path):
    images = [record(z=z, name=f"Image/W1F1Z{z}C1.tif") for z in (1, 2, 3)]
    images += [record(name="Projection/W1F1Z1C1.tif", ZImageProcessing="Maximum")]
    images += [record(ch=2, name="Projection\\W1F1Z1C2.tif", ZImageProcessing="Maximum")]
    write(tmp_path, images)
    (tmp_path / "Projection/W1F1Z1C2.tif").write_bytes(b"x")
    found = inventory(tmp_path, ENTRY)
    planes = {
        name: [p.path.relative_to(tmp_path).as_posix() for p in of] for name, of in found.records[0].planes.items()
    }
    assert planes == {"C01": [f"Image/W1F1Z{z}C1.tif" for z in (1, 2, 3)], "C02": ["Projection/W1F1Z1C2.tif"]}
    assert found.n_z == 3


def test_correction_images_are_no_fields_and_no_surprise(tmp_path):
    write(tmp_path, [record()])
    for name in ("SC_BP445-45_20x_M01_CH01.tif", "DC_DCAM#1_CAM3.tif", "other.tif", "p.wpi"):
        (tmp_path / name).write_bytes(b"x")
    found = inventory(tmp_path, ENTRY)
    assert (len(found.records), found.unmatched) == (1, ("other.tif",))


def test_a_failure_that_names_its_image_is_a_missing_one(tmp_path):
    write(tmp_path, [record(), record(ch=2), record(field=2), record(field=2, ch=2, kind="ERR", name="camera timeout")])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (4, 3)
    assert [(r.field, r.missing) for r in found.records] == [("1", []), ("2", ["C02"])]
    assert found.notes == ("the instrument notes 1 failures, such as 'camera timeout'",)


def test_a_failure_made_good_later_is_none(tmp_path):
    write(tmp_path, [record(kind="ERR", name="retry"), record()])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, len(found.notes)) == (1, 1, 1)


def test_a_failed_autofocus_names_no_image_and_stands_in_the_notes(tmp_path):
    write(tmp_path, [record(), failure(), failure((14, 9), "AF Error at N09 No. 0")])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, [r.well for r in found.records]) == (1, 1, ["B03"])
    assert found.notes == ("the instrument notes 2 failures, such as 'AF Error at B03 No. 0'",)


def test_records_of_nothing_but_failures(tmp_path):
    write(tmp_path, [failure(), failure()])
    with pytest.raises(InputError, match="list no image, and 2 failures"):
        inventory(tmp_path, ENTRY)


def test_missing_files_and_converted_ones(tmp_path):
    images = [record(field=f) for f in (1, 2, 3)]
    write(tmp_path, images, lacking=[images[1][0], images[2][0]])
    (tmp_path / images[2][0]).with_suffix(".png").write_bytes(b"x")
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (3, 2)
    assert [r.field for r in found.records if r.missing] == ["2"]
    assert found.records[2].planes["C01"][0].path.suffix == ".png"


def test_time_points_of_one_timeline_keep_their_numbers(tmp_path):
    images = [record(time=t, TimelineIndex=1) for t in (1, 2, 3)] + [
        record(row=5, time=t, TimelineIndex=1) for t in (2, 3)
    ]
    write(tmp_path, images)
    assert [r.well for r in inventory(tmp_path, ENTRY).records] == ["B03"]
    assert len(inventory(tmp_path, {**ENTRY, "time_point": 3}).records) == 2


def test_time_points_are_counted_anew_in_each_timeline(tmp_path):
    images = [record(time=t, TimelineIndex=1) for t in (1, 2)] + [
        record(row=5, time=t, TimelineIndex=2) for t in (3, 4)
    ]
    write(tmp_path, images)
    found = inventory(tmp_path, ENTRY)
    assert [(r.well, r.planes["C01"][0].path.name) for r in found.records] == [
        ("B03", images[0][0]),
        ("E03", images[2][0]),
    ]
    assert found.n_times == 2


def test_a_well_of_two_timelines_keeps_the_numbers(tmp_path):
    write(tmp_path, [record(time=t, TimelineIndex=t) for t in (1, 2)])
    assert inventory(tmp_path, ENTRY).n_times == 2


@pytest.mark.parametrize("name", ["../secret.tif", "/etc/passwd", "a\\..\\..\\secret.tif", "C:\\secret.tif"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, name):
    (tmp_path / "secret.tif").write_bytes(b"x")
    write(tmp_path / "plate", [record()])
    path = tmp_path / "plate/MeasurementData.mlf"
    path.write_text(path.read_text().replace(record()[0], name))
    with pytest.raises(InputError, match="not below") as caught:
        inventory(tmp_path / "plate", ENTRY)
    assert "image record 1" in caught.value.where


def test_the_settings_file_lies_below_the_folder_as_well(tmp_path):
    write(tmp_path / "plate", [record()], setting="../S.mes")
    with pytest.raises(InputError, match="not below"):
        inventory(tmp_path / "plate", ENTRY)


def test_all_records_that_are_wrong_come_together(tmp_path):
    wrong = [{"row": 99}, {"Column": None}, {"FieldIndex": None}, {"Ch": None}, {"ZIndex": "top"}]
    write(tmp_path, [record(**{"name": f"{n}.tif", **facts}) for n, facts in enumerate(wrong)])
    with pytest.raises(InputError) as caught:
        inventory(tmp_path, ENTRY)
    for part in ("5 problems", "row '99'", "no Column", "no FieldIndex", "no Ch", "'top'"):
        assert part in caught.value.what


def test_no_records_at_all(tmp_path):
    with pytest.raises(MissingError, match="metadata of a plate is missing"):
        inventory(tmp_path, ENTRY)
    write(tmp_path, [])
    with pytest.raises(InputError, match="list no image"):
        inventory(tmp_path, ENTRY)
