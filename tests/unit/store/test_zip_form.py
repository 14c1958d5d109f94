"""A plate as one ZIP: the same plate, read by offset, in the form that OME-NGFF RFC-9 recommends."""

import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from platemae.errors import ContractError, InputError, MissingError, PlatemaeError
from platemae.store.content import digest_store
from platemae.store.plate_reader import PlateStore
from platemae.store.plate_writer import FieldSource, write_plate

GROUPS = ("B/3/0", "B/3/1", "B/12/0", "AA/1/0")


@pytest.fixture
def fields(make_pixels):
    return {group: make_pixels(seed=i) for i, group in enumerate(GROUPS)}


@pytest.fixture
def zipped(make_plate, fields):
    return make_plate(fields, name="Z", form="zip")[0]


def rezip(source, target, change=lambda name, content: content, **options):
    """Write an archive again with zipfile, its members changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))


def test_it_reads_as_the_folder_does_and_has_its_digest(make_plate, fields, zipped, tmp_path):
    folder, _ = make_plate(fields, name="F")
    assert zipped.path == tmp_path / "Z.zarr.zip"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(("Z", "."))] == ["Z.zarr.zip"]
    assert zipped.digest == folder.digest == digest_store(zipped)
    assert (zipped.fields, zipped.channels, zipped.shape) == (folder.fields, folder.channels, folder.shape)
    for group, x_CYX in fields.items():
        np.testing.assert_array_equal(zipped.read_field(group), x_CYX)
        np.testing.assert_array_equal(zipped.read_crop(group, 11, 37, 48), x_CYX[:, 11:59, 37:85])


def test_crops_in_threads(zipped, fields):
    jobs = [(group, y) for group in fields for y in range(0, 40, 2)]
    with ThreadPoolExecutor(8) as pool:
        crops = list(pool.map(lambda job: zipped.read_crop(job[0], job[1], job[1], 30), jobs))
    for (group, y), crop in zip(jobs, crops, strict=True):
        np.testing.assert_array_equal(crop, fields[group][:, y : y + 30, y : y + 30])


def test_zarr_python_and_ome_zarr_models_open_it(zipped, fields):
    from ome_zarr_models.v05 import HCS, Image

    root = zarr.open_group(zarr.storage.ZipStore(zipped.path, mode="r"), mode="r")
    for group, x_CYX in fields.items():
        np.testing.assert_array_equal(root[f"{group}/0"][:], x_CYX)
        assert Image.from_zarr(root[group]).ome_attributes.multiscales[0].datasets[0].path == "0"
    plate = HCS.from_zarr(root).ome_attributes.plate
    assert [well.path for well in plate.wells] == ["B/3", "B/12", "AA/1"]


def test_the_form_is_the_recommended_one(zipped):
    """RFC-9: ZIP64, stored, metadata first and level by level, in the file as in its directory, and a comment."""
    with zipfile.ZipFile(zipped.path) as archive:
        members = archive.infolist()
        assert archive.testzip() is None
        assert json.loads(archive.comment)["ome"]["version"] == "0.5"
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert all(member.extract_version == 45 for member in members)
    offsets = [member.header_offset for member in members]
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    names = [member.filename for member in members]
    texts = [name for name in names if name.endswith("zarr.json")]
    assert names[: len(texts)] == texts
    assert texts[0] == "zarr.json"
    depths = [name.count("/") for name in texts]
    assert depths == sorted(depths)
    assert len(names) == 1 + 2 + 3 + 3 * len(GROUPS)  # root, rows, wells; group, array and shard of each field
    assert zipped.path.read_bytes().count(b"PK\x06\x06") == 1  # the end record of ZIP64


def test_equal_plates_are_equal_files(make_plate, fields):
    one, _ = make_plate(fields, name="one", form="zip", threads=1)
    before = one.path.read_bytes()
    again, _ = make_plate(fields, name="one", form="zip", threads=1)
    assert again.path.read_bytes() == before


def test_the_other_form_goes_when_one_is_written(make_plate, fields, tmp_path):
    make_plate(fields)
    for form, name in (("zip", "P1.zarr.zip"), ("folder", "P1.zarr")):
        store, _ = make_plate({"A/1/0": fields["B/3/1"]}, form=form)
        assert [p.name for p in tmp_path.iterdir()] == [name]
        np.testing.assert_array_equal(store.read_field("A/1/0"), fields["B/3/1"])


def test_a_failed_write_leaves_the_old_one(make_plate, fields, tmp_path):
    store, _ = make_plate(fields, form="zip")

    def fail():
        raise InputError("a TIFF cannot be read", "x")

    with pytest.raises(InputError):
        write_plate(
            tmp_path / "P1.zarr",
            "P1",
            [FieldSource("A/1/0", "0", "f", fail)],
            store.channels,
            1.0,
            chunk_px=32,
            threads=1,
            form="zip",
        )
    assert [p.name for p in tmp_path.iterdir()] == ["P1.zarr.zip"]
    np.testing.assert_array_equal(PlateStore(tmp_path / "P1.zarr").read_field("B/3/0"), fields["B/3/0"])


def test_an_archive_packed_again_without_compression_is_read(zipped, fields, tmp_path):
    rezip(zipped.path, tmp_path / "again.zarr.zip")
    again = PlateStore(tmp_path / "again.zarr")
    np.testing.assert_array_equal(again.read_crop("B/12/0", 3, 5, 40), fields["B/12/0"][:, 3:43, 5:45])


def test_deflated_foreign_and_cut_archives_are_refused(zipped, tmp_path):
    rezip(zipped.path, tmp_path / "deflated.zarr.zip", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ContractError, match=r"compressed members, such as zarr\.json") as caught:
        PlateStore(tmp_path / "deflated.zarr")
    assert "zip -0" in caught.value.remedy
    (tmp_path / "cut.zarr.zip").write_bytes(zipped.path.read_bytes()[:-300])
    with pytest.raises(ContractError, match="no whole ZIP"):
        PlateStore(tmp_path / "cut.zarr")
    with zipfile.ZipFile(tmp_path / "foreign.zarr.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(MissingError, match="plate store is gone"):
        PlateStore(tmp_path / "foreign.zarr")


def test_a_member_that_is_gone_or_damaged(zipped, tmp_path):
    shard = "B/3/1/0/c/0/0/0"
    with zipfile.ZipFile(zipped.path) as old, zipfile.ZipFile(tmp_path / "less.zarr.zip", "w") as new:
        for member in old.infolist():
            if member.filename != shard:
                new.writestr(member.filename, old.read(member))
    with pytest.raises(MissingError, match="a field is gone from the plate store"):
        PlateStore(tmp_path / "less.zarr").read_field("B/3/1")
    rezip(zipped.path, tmp_path / "bad.zarr.zip", lambda name, content: content[:-9] if name == shard else content)
    with pytest.raises(InputError, match="cut short"):
        PlateStore(tmp_path / "bad.zarr").read_field("B/3/1")


def test_a_directory_that_lies_never_ends_in_a_traceback(zipped, tmp_path):
    """Any byte of the directory at the end may be wrong: the plate is read rightly, or refused."""
    raw = bytearray(zipped.path.read_bytes())
    start = raw.rindex(b"PK\x01\x02")
    rng = np.random.default_rng(0)
    path = tmp_path / "liar.zarr.zip"
    refused = 0
    for place in rng.integers(start, len(raw), 150):
        changed = bytearray(raw)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            store = PlateStore(tmp_path / "liar.zarr")
            for group in store.fields:
                store.read_field(group)
        except PlatemaeError:
            refused += 1
    assert refused > 10


def test_a_big_store_is_one_file(make_plate, make_pixels, tmp_path):
    store, _ = make_plate({f"A/{i}/{f}": make_pixels((3, 8, 8)) for i in range(1, 25) for f in range(9)}, form="zip")
    assert sum(len(files) + len(below) for _, below, files in os.walk(tmp_path)) == 1
    assert len(store.fields) == 216
