"""OME-Zarr plates of both Zarr formats, arrays written with zarr-python; platemae's own stores come back equal."""

import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import ConfigError, InputError, PlatemaeError
from platemae.readers.base import Inventory
from platemae.readers.ngff import inventory
from platemae.readers.pixels import load_field
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

ENTRY = {"name": "zarr", "kind": "ngff"}
RNG = np.random.default_rng(0)
SIZES = {"t": 2, "c": 3, "z": 4}


def group(path, attributes, version):
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.5":
        content = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": "0.5", **attributes}}}
        (path / "zarr.json").write_text(json.dumps(content))
    else:
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps(attributes))


def array(path, x, version):
    form = 3 if version == "0.5" else 2
    made = zarr.create_array(path, shape=x.shape, chunks=(*[1] * (x.ndim - 2), 16, 16), dtype=x.dtype, zarr_format=form)
    made[...] = x


def write(root, version="0.5", axes="cyx", wells=("A/1", "B/12"), fields=("0", "1"), unit="micrometer", **more):
    """Write a plate as the specification shows it; returns the pixels of each field."""
    rows, columns = (sorted({w.split("/")[i] for w in wells}) for i in (0, 1))
    plate = {
        "rows": [{"name": r} for r in rows],
        "columns": [{"name": c} for c in columns],
        "wells": [
            {"path": w, "rowIndex": rows.index(w.split("/")[0]), "columnIndex": columns.index(w.split("/")[1])}
            for w in wells
        ],
    }
    group(root, {"plate": plate}, version)
    pixels = {}
    for well in wells:
        images = [{"path": f, **more.get("members", {}).get(f, {})} for f in fields]
        group(root / well, {"well": {"images": images}}, version)
        for field in fields:
            x = RNG.integers(1, 999, [*(SIZES[a] for a in axes[:-2]), 20, 24]).astype(np.uint16)
            pixels[well, field] = x
            group(root / well / field, image(axes, unit, more), version)
            array(root / well / field / "0", x, version)
            array(root / well / field / "1", x[..., ::2, ::2], version)
    return pixels


def image(axes, unit, more):
    kinds = {"t": "time", "c": "channel"}
    named = [
        {"name": a, "type": kinds.get(a, "space"), **({"unit": unit} if unit and a in "zyx" else {})} for a in axes
    ]
    sets = [
        {
            "path": str(i),
            "coordinateTransformations": [{"type": "scale", "scale": [1.0] * (len(axes) - 2) + [2.0**i] * 2}],
        }
        for i in range(2)
    ]
    whole = [{"type": "scale", "scale": [1.0] * (len(axes) - 2) + [0.325] * 2}]
    labels = more.get("labels", ["DAPI", "Fluorescein (FITC)", "3"])[: SIZES["c"] if "c" in axes else 1]
    omero = {"omero": {"channels": [{"label": label, "color": "FFFFFF"} for label in labels]}} if labels else {}
    return {"multiscales": [{"axes": named, "datasets": sets, "coordinateTransformations": whole}], **omero}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["tczyx", "czyx", "tcyx", "zyx", "cyx", "yx"])
def test_every_subset_of_axes_in_both_versions(tmp_path, version, axes):
    pixels = write(tmp_path, version, axes)
    found = inventory(tmp_path, ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("A01", "0"), ("A01", "1"), ("B12", "0"), ("B12", "1")]
    assert [c.name for c in found.channels] == ["DAPI", "Fluorescein_FITC", "3"][: 3 if "c" in axes else 1]
    assert found.channels[0].stain == "DNA"
    assert found.pixel_size_um == pytest.approx(0.325)
    assert (found.n_z, found.n_times) == (4 if "z" in axes else 1, 2 if "t" in axes else 1)
    assert found.found == found.promised == 4 * len(found.channels) * found.n_z
    assert found.unmatched == ()
    x = pixels["B/12", "1"]
    x = x[0] if "t" in axes else x
    x = x[None] if "c" not in axes else x
    x_CYX = x.max(axis=1) if "z" in axes else x
    np.testing.assert_array_equal(load_field(found.records[3]), x_CYX)


def test_the_files_of_the_full_resolution_are_the_plates(tmp_path):
    write(tmp_path, wells=("A/1",), fields=("0",))
    names = {file.name for file in inventory(tmp_path, ENTRY).files}
    assert names == {str(p.relative_to(tmp_path)) for p in (tmp_path / "A/1/0/0").rglob("*") if p.is_file()}


def test_our_own_store_comes_back_equal_with_its_stains_and_places(tmp_path):
    pixels = {group: RNG.integers(0, 65535, (2, 50, 70)).astype(np.uint16) for group in ("B/3/0", "B/3/1", "AA/24/1")}
    labels, centers = {"0": "2", "1": "7"}, {"0": (-120.5, 33.25), "1": None}
    write_plate(
        tmp_path / "P.zarr",
        "P",
        [FieldSource(g, labels[g[-1]], g, lambda x=x: x, centers[g[-1]]) for g, x in pixels.items()],
        [StoreChannel("nuclei", "Hoechst"), StoreChannel("x1", "a stain of our own")],
        0.65,
        chunk_px=32,
        threads=1,
    )
    found = inventory(tmp_path / "P.zarr", ENTRY)
    assert [(r.well, r.field) for r in found.records] == [("B03", "2"), ("B03", "7"), ("AA24", "7")]
    assert [(c.name, c.stain) for c in found.channels] == [("nuclei", "Hoechst"), ("x1", "a stain of our own")]
    assert (found.pixel_size_um, found.promised, found.found, found.unmatched) == (0.65, 6, 6, ())
    assert (found.records[0].y_um, found.records[0].x_um) == pytest.approx((-120.5, 33.25))
    assert [record.y_um for record in found.records[1:]] == [None, None]
    for record, x_CYX in zip(found.records, pixels.values(), strict=True):
        np.testing.assert_array_equal(load_field(record), x_CYX)


def test_a_store_of_8_bits_is_told(tmp_path):
    field = FieldSource("A/1/0", "0", "A01", lambda: np.zeros((1, 40, 40), np.uint8))
    about = {"chunk_px": 32, "threads": 1, "source_ranges": {"DNA": (0.0, 4095.0)}}
    write_plate(tmp_path / "P.zarr", "P", [field], [StoreChannel("DNA", "Hoechst")], 0.5, **about)
    (note,) = inventory(tmp_path / "P.zarr", ENTRY).notes
    assert note.startswith("the plate was stored with 8 bits")


def test_acquisitions_are_time_points(tmp_path):
    pixels = write(tmp_path, members={"0": {"acquisition": 3}, "1": {"acquisition": 8}})
    found = inventory(tmp_path, ENTRY | {"time_point": 1})
    assert (found.n_times, [(r.well, r.field) for r in found.records]) == (2, [("A01", "1"), ("B12", "1")])
    np.testing.assert_array_equal(load_field(found.records[0]), pixels["A/1", "1"])


def test_a_field_whose_chunks_are_not_copied_yet_is_missing(tmp_path):
    write(tmp_path)
    shutil.rmtree(tmp_path / "B/12/1/0/c")
    found = inventory(tmp_path, ENTRY)
    assert (found.promised, found.found, len(found.records[3].missing)) == (12, 9, 3)


def test_groups_that_are_not_there_come_together(tmp_path):
    write(tmp_path)
    shutil.rmtree(tmp_path / "A/1")
    shutil.rmtree(tmp_path / "B/12/0")
    with pytest.raises(InputError) as caught:
        inventory(tmp_path, ENTRY)
    for part in ("2 problems", "A/1]", "B/12/0]", "is missing"):
        assert part in caught.value.what


@pytest.mark.parametrize(("unit", "um"), [("nanometer", 0.000325), ("millimeter", 325.0)])
def test_units_of_the_scale(tmp_path, unit, um):
    write(tmp_path, unit=unit, wells=("A/1",))
    assert inventory(tmp_path, ENTRY).pixel_size_um == pytest.approx(um)


def test_no_unit_is_no_pixel_size_and_no_labels_are_numbers(tmp_path):
    write(tmp_path, unit=None, labels=[], wells=("A/1",))
    with pytest.raises(ConfigError, match="pixel size is unknown"):
        inventory(tmp_path, ENTRY)
    assert [c.name for c in inventory(tmp_path, ENTRY | {"pixel_size_um": 1.0}).channels] == ["0", "1", "2"]


def damage(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("zarr.json", '"A/1"', '"../../A/1"', "not below the plate's folder"),
        ("zarr.json", '"A/1"', '"/etc"', "not below the plate's folder"),
        ("A/1/zarr.json", '"path": "0"', '"path": "../../.."', "not below the plate's folder"),
        ("A/1/0/zarr.json", '"path": "0"', '"path": "../../../../0"', "not below the plate's folder"),
        ("zarr.json", '"rowIndex": 0', '"rowIndex": -1', "no count"),
        ("zarr.json", '"rowIndex": 0', '"rowIndex": 1', "contradicts its rowIndex"),
        ("zarr.json", '"rowIndex": 0', '"rowIndex": 99', "IndexError"),
        ("zarr.json", '"plate"', '"plat"', "KeyError 'plate'"),
        ("zarr.json", '{"name": "A"}', '{"name": "A1"}', "contradicts its rowIndex"),
        ("A/1/zarr.json", '"path": "1"', '"path": "./0"', "lists a field twice"),
        ("A/1/0/zarr.json", '"name": "c"', '"name": "q"', "axes q, y, x"),
        ("A/1/0/zarr.json", '"name": "c"', '"name": "y"', "axes y, y, x"),
        ("A/1/0/zarr.json", '{"label": "DAPI", "color": "FFFFFF"}, ', "", "2 channels are named, the array has 3"),
        ("A/1/0/zarr.json", '"micrometer"', '"parsec"', "the unit 'parsec' of an axis is none of"),
        ("A/1/0/zarr.json", "0.325]", "0.5]", "no square"),
        ("A/1/0/0/zarr.json", '"node_type"', "{", "cannot be understood"),
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, file, old, new, what):
    write(tmp_path)
    damage(tmp_path / file, old, new)
    with pytest.raises(InputError, match=what):
        inventory(tmp_path, ENTRY)


def test_a_false_shape_is_refused_before_anything_is_made_of_it(tmp_path):
    write(tmp_path)
    path = tmp_path / "A/1/0/0/zarr.json"
    content = json.loads(path.read_text()) | {"shape": [10**9, 20, 24]}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="1000000000 planes"):
        inventory(tmp_path, ENTRY)


def test_json_that_is_too_deep_or_too_large(tmp_path, monkeypatch):
    write(tmp_path)
    sound = (tmp_path / "zarr.json").read_text()
    (tmp_path / "zarr.json").write_text("[" * 200_000)
    with pytest.raises(InputError, match="cannot be understood: RecursionError"):
        inventory(tmp_path, ENTRY)
    (tmp_path / "zarr.json").write_text(sound)
    monkeypatch.setattr("platemae.readers.ngff.MAX_JSON", len(sound) - 1)
    with pytest.raises(InputError, match="is larger than"):
        inventory(tmp_path, ENTRY)


def test_no_group_at_all(tmp_path):
    with pytest.raises(InputError, match="a group of an OME-Zarr plate is missing"):
        inventory(tmp_path, ENTRY)


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutated_metadata_ends_in_an_inventory_or_a_clear_error(tmp_path, data):
    if not (tmp_path / "plate").exists():
        write(tmp_path / "plate", wells=("A/1",), fields=("0",))
    name = data.draw(st.sampled_from(["zarr.json", "A/1/zarr.json", "A/1/0/zarr.json", "A/1/0/0/zarr.json"]))
    path = tmp_path / "plate" / name
    sound = path.read_bytes()
    raw = bytearray(sound)
    bits = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"NaN",
        b"-1",
        b"1e999",
        b'"',
        b"../",
        b"true",
        b"\xff",
        b"99999999999999999999",
    ]
    for _ in range(data.draw(st.integers(1, 3))):
        at, cut = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 9))
        raw[at : at + cut] = data.draw(st.sampled_from(bits))
    path.write_bytes(bytes(raw))
    try:
        with suppress(PlatemaeError):
            assert isinstance(inventory(tmp_path / "plate", ENTRY), Inventory)
    finally:
        path.write_bytes(sound)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(
    max_examples=200, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_of_the_wrong_type_ends_in_an_inventory_or_a_clear_error(tmp_path, data):
    if not (tmp_path / "plate").exists():
        write(tmp_path / "plate", wells=("A/1",), fields=("0",))
    path = tmp_path / "plate" / data.draw(st.sampled_from(["zarr.json", "A/1/zarr.json", "A/1/0/zarr.json"]))
    sound = path.read_text()
    content = json.loads(sound)
    at = content["attributes"]["ome"]
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = data.draw(JSON)
            break
        at = at[key]
    path.write_text(json.dumps(content))
    try:
        with suppress(PlatemaeError):
            assert isinstance(inventory(tmp_path / "plate", ENTRY), Inventory)
    finally:
        path.write_text(sound)
