"""Harmony's index becomes fields: the real plate, and files written as V4 and V6 write them."""

import csv
import re

import numpy as np
import pytest
import tifffile

from platemae.errors import ConfigError, InputError, MissingError
from platemae.readers.operetta import inventory
from platemae.readers.pixels import load_field

ENTRY = {"name": "phenix", "kind": "operetta"}
PHENIX = "http://www.perkinelmer.com/PEHH/"


def tag(name, value, unit=None):
    attributes = f' Unit="{unit}"' if unit else ""
    return "" if value is None else f"<{name}{attributes}>{value}</{name}>"


def image(row=2, col=3, field=1, plane=1, time=0, channel=1, name=None, size=None, **kw):
    facts = {"Row": row, "Col": col, "FieldID": field, "PlaneID": plane, "TimepointID": time, "ChannelID": channel}
    url = f"r{row:02d}c{col:02d}f{field:02d}p{plane:02d}-ch{channel}sk{time + 1}fk1fl1.tiff"
    facts = {"State": "Ok", "URL": url, **facts, "ChannelName": name, **kw}
    lengths = tag("ImageResolutionX", size, "m") + tag("PositionX", 1e-4, "m") + tag("PositionY", 2e-4, "m")
    return url, f"<Image><id>x</id>{''.join(tag(*fact) for fact in facts.items())}{lengths}</Image>"


def write(folder, images, version="HarmonyV4", maps="", index="Images/Index.idx.xml", lacking=()):
    (folder / index).parent.mkdir(parents=True, exist_ok=True)
    wells = '<Wells><Well><id>0203</id><Row>2</Row><Col>3</Col><Image id="x" /></Well></Wells>'
    body = "".join(text for _, text in images)
    text = f'<EvaluationInputData xmlns="{PHENIX}{version}">{wells}{maps}<Images>{body}</Images></EvaluationInputData>'
    (folder / index).write_text(text, encoding="utf-8-sig")
    for url, _ in images:
        if url not in lacking and "/" not in url:
            (folder / index).with_name(url).write_bytes(b"x")


def test_the_real_plate(shared_data):
    folder = shared_data / "vendor-operetta-harmony/operetta_plate"
    text = (folder / "Images/Index.idx.xml").read_text(encoding="utf-8-sig")
    listed = re.findall(r"<URL>(.*?)</URL>", text)
    size = float(re.search(r'<ImageResolutionX Unit="m">(.*?)<', text)[1])
    found = inventory(folder, ENTRY)
    assert (found.promised, found.found, len(found.records)) == (2, 2, len(listed))
    assert [record.well for record in found.records] == ["C03", "C03"]
    assert [record.field for record in found.records] == re.findall(r"<FieldID>(\d+)<", text)
    assert found.pixel_size_um == pytest.approx(size * 1e6)
    assert [c.name for c in found.channels] == ["Fluorescein_FITC"]
    assert (found.n_z, found.n_times, found.unmatched, found.notes) == (1, 1, (), ())
    for record, url, x, y in zip(
        found.records,
        listed,
        re.findall(r"<PositionX.*?>(.*?)<", text),
        re.findall(r"<PositionY.*?>(.*?)<", text),
        strict=True,
    ):
        assert (record.x_um, record.y_um) == pytest.approx((float(x) * 1e6, -float(y) * 1e6))
        assert np.array_equal(load_field(record)[0], tifffile.imread(folder / "Images" / url))


def test_the_wells_of_the_real_plate_are_in_its_layout(shared_data):
    folder = shared_data / "vendor-operetta-harmony"
    with (folder / "drug_layout.csv").open(encoding="utf-8-sig") as file:
        rows = {f"{row['row']}{int(row['col']):02d}" for row in csv.DictReader(file, delimiter=";")}
    assert {record.well for record in inventory(folder / "operetta_plate", ENTRY).records} <= rows


def test_the_images_folder_alone_is_a_plate_too(shared_data):
    folder = shared_data / "vendor-operetta-harmony/operetta_plate"
    assert inventory(folder / "Images", ENTRY).found == inventory(folder, ENTRY).found == 2


@pytest.mark.parametrize(("version", "index"), [("HarmonyV4", "Images/Index.idx.xml"), ("HarmonyV5", "Index.idx.xml")])
def test_v4_and_v5_say_everything_in_each_image(tmp_path, version, index):
    wells = [
        (row, col, f, p, c) for row in (2, 16) for col in (3, 24) for f in (1, 2) for p in (1, 2, 3) for c in (1, 2)
    ]
    images = [
        image(row, col, f, p, channel=c, name=["DAPI", "Alexa 488"][c - 1], size=3e-7) for row, col, f, p, c in wells
    ]
    write(tmp_path, images, version, index=index)
    found = inventory(tmp_path, ENTRY)
    assert {record.well for record in found.records} == {"B03", "B24", "P03", "P24"}
    assert (len(found.records), found.n_z, found.promised, found.found) == (8, 3, 48, 48)
    assert [(c.name, c.stain) for c in found.channels] == [("DAPI", "DNA"), ("Alexa_488", "Alexa 488")]
    assert found.pixel_size_um == pytest.approx(0.3)
    planes = found.records[0].planes["Alexa_488"]
    assert [plane.path.name for plane in planes] == [f"r02c03f01p0{p}-ch2sk1fk1fl1.tiff" for p in (1, 2, 3)]


def test_v6_says_in_the_map_what_the_images_of_a_channel_share(tmp_path):
    entries = "".join(
        f'<Entry ChannelID="{c}">{tag("ChannelName", name)}{tag("ImageResolutionX", 1.5e-7, "m")}</Entry>'
        for c, name in ((1, "HOECHST 33342"), (2, "Mito"))
    )
    flat = '<Map><Entry ChannelID="1"><FlatfieldProfile>{Background: 1}</FlatfieldProfile></Entry></Map>'
    write(
        tmp_path,
        [image(channel=c) for c in (2, 1)],
        "HarmonyV6",
        f"<Maps>{flat}<Map>{entries}</Map></Maps>",
        "Images/Index.xml",
    )
    found = inventory(tmp_path, ENTRY)
    assert [c.name for c in found.channels] == ["HOECHST_33342", "Mito"]
    assert found.pixel_size_um == pytest.approx(0.15)
    assert (found.records[0].x_um, found.records[0].y_um) == pytest.approx((100, -200))
    assert found.records[0].planes["Mito"][0].path.name == "r02c03f01p01-ch2sk1fk1fl1.tiff"


def test_channels_come_by_number_and_equal_names_get_theirs(tmp_path):
    write(
        tmp_path, [image(channel=c, name=name, size=1e-6) for c, name in ((10, "BF"), (9, "BF"), (2, "Z"), (3, None))]
    )
    assert [c.name for c in inventory(tmp_path, ENTRY).channels] == ["Z", "ch3", "BF_ch9", "BF_ch10"]


def test_a_length_may_have_another_unit(tmp_path):
    url, text = image()
    write(tmp_path, [(url, text.replace("</Image>", '<ImageResolutionX Unit="µm">0.65</ImageResolutionX></Image>'))])
    assert inventory(tmp_path, ENTRY).pixel_size_um == 0.65


@pytest.mark.parametrize("size", [None, "nan", "-1", "inf", "many"])
def test_a_pixel_size_that_is_none_must_be_set(tmp_path, size):
    write(tmp_path, [image(size=size)])
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        inventory(tmp_path, ENTRY)
    assert inventory(tmp_path, {**ENTRY, "pixel_size_um": 0.5}).pixel_size_um == 0.5


def test_times_and_what_is_missing(tmp_path):
    images = [image(time=t, field=f, size=1e-6) for t in (0, 1) for f in (1, 2, 3)]
    images[1] = image(field=2, State="Missing")
    write(tmp_path, images, lacking=[images[2][0], images[1][0]])
    found = inventory(tmp_path, ENTRY)
    assert (found.n_times, found.promised, found.found) == (2, 3, 1)
    assert "images that are not Ok and count as missing: 1, such as one 'Missing'" in found.notes
    assert inventory(tmp_path, {**ENTRY, "time_point": 1}).found == 3


def test_an_image_that_is_not_ok_is_not_read_though_it_is_there(tmp_path):
    write(tmp_path, [image(field=1, size=1e-6), image(field=2, State="Error")])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found) == (2, 1)
    assert found.unmatched == ("Images/r02c03f02p01-ch1sk1fk1fl1.tiff",)


@pytest.mark.parametrize(
    "url",
    ["../../secret.tiff", "/etc/passwd", "..\\secret.tiff", "C:\\secret.tiff", "../secret.tiff", "a/../../b.tiff"],
)
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, url):
    (tmp_path / "secret.tiff").write_bytes(b"x")
    write(tmp_path / "plate", [image(size=1e-6), image(field=2, URL=url)], lacking=())
    with pytest.raises(InputError, match="not below") as caught:
        inventory(tmp_path / "plate", ENTRY)
    assert "image x" in caught.value.where


def test_all_images_that_are_wrong_come_together(tmp_path):
    write(tmp_path, [image(col=99), image(URL=""), image(FieldID=""), image(PlaneID="top"), image(ChannelID="")])
    with pytest.raises(InputError) as caught:
        inventory(tmp_path, ENTRY)
    for part in ("5 problems", "column '99' is no well", "no URL", "no FieldID", "'top'", "no ChannelID"):
        assert part in caught.value.what


def test_an_index_without_images_and_no_index(tmp_path):
    with pytest.raises(MissingError, match="the index of a plate is missing"):
        inventory(tmp_path, ENTRY)
    write(tmp_path, [])
    with pytest.raises(InputError, match="lists no image"):
        inventory(tmp_path, ENTRY)
