"""Plates of three instruments, from the vendor's own metadata to the store: every pixel is that of the files."""

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from platemae.errors import InputError
from platemae.layout import Results
from platemae.readers.image_table import table_of_zarr
from platemae.stages import ingest_plate
from platemae.store.plate_reader import PlateStore

PLATES = {
    # kind, folder of the metadata, wells, fields a well, shape, pixel size
    "operetta": ("operetta", "vendor-operetta-harmony/operetta_plate", ["C03"], 2, (1, 1080, 1080), 1.19595216),
    "single": ("imagexpress", "vendor-imagexpress-exported/9987_Plate_3420", ["B02"], 1, (1, 256, 256), 1.3672),
    "stacks": ("imagexpress", "vendor-imagexpress-exported/9987_Plate_3434", ["B02", "B03"], 2, (3, 256, 256), 1.3672),
    "times": ("imagexpress", "vendor-imagexpress-exported/9987_Plate_3435", ["B02", "B03"], 2, (2, 256, 256), 1.3672),
    "yokogawa": ("cellvoyager", "vendor-yokogawa-cv8000", ["D08", "E03", "F08"], 4, (2, 2000, 2000), 0.325),
}


def ingest(base, folder, kind, wells, **options):
    lines = ["well\tperturbation\tcontrol_type", *(f"{well}\t\tnegcon" for well in wells)]
    (base / "layout.tsv").write_text("\n".join(lines) + "\n")
    row = {"plate": "V", "batch": "b", "reader": "scope", "path": str(folder), "layout": "layout.tsv"}
    reader = {"name": "scope", "kind": kind, **options.pop("reader", {})}
    cfg = {"plate": row, "reader": reader, "ingest": {"allow_missing": False, "chunk_px": 256, **options}}
    results = Results(base / "results")
    manifest = ingest_plate.run(results, cfg, plate="V", base=base, threads=2)
    return manifest, PlateStore(results.store("V")), pd.read_parquet(results.fields("V"))


def expected(name, folder, well, field):
    """Return the pixels of a field by the names that the instrument's manual gives, not by its metadata."""
    if name == "operetta":
        stacks = [[f"Images/r03c03f{int(field):02d}p01-ch1sk1fk1fl1.tiff"]]
    elif name == "single":
        stacks = [["TimePoint_1/9987_B02.TIF"]]
    elif name == "yokogawa":
        stem = f"CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_{well}_T0001F{int(field):03d}L01A"
        stacks = [[f"{stem}{c:02d}Z{z:02d}C{c:02d}.tif" for z in (1, 2, 3, 4)] for c in (1, 2)]
    else:
        depths = ["ZStep_1/", "ZStep_2/"] if name == "stacks" else [""]
        waves = (1, 2, 3) if name == "stacks" else (1, 2)
        stacks = [[f"TimePoint_1/{z}9987_{well}_s{field}_w{w}.TIF" for z in depths] for w in waves]
    return np.stack([np.max([tifffile.imread(folder / file) for file in stack], axis=0) for stack in stacks])


@pytest.mark.parametrize("name", PLATES)
def test_the_store_holds_the_pixels_of_the_files(shared_data, tmp_path, name):
    kind, folder, wells, n_fields, shape, pixel_size = PLATES[name]
    folder = shared_data / folder
    if kind == "cellvoyager":
        (path,) = folder.rglob("MeasurementData.mlf")
        folder = path.parent
    manifest, store, table = ingest(tmp_path, folder, kind, wells)
    assert table["well"].value_counts().to_dict() == dict.fromkeys(wells, n_fields)
    assert store.shape == shape
    assert manifest.counts["pixel_size_um"] == pytest.approx(pixel_size)
    assert table["y_um"].notna().all() == (kind != "imagexpress")
    for row in table.itertuples():
        np.testing.assert_array_equal(store.read_field(row.group), expected(name, folder, row.well, row.field))


@pytest.mark.parametrize(("plate", "well", "site"), [("BR00123947", "G01", 0), ("CP-CC9-R1-05", "L07", 1)])
def test_the_sites_of_jump_by_channel_name(shared_data, tmp_path, plate, well, site):
    """Five channels of an array that is no OME-Zarr; the two sites have intensity ranges of their own."""
    folder = shared_data / "jump-rab30-zarr"
    rows = pd.DataFrame(table_of_zarr(folder)).query("plate == @plate").drop(columns="plate")
    rows.to_csv(tmp_path / "images.csv", index=False)
    reader = {"metadata": "images.csv", "pixel_size_um": 0.6}
    manifest, store, table = ingest(tmp_path, folder, "image_table", [well], reader=reader)
    assert (list(table["well"]), manifest.counts["wells"], manifest.counts["missing_images"]) == ([well], 1, 0)
    names = pd.read_csv(folder / "channels.csv").sort_values("idx")["channel"].tolist()
    assert sorted(store.channel_names) == sorted(names)
    x_CYX = zarr.open_array(folder / "images.zarr/images", mode="r")[site]
    for channel, stored_YX in zip(store.channel_names, store.read_field(table["group"][0]), strict=True):
        np.testing.assert_array_equal(stored_YX, x_CYX[names.index(channel)])


@pytest.mark.parametrize("allow_missing", [False, True])
def test_a_field_without_any_image(tmp_path, allow_missing):
    selection = '"Sites", TRUE\n"SiteSelection1", TRUE, TRUE\n"Waves", FALSE\n"WaveName1", "DAPI"\n"TimePoints", 1'
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/p.HTD").write_text(f'"HTSInfoFile", Version 1.0\n"WellsSelection1", TRUE, TRUE\n{selection}\n')
    for stem in ("A01_s1", "A01_s2", "A02_s2"):
        tifffile.imwrite(tmp_path / f"raw/p_{stem}.TIF", np.full((64, 64), 7, np.uint16))
    options = {"allow_missing": allow_missing, "reader": {"pixel_size_um": 0.5}}
    if not allow_missing:
        with pytest.raises(InputError, match="well A02, field 1, channel DAPI"):
            ingest(tmp_path, tmp_path / "raw", "imagexpress", ["A01", "A02"], **options)
        return
    manifest, _, table = ingest(tmp_path, tmp_path / "raw", "imagexpress", ["A01", "A02"], **options)
    assert table[["well", "field"]].to_numpy().tolist() == [["A01", "1"], ["A01", "2"], ["A02", "2"]]
    assert "1 fields have no image at all and are left out: A02 field 1" in manifest.warnings
