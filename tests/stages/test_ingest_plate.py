"""ingest_plate: folders of TIFFs become a store and a table."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from platemae.contracts import FIELDS_COLUMNS
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.stages import ingest_plate
from platemae.store.plate_reader import PlateStore
from tests.stages.raw_plate import CHANNELS, LAYOUT, base, image, ingest, make_cfg, write_layout, write_raw

__all__ = ["base"]  # the fixture


def test_every_pixel_lands_in_its_well(base):
    manifest = ingest(base)
    table = pd.read_parquet(Results(base / "results").fields("P1"))
    assert list(table.columns) == [*FIELDS_COLUMNS, "y_um", "x_um"]
    assert len(table) == 8
    store = PlateStore(Results(base / "results").store("P1"))
    for row in table.itertuples():
        x_CYX = store.read_field(row.group)
        expected = np.stack([image(row.well, row.field, channel) for channel in CHANNELS])
        np.testing.assert_array_equal(x_CYX, expected)
        np.testing.assert_array_equal(zarr.open_array(store.path / row.group / "0", mode="r")[:], expected)
        assert (row.perturbation, row.control_type) == LAYOUT[row.well]
        assert row.group == f"{row.well[0]}/{int(row.well[1:])}/{int(row.field) - 1}"
    assert store.channel_names == ["DNA", "ER"]
    assert manifest.counts["fields"] == 8
    assert manifest.counts["wells"] == 4
    assert manifest.counts["pixels"] == store.digest
    assert manifest.warnings == []


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_other_source_dtypes_stay(base, dtype):
    write_raw(base / "raw" / "P1", dtype=dtype)
    assert ingest(base).counts["dtype"] == dtype
    x_CYX = PlateStore(Results(base / "results").store("P1")).read_field("B/2/1")
    np.testing.assert_array_equal(x_CYX[1], image("B02", "2", "er", dtype))


def test_equal_content_gives_an_equal_digest_and_labels_do_not_touch_the_pixels(base):
    first = ingest(base)
    write_raw(base / "raw" / "P1", compression="zlib")  # other bytes, same pixels
    assert ingest(base, cfg=make_cfg(chunk_px=64)).digest == first.digest
    write_layout(base / "layout.tsv", LAYOUT | {"A02": ("renamed", "treatment")})
    relabelled = ingest(base)
    assert relabelled.digest != first.digest
    assert relabelled.counts["pixels"] == first.counts["pixels"]
    changed = image("A02", "1", "er")
    changed[3, 3] += 1
    tifffile.imwrite(base / "raw" / "P1" / "A2_s1_er.tif", changed)
    assert ingest(base).counts["pixels"] != first.counts["pixels"]


def test_a_missing_field_of_one_well_shifts_no_other(base):
    for channel in CHANNELS:
        (base / "raw" / "P1" / f"A2_s1_{channel}.tif").unlink()
    ingest(base)
    table = pd.read_parquet(Results(base / "results").fields("P1"))
    groups = dict(zip(zip(table["well"], table["field"], strict=True), table["group"], strict=True))
    assert groups["A02", "2"] == "A/2/1"
    assert ("A02", "1") not in groups
    x_CYX = PlateStore(Results(base / "results").store("P1")).read_field("A/2/1")
    np.testing.assert_array_equal(x_CYX[0], image("A02", "2", "dna"))


def test_the_raw_inventory_is_noted_in_provenance_not_in_the_manifest(base):
    (base / "raw" / "P1" / "notes.txt").write_text("hello")
    manifest = ingest(base)
    record = json.loads(Results(base / "results").provenance("ingest_plate", "P1.inventory").read_text())
    sizes = {name: size for name, size, _ in record["files"]}
    assert len(sizes) == 16
    assert sizes["A1_s1_dna.tif"] == (base / "raw" / "P1" / "A1_s1_dna.tif").stat().st_size
    assert record["unmatched"] == ["notes.txt"]
    assert "mtime" not in json.dumps(manifest.counts)


def test_images_that_do_not_match_are_warned_about_whatever_their_form(base):
    (base / "raw" / "P1" / "overview.png").touch()
    tifffile.imwrite(base / "raw" / "P1" / "stitched.tif", np.zeros((4, 4), np.uint8))
    assert ingest(base).warnings == ["2 images of the folder belong to no field, such as overview.png"]


def test_a_plate_as_one_file_is_the_same_plate(base):
    folder = ingest(base, results=Results(base / "other"))
    zipped = ingest(base, cfg=make_cfg(form="zip"))
    assert zipped == folder
    plates = base / "results" / "plates"
    assert sorted(p.name for p in plates.iterdir()) == ["P1.fields.parquet", "P1.manifest.json", "P1.zarr.zip"]
    store = PlateStore(Results(base / "results").store("P1"))
    np.testing.assert_array_equal(store.read_field("B/2/1")[1], image("B02", "2", "er"))


def test_8_bits_are_rounded_noted_and_warned_about(base):
    manifest = ingest(base, cfg=make_cfg(dtype="uint8", uint8_range={"DNA": (100.0, 202.0), "ER": (0.0, 510.0)}))
    store = PlateStore(Results(base / "results").store("P1"))
    assert not store.lossless
    assert store.source_ranges == {"DNA": (100.0, 202.0), "ER": (0.0, 510.0)}
    x_CYX = store.read_field("A/2/0")
    dna, er = (image("A02", "1", channel).astype(float) for channel in CHANNELS)
    np.testing.assert_array_equal(x_CYX[0], np.minimum(np.rint((dna - 100) * 2.5), 255))
    np.testing.assert_array_equal(x_CYX[1], np.rint(er / 2))
    assert (manifest.counts["dtype"], manifest.counts["lossless"]) == ("uint8", False)
    assert "8 bits, not lossless: DNA 100 to 202, ER 0 to 510" in manifest.warnings[0]
    assert manifest.warnings[1].startswith("channel DNA: 3")
    assert ingest(base).counts["lossless"]


def test_wells_that_the_layout_does_not_name_may_be_empty(base):
    write_layout(base / "layout.tsv", {well: LAYOUT[well] for well in ("A01", "A02")})
    with pytest.raises(ConfigError, match="2 wells of plate P1 are not in its layout: B01, B02"):
        ingest(base)
    cfg = make_cfg() | {"layouts": {"wells_without_row": "empty"}}
    ingest(base, cfg=cfg)
    table = pd.read_parquet(Results(base / "results").fields("P1"))
    kinds = dict(zip(table["well"], table["control_type"], strict=True))
    assert kinds == {"A01": "negcon", "A02": "treatment", "B01": "empty", "B02": "empty"}


def test_labels_of_the_layout_become_control_types(base):
    write_layout(base / "layout.tsv", LAYOUT | {"B02": ("g3", "positive")})
    with pytest.raises(ConfigError, match=r"unknown control type 'positive' \(1 well\)"):
        ingest(base)
    ingest(base, cfg=make_cfg() | {"layouts": {"control_types": {"positive": "poscon"}}})
    table = pd.read_parquet(Results(base / "results").fields("P1"))
    assert set(table.loc[table["well"] == "B02", "control_type"]) == {"poscon"}


def ingest_real(folder, tmp_path, entry, layout):
    write_layout(tmp_path / "layout.tsv", layout)
    row = {"plate": "R", "batch": "b", "reader": entry["name"], "path": str(folder), "layout": "layout.tsv"}
    cfg = {"plate": row, "reader": entry, "ingest": {"allow_missing": False, "chunk_px": 256}}
    results = Results(tmp_path / "results")
    ingest_plate.run(results, cfg, plate="R", base=tmp_path, threads=2)
    return PlateStore(results.store("R")), pd.read_parquet(results.fields("R"))


def test_the_nf1_plate(shared_data, tmp_path):
    channels = [{"source": c, "name": c, "stain": s} for c, s in (("DAPI", "DAPI"), ("GFP", "ER"), ("RFP", "actin"))]
    pattern = r"(?P<well>[A-H]\d+)_01_\d_(?P<field>\d)_(?P<channel>DAPI|GFP|RFP)_001\.tif"
    entry = {"name": "nf1", "kind": "pattern", "pattern": pattern, "channels": channels, "pixel_size_um": 0.3}
    folder = shared_data / "nf1-cellpainting-plate2" / "Plate_2_images"
    wells = dict.fromkeys(("B7", "D6", "D7", "F7", "H12"), ("", "negcon"))
    store, table = ingest_real(folder, tmp_path, entry, wells)
    assert (store.shape, store.dtype) == ((3, 904, 1224), np.dtype("uint16"))
    assert list(table["group"]) == ["B/7/2", "D/6/1", "D/7/0", "F/7/1", "H/12/0"]
    for group, well, site in (("B/7/2", "B7", 3), ("D/6/1", "D6", 2), ("H/12/0", "H12", 1)):
        planes = [f"{well}_01_{i}_{site}_{c['name']}_001.tif" for i, c in enumerate(channels, 1)]
        expected = np.stack([tifffile.imread(folder / plane) for plane in planes])
        np.testing.assert_array_equal(store.read_field(group), expected)
        np.testing.assert_array_equal(zarr.open_array(store.path / group / "0", mode="r")[:], expected)


def test_the_bbbc013_plate(shared_data, tmp_path):
    channels = [{"source": "1", "name": "FKHR", "stain": "GFP"}, {"source": "2", "name": "DNA", "stain": "DRAQ"}]
    pattern = r"Channel(?P<channel>[12])-\d+-(?P<row>[A-H])-(?P<column>\d+)\.tif"
    entry = {"name": "bbbc013", "kind": "pattern", "pattern": pattern, "channels": channels, "pixel_size_um": 1.0}
    folder = shared_data / "bbbc013-rows-abcd"
    wells = {f"{row}{column:02d}": ("", "negcon") for row in "ABCD" for column in range(1, 13)}
    store, table = ingest_real(folder, tmp_path, entry, wells)
    assert (len(table), store.shape, store.dtype) == (48, (2, 640, 640), np.dtype("uint8"))
    for number, row, column in ((1, "A", 1), (14, "B", 2), (48, "D", 12)):
        x_CYX = store.read_field(f"{row}/{column}/0")
        for channel in (1, 2):
            name = f"Channel{channel}-{number:02d}-{row}-{column:02d}.tif"
            np.testing.assert_array_equal(x_CYX[channel - 1], tifffile.imread(folder / "images" / name))
