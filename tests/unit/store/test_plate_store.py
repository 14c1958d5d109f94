"""The plate store: what goes in comes out, other tools open it, and its digest means its content."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.errors import ContractError, DiskError, InputError, MissingError, PlatemaeError
from platemae.store import plate_writer
from platemae.store.content import digest_pixels, digest_store
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, group_key, write_plate


def test_fields_and_crops_are_the_pixels_in_their_dtype(make_plate, make_pixels):
    for dtype in ("uint8", "uint16", "float32"):
        fields = {g: make_pixels(dtype=dtype, seed=i) for i, g in enumerate(("B/3/0", "B/3/1", "C/12/0", "A/1/0"))}
        store, _ = make_plate(fields, name=dtype)
        assert store.fields == ["A/1/0", "B/3/0", "B/3/1", "C/12/0"]
        assert (store.dtype, store.shape, store.pixel_size_um) == (np.dtype(dtype), (3, 70, 90), 0.65)
        assert store.channel_names == ["DNA", "ER", "Mito"]
        assert store.channels[1].stain == "ConA"
        for group, x_CYX in fields.items():
            read_CYX = store.read_field(group)
            assert read_CYX.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(read_CYX, x_CYX)
            np.testing.assert_array_equal(store.read_crop(group, 11, 37, 48), x_CYX[:, 11:59, 37:85])


def test_wells_sort_as_on_the_plate():
    groups = ["AA/1/0", "B/10/0", "B/9/1", "B/9/0", "Z/1/0"]
    assert sorted(groups, key=group_key) == ["B/9/0", "B/9/1", "B/10/0", "Z/1/0", "AA/1/0"]


def test_reading_in_threads(make_plate, make_pixels):
    store, fields = make_plate({f"A/{i}/0": make_pixels(seed=i) for i in range(1, 7)})
    jobs = [(group, y) for group in fields for y in range(0, 40, 3)]
    with ThreadPoolExecutor(8) as pool:
        crops = list(pool.map(lambda job: store.read_crop(job[0], job[1], job[1], 30), jobs))
    for (group, y), crop in zip(jobs, crops, strict=True):
        np.testing.assert_array_equal(crop, fields[group][:, y : y + 30, y : y + 30])


@pytest.mark.parametrize("place", [(-1, 0, 8), (0, 83, 8), (63, 0, 8), (0, 0, 71), (0, 0, 0)])
def test_a_crop_beyond_the_field_is_refused(make_plate, make_pixels, place):
    store, _ = make_plate({"A/1/0": make_pixels()})
    with pytest.raises(InputError, match="leaves the field of 70 x 90"):
        store.read_crop("A/1/0", *place)


@pytest.mark.parametrize("group", ["A/2/0", "../P1.zarr/A/1/0", "A/1/0/../0"])
def test_only_known_fields_are_read(make_plate, make_pixels, group):
    store, _ = make_plate({"A/1/0": make_pixels()})
    with pytest.raises(InputError, match="has no field"):
        store.read_field(group)


def test_few_files(make_plate, make_pixels):
    store, _ = make_plate(
        {f"{row}/{column}/{f}": make_pixels() for row in "AB" for column in (1, 2, 3) for f in (0, 1)}
    )
    for well in ("A/1", "B/3"):
        assert [p.name for p in (store.path / well).iterdir() if p.is_file()] == ["zarr.json"]
        for field in "01":
            assert sum(len(files) for _, _, files in os.walk(store.path / well / field)) == 3
    fields, wells, rows = 12, 6, 2
    assert sum(len(files) for _, _, files in os.walk(store.path)) == 3 * fields + wells + rows + 1


def test_ome_zarr_py_opens_it(make_plate, make_pixels):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Multiscales, Reader

    store, fields = make_plate({g: make_pixels(seed=i) for i, g in enumerate(("B/3/0", "B/4/0", "C/3/0", "C/4/0"))})
    node = next(iter(Reader(parse_url(store.path / "C" / "3" / "0", mode="r"))()))
    assert any(isinstance(spec, Multiscales) for spec in node.specs)
    np.testing.assert_array_equal(np.asarray(node.data[0]), fields["C/3/0"])
    assert node.metadata["channel_names"] == ["DNA", "ER", "Mito"]
    plate = next(iter(Reader(parse_url(store.path, mode="r"))()))
    rows = [np.concatenate([fields[f"{row}/3/0"], fields[f"{row}/4/0"]], axis=2) for row in "BC"]
    np.testing.assert_array_equal(np.asarray(plate.data[0]), np.concatenate(rows, axis=1))


def test_ome_zarr_models_validates_it(make_plate, make_pixels):
    from ome_zarr_models.common.omero import Omero
    from ome_zarr_models.v05 import HCS, Image

    store, _ = make_plate({"B/3/0": make_pixels(), "B/3/2": make_pixels(seed=1), "AA/14/0": make_pixels(seed=2)})
    plate = HCS.from_zarr(zarr.open_group(store.path, mode="r"))
    described = plate.ome_attributes.plate
    assert [row.name for row in described.rows] == ["B", "AA"]
    assert [well.path for well in described.wells] == ["B/3", "AA/14"]
    assert described.field_count == 2
    wells = list(plate.well_groups)
    assert [image.path for image in wells[0].ome_attributes.well.images] == ["0", "2"]
    image = Image.from_zarr(zarr.open_group(store.path / "B" / "3" / "2", mode="r"))
    multiscale = image.ome_attributes.multiscales[0]
    assert [(a.name, a.unit) for a in multiscale.axes][1:] == [("y", "micrometer"), ("x", "micrometer")]
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [1.0, 0.65, 0.65]
    omero = Omero.model_validate(image.ome_attributes.omero)
    assert [c.label for c in omero.channels] == ["DNA", "ER", "Mito"]


def test_equal_content_has_an_equal_digest_however_it_was_written(make_plate, make_pixels):
    fields = {f"A/{i}/0": make_pixels(seed=i) for i in range(1, 5)}
    digest = make_plate(fields, name="one", threads=1)[0].digest
    other = [StoreChannel(n, "another dye") for n in ("DNA", "ER", "Mito")]
    backwards = dict(reversed(fields.items()))
    assert make_plate(backwards, name="two", channels=other, chunk_px=64, threads=3)[0].digest == digest


def test_the_digest_changes_with_pixels_places_names_and_pixel_size(make_plate, make_pixels):
    x_CYX, changed_CYX = make_pixels(), make_pixels()
    changed_CYX[2, 69, 89] += 1
    renamed = [StoreChannel(n, "dye") for n in ("DNA", "Mito", "ER")]
    stores = [
        make_plate({"A/1/0": x_CYX}, name="base"),
        make_plate({"A/1/0": changed_CYX}, name="pixel"),
        make_plate({"A/2/0": x_CYX}, name="place"),
        make_plate({"A/1/0": x_CYX}, name="names", channels=renamed),
        make_plate({"A/1/0": x_CYX}, name="size", pixel_size_um=0.66),
        make_plate({"A/1/0": x_CYX.view(np.int16).view(np.uint16).astype(np.float32)}, name="dtype"),
    ]
    assert len({store.digest for store, _ in stores}) == len(stores)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6 * 70 * 90 - 1), st.integers(0, 7))
def test_any_flipped_bit_changes_the_digest_of_a_field(place, bit):
    x_CYX = np.random.default_rng(0).integers(0, 60000, (3, 70, 90)).astype(np.uint16)
    before = digest_pixels(x_CYX)
    x_CYX.reshape(-1).view(np.uint8)[place] ^= 1 << bit
    assert digest_pixels(x_CYX) != before


def test_moved_blocks_other_shapes_and_other_dtypes_change_the_digest():
    blocks = np.random.default_rng(1).integers(0, 255, (4, 2**16)).astype(np.uint8)
    digests = {digest_pixels(x) for x in (blocks, blocks[::-1], blocks[[1, 0, 2, 3]], blocks.reshape(2, -1))}
    assert len(digests | {digest_pixels(blocks.view(np.int8)), digest_pixels(blocks[:, :-1])}) == 6
    assert digest_pixels(np.asfortranarray(blocks)) == digest_pixels(blocks)


def test_a_store_still_has_the_digest_it_was_written_with(make_plate, make_pixels):
    store, _ = make_plate({"A/1/0": make_pixels(), "B/1/0": make_pixels(seed=1)})
    assert digest_store(store) == store.digest
    one, two = (store.path / group / "0" / "c" / "0" / "0" / "0" for group in store.fields)
    one.write_bytes(two.read_bytes())
    assert digest_store(store) != store.digest


def fail(path):
    raise InputError("a TIFF cannot be read", path)


def test_every_field_that_cannot_be_read_is_named_and_nothing_is_left(tmp_path, make_pixels):
    sources = [FieldSource(f"A/{i}/0", "0", f"field {i}", lambda i=i: fail(f"image {i}")) for i in (1, 2)]
    sources.append(FieldSource("A/3/0", "0", "field 3", make_pixels))
    with pytest.raises(PlatemaeError, match="2 problems") as caught:
        write_plate(tmp_path / "P.zarr", "P", sources, [StoreChannel("a", "")] * 3, 1.0, chunk_px=32, threads=2)
    assert "image 1" in caught.value.what
    assert "image 2" in caught.value.what
    assert list(tmp_path.iterdir()) == []


def test_an_odd_field_is_named(tmp_path, make_pixels):
    sources = [FieldSource(f"A/{i}/0", "0", f"field {i}", make_pixels) for i in (1, 2)]
    sources.append(FieldSource("A/3/0", "0", "field 3", lambda: make_pixels(shape=(3, 70, 80))))
    sources.append(FieldSource("A/4/0", "0", "field 4", lambda: make_pixels(dtype="uint8")))
    with pytest.raises(InputError) as caught:
        write_plate(tmp_path / "P.zarr", "P", sources, [StoreChannel("a", "")] * 3, 1.0, chunk_px=32, threads=2)
    assert "70 x 80 uint16, the others of plate P are 70 x 90 uint16 [field 3]" in caught.value.what
    assert "70 x 90 uint8" in caught.value.what
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_store(make_plate, make_pixels, tmp_path):
    store, fields = make_plate({"A/1/0": make_pixels()})
    with pytest.raises(InputError):
        write_plate(
            store.path,
            "P1",
            [FieldSource("A/1/0", "0", "f", lambda: fail("x"))],
            store.channels,
            1.0,
            chunk_px=32,
            threads=1,
        )
    np.testing.assert_array_equal(PlateStore(store.path).read_field("A/1/0"), fields["A/1/0"])
    assert [p.name for p in tmp_path.iterdir()] == ["P1.zarr"]


def test_a_store_that_is_gone_or_foreign(tmp_path):
    with pytest.raises(MissingError, match="plate store is gone") as caught:
        PlateStore(tmp_path / "P1.zarr")
    assert "ingest-plate P1" in caught.value.remedy
    zarr.open_group(tmp_path / "other.zarr", mode="w", zarr_format=3)
    with pytest.raises(ContractError, match="no attribute `platemae`"):
        PlateStore(tmp_path / "other.zarr")
    (tmp_path / "other.zarr" / "zarr.json").write_text("{")
    with pytest.raises(ContractError, match="cannot be used"):
        PlateStore(tmp_path / "other.zarr")


def test_a_field_that_is_gone_says_so(make_plate, make_pixels):
    store, _ = make_plate({"A/1/0": make_pixels()})
    Path(store.path, "A/1/0/0/c/0/0/0").unlink()
    with pytest.raises(MissingError, match="a field is gone"):
        store.read_field("A/1/0")


def test_a_plate_has_one_display_window_a_channel(make_plate, make_pixels):
    fields = {"A/1/0": make_pixels((3, 40, 60)), "A/2/0": make_pixels((3, 40, 60), seed=1) * 2}
    store, _ = make_plate(fields)
    shown = []
    for group in fields:
        attributes = json.loads((store.path / group / "zarr.json").read_text())["attributes"]
        assert attributes["platemae"]["channels"][0] == {"name": "DNA", "stain": "Hoechst"}
        shown.append([channel["window"] for channel in attributes["ome"]["omero"]["channels"]])
    assert shown[0] == shown[1]
    for i, window in enumerate(shown[0]):
        low, high = np.quantile(fields["A/1/0"][i], 0.01), np.quantile(fields["A/2/0"][i], 0.995)
        np.testing.assert_allclose((window["start"], window["end"]), (low, high))
        assert (window["min"], window["max"]) == (0.0, 65535.0)


def test_fields_lie_where_the_stage_was(tmp_path, make_pixels):
    """NGFF places the centre of the first pixel; two fields side by side meet without gap or overlap."""
    from ome_zarr_models.v05 import Image

    places = {"A/1/0": (0.0, -29.25), "A/1/1": (0.0, 29.25), "A/1/2": None}
    sources = [FieldSource(g, g[-1], g, make_pixels, center) for g, center in places.items()]
    write_plate(tmp_path / "P.zarr", "P", sources, [StoreChannel(c, c) for c in "abc"], 0.65, chunk_px=32, threads=1)
    found = []
    for group in places:
        image = Image.from_zarr(zarr.open_group(tmp_path / "P.zarr" / group, mode="r"))
        found.append(image.ome_attributes.multiscales[0].datasets[0].coordinateTransformations)
    assert [len(transforms) for transforms in found] == [2, 2, 1]
    left, right = (transforms[1].translation for transforms in found[:2])
    np.testing.assert_allclose(left, [0, -69 / 2 * 0.65, -29.25 - 89 / 2 * 0.65])
    np.testing.assert_allclose(right[2] - left[2], 90 * 0.65)


def test_a_store_of_8_bits_says_so(make_plate, make_pixels):
    ranges = {"DNA": (0.0, 900.0), "ER": (10.0, 20.0), "Mito": (1.0, 2.5)}
    for form in ("folder", "zip"):
        store, _ = make_plate({"A/1/0": make_pixels(dtype="uint8")}, form=form, source_ranges=ranges)
        assert store.source_ranges == ranges
        assert not store.lossless
    assert make_plate({"A/1/0": make_pixels(dtype="uint8")})[0].lossless


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EFBIG])
@pytest.mark.parametrize(("form", "writer"), [("folder", "FolderWriter"), ("zip", "ZipWriter")])
def test_what_the_disk_refuses_names_the_field_and_leaves_nothing(
    tmp_path, make_pixels, monkeypatch, code, form, writer
):
    plain, written = getattr(plate_writer, writer).put, []

    def put(self, name, parts):
        if written:
            raise OSError(code, os.strerror(code), name)
        written.append(name)
        plain(self, name, parts)

    monkeypatch.setattr(getattr(plate_writer, writer), "put", put)
    sources = [FieldSource(f"A/{i}/0", "0", f"plate P, well A{i:02d}, field 0", make_pixels) for i in range(1, 40)]
    loaded = []
    sources = [replace(s, load=lambda s=s: loaded.append(s) or s.load()) for s in sources]
    channels = [StoreChannel(c, c) for c in "abc"]
    named = r"plate P, well A\d\d, field 0 \(one file of channels a, b, c\) cannot be written: "
    with pytest.raises(DiskError, match=named) as caught:
        write_plate(tmp_path / "P.zarr", "P", sources, channels, 1.0, chunk_px=32, threads=2, form=form)
    assert "run again" in caught.value.remedy
    assert len(loaded) < 10  # the others are not tried
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_disk_that_is_full_when_the_metadata_come(make_plate, make_pixels, monkeypatch, tmp_path, form):
    """At the last step, when all pixels are written: the old store stays."""
    _, fields = make_plate({"A/1/0": make_pixels()}, form=form)

    def finish(self, texts):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(plate_writer.FolderWriter, "finish", finish)
    monkeypatch.setattr(plate_writer.ZipWriter, "finish", finish)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DiskError, match="the store of plate P1 cannot be written: the disk is full"):
        make_plate({"A/1/0": make_pixels(seed=3)}, form=form)
    assert sorted(tmp_path.iterdir()) == before
    np.testing.assert_array_equal(PlateStore(tmp_path / "P1.zarr").read_field("A/1/0"), fields["A/1/0"])
