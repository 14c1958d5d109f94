"""A table, a row an image: any plate, and arrays of Zarr that are no OME-Zarr."""

import csv
from contextlib import suppress

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import InputError, MissingError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.image_table import inventory, table_of_zarr
from platemae.readers.pixels import load_field

ENTRY = {"name": "table", "kind": "image_table", "pixel_size_um": 1.0, "plate": "P"}
RNG = np.random.default_rng(0)


def write(path, rows):
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def row(name, well="A01", field="1", channel="DNA", **more):
    return {"well": well, "field": field, "channel": channel, "path": name, **more}


def picture(path, *shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    x = RNG.integers(0, 999, (*shape, 9, 7)).astype(np.uint16)
    tifffile.imwrite(path, x, photometric="minisblack", metadata=None)
    return x


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_wells_fields_channels_positions(tmp_path, form):
    x_YX = picture(tmp_path / "raw/b.tif")
    rows = [
        row("raw/a.tif", well="B3", field="02", y_um="-5.5", x_um="3"),
        row("raw/b.tif", well="B3", field="2", channel="Actin", y_um="-5.5", x_um="3"),
    ]
    write(tmp_path / f"images.{form}", rows)
    picture(tmp_path / "raw/a.tif")
    found = inventory(tmp_path, ENTRY)
    assert [(r.well, r.field, r.y_um, r.x_um) for r in found.records] == [("B03", "2", -5.5, 3)]
    assert [c.name for c in found.channels] == ["DNA", "Actin"]
    assert ([f.name for f in found.files], found.unmatched) == (["raw/a.tif", "raw/b.tif"], ())
    np.testing.assert_array_equal(load_field(found.records[0])[1], x_YX)


def test_pages_depths_times_and_projections(tmp_path):
    x_PYX = picture(tmp_path / "a.tif", 4)
    picture(tmp_path / "max.tif")
    rows = [row("a.tif", page=p, z=p % 2, time=p // 2) for p in range(4)] + [row("max.tif", z="max", page="", time=1)]
    write(tmp_path / "images.csv", rows)
    found = inventory(tmp_path, ENTRY | {"time_point": 1})
    assert (found.n_times, found.n_z) == (2, 2)
    np.testing.assert_array_equal(load_field(found.records[0])[0], x_PYX[2:].max(axis=0))


def test_a_plate_of_a_table_of_many_and_a_table_outside_the_folder(tmp_path):
    (tmp_path / "P").mkdir()
    picture(tmp_path / "P/a.tif")
    write(tmp_path / "t.csv", [row("a.tif", plate="P"), row("../../x.tif", plate="Q")])
    found = inventory(tmp_path / "P", ENTRY | {"metadata": str(tmp_path / "t.csv")})
    assert (found.promised, found.found) == (1, 1)
    with pytest.raises(InputError, match="not below the plate's folder"):
        inventory(tmp_path / "P", ENTRY | {"metadata": str(tmp_path / "t.csv"), "plate": "Q"})


@pytest.mark.parametrize("form", [2, 3])
def test_planes_of_a_zarr_array_of_either_format(tmp_path, form):
    x = RNG.integers(0, 999, (2, 3, 9, 7)).astype(np.uint16)
    made = zarr.create_array(tmp_path / "x.zarr", shape=x.shape, chunks=(1, 1, 5, 5), dtype=x.dtype, zarr_format=form)
    made[...] = x
    rows = [row("x.zarr", field=f, channel=f"c{c}", page=f"{f} {c}") for f in range(2) for c in range(3)]
    write(tmp_path / "images.csv", [*rows, row("y.zarr", field="9", channel="c0", page="0 0")])
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, found.unmatched) == (7, 6, ())
    assert len(found.files) >= 2 * 3 * 4  # every chunk
    np.testing.assert_array_equal(load_field(found.records[1]), x[1])


@pytest.mark.parametrize(("plate", "site"), [("BR00123947", 0), ("CP-CC9-R1-05", 1)])
def test_the_two_sites_of_jump(shared_data, tmp_path, plate, site):
    folder = shared_data / "jump-rab30-zarr"
    write(tmp_path / "images.csv", table_of_zarr(folder))
    found = inventory(folder, ENTRY | {"plate": plate, "metadata": str(tmp_path / "images.csv")})
    assert [(r.well, r.field) for r in found.records] == [[("G01", "1")], [("L07", "0")]][site]
    assert [(c.name, c.stain) for c in found.channels] == [(c, c) for c in ("AGP", "DNA", "ER", "Mito", "RNA")]
    assert (found.promised, found.found) == (5, 5)
    x_SCYX = zarr.open_array(folder / "images.zarr/images", mode="r")
    np.testing.assert_array_equal(load_field(found.records[0]), x_SCYX[site])


def test_an_array_without_its_tables(tmp_path):
    with pytest.raises(MissingError, match="a table that describes a Zarr array is missing"):
        table_of_zarr(tmp_path)
    (tmp_path / "channels.csv").write_text("idx,name\n0,DNA\n")
    with pytest.raises(InputError, match="lacks the columns channel"):
        table_of_zarr(tmp_path)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"path": "../a.tif"}, "not below the plate's folder"),
        ({"path": "/etc/passwd"}, "not below the plate's folder"),
        ({"path": ""}, "not below the plate's folder"),
        ({"well": "Q77"}, "no well"),
        ({"channel": ""}, "no channel"),
        ({"page": "-1"}, "negative"),
        ({"page": "x"}, "invalid literal"),
        ({"z": "9" * 99}, "no whole number"),
        ({"y_um": "far"}, "could not convert"),
    ],
)
def test_rows_that_make_no_sense_come_together(tmp_path, change, what):
    picture(tmp_path / "a.tif")
    sound = row("a.tif", page="", z="", y_um="", x_um="")
    write(tmp_path / "images.csv", [sound, sound | {"field": "2"} | change, sound | {"field": "3"} | change])
    with pytest.raises(InputError, match=what) as caught:
        inventory(tmp_path, ENTRY)
    assert "2 problems" in caught.value.what
    assert "row 3" in caught.value.what
    assert "row 4" in caught.value.what


def test_two_images_for_one_place_and_missing_columns(tmp_path):
    picture(tmp_path / "a.tif")
    write(tmp_path / "images.csv", [row("a.tif"), row("b.tif", field="01")])
    with pytest.raises(InputError, match="2 files for well A01, field 1, channel DNA"):
        inventory(tmp_path, ENTRY)
    write(tmp_path / "images.csv", [{"well": "A01", "path": "a.tif"}])
    with pytest.raises(InputError, match="lacks the columns field, channel; it has well, path"):
        inventory(tmp_path, ENTRY)


def test_a_link_to_an_array_elsewhere_is_refused(tmp_path):
    folder = tmp_path / "plate"
    picture(folder / "a.tif")
    made = zarr.create_array(tmp_path / "other/x.zarr", shape=(9, 7), chunks=(9, 7), dtype="uint16")
    made[...] = 7
    (folder / "link").symlink_to(tmp_path / "other")
    write(folder / "images.csv", [row("a.tif"), row("link/x.zarr", field="2")])
    with pytest.raises(InputError, match="a link leads out of the plate's folder"):
        inventory(folder, ENTRY)


@settings(
    max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mutated_table_ends_in_an_inventory_or_a_clear_error(tmp_path, data):
    if not (tmp_path / "a.tif").exists():
        picture(tmp_path / "a.tif", 2)
    rows = [row("a.tif", field=f, z=0, time=0, page=p, y_um=1, x_um=1.5) for f, p in (("1", 0), ("2", 1))]
    write(tmp_path / "images.csv", rows)
    raw = bytearray((tmp_path / "images.csv").read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        at, cut = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 9))
        bits = [b"", b",", b'"', b"\n", b"\0", b"\xff", b"../", b"nan", b"1e999", b"-1", b";", b"\t"]
        raw[at : at + cut] = data.draw(st.sampled_from(bits))
    (tmp_path / "images.csv").write_bytes(bytes(raw))
    with suppress(PlatemaeError):
        assert isinstance(inventory(tmp_path, ENTRY), Inventory)
