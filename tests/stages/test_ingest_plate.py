"""ingest_plate: folders of TIFFs become a store and a table; every bad folder is one clear error."""

import dataclasses
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from platemae.contracts import CELLS_COLUMNS, FIELDS_COLUMNS, Manifest
from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError
from platemae.layout import Results
from platemae.stages import ingest_plate
from platemae.store.plate_reader import PlateStore
from platemae.synthetic import PooledSettings, write_screen
from platemae.wells import join_well

CHANNELS = ("dna", "er")
LAYOUT = {"A01": ("", "negcon"), "A02": ("g1", "treatment"), "B01": ("g2", "treatment"), "B02": ("g3", "poscon")}
PATTERN = r"(?P<well>[A-P]\d+)_s(?P<field>\d+)_(?P<channel>\w+)\.tif"


def image(well, field, channel, dtype="uint16"):
    """Pixels that tell where they belong."""
    rng = np.random.default_rng([ord(well[0]), int(well[1:]), int(field), CHANNELS.index(channel)])
    return rng.integers(100, 250, (40, 56)).astype(dtype)


def write_raw(folder, wells=tuple(LAYOUT), fields=("1", "2"), dtype="uint16", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for well in wells:
        for field in fields:
            for channel in CHANNELS:
                name = f"{well[0]}{int(well[1:])}_s{field}_{channel}.tif"
                tifffile.imwrite(folder / name, image(well, field, channel, dtype), **options)


def write_layout(path, layout=LAYOUT):
    lines = ["well\tperturbation\tcontrol_type"]
    path.write_text("\n".join(lines + [f"{well}\t{p}\t{kind}" for well, (p, kind) in layout.items()]) + "\n")


def make_cfg(plate="P1", **ingest):
    channels = [{"source": c, "name": c.upper(), "stain": f"{c} dye"} for c in CHANNELS]
    entry = {"name": "scope", "kind": "pattern", "pattern": PATTERN, "channels": channels, "pixel_size_um": 0.65}
    row = {"plate": plate, "batch": "b1", "reader": "scope", "path": f"raw/{plate}", "layout": "layout.tsv"}
    return {"plate": row, "reader": entry, "ingest": {"allow_missing": False, "chunk_px": 32} | ingest}


@pytest.fixture
def base(tmp_path):
    """A folder as a user has it: raw images and a layout."""
    write_raw(tmp_path / "raw" / "P1")
    write_layout(tmp_path / "layout.tsv")
    return tmp_path


def ingest(base, results=None, cfg=None, plate="P1"):
    results = results or Results(base / "results")
    manifest = ingest_plate.run(results, cfg or make_cfg(plate), plate=plate, base=base, threads=2)
    manifest.write(results.manifest("ingest_plate", plate=plate))
    return manifest


def nothing_half_written(base):
    left = [p for p in (base / "results").rglob("*") if p.is_file()] if (base / "results").exists() else []
    return left == [] and not list(base.glob("results/plates/.*"))


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


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_missing_channel_file_is_named(base):
    (base / "raw" / "P1" / "B1_s2_er.tif").unlink()
    with pytest.raises(InputError, match="no file for plate P1, well B01, field 2, channel ER"):
        ingest(base)
    assert nothing_half_written(base)


def test_a_missing_channel_may_be_allowed(base):
    (base / "raw" / "P1" / "B1_s2_er.tif").unlink()
    manifest = ingest(base, cfg=make_cfg(allow_missing=True))
    table = pd.read_parquet(Results(base / "results").fields("P1")).set_index(["well", "field"])
    assert table.loc[("B01", "2"), "missing_channels"] == "ER"
    assert (table["missing_channels"] != "").sum() == 1
    x_CYX = PlateStore(Results(base / "results").store("P1")).read_field("B/1/1")
    assert not x_CYX[1].any()
    np.testing.assert_array_equal(x_CYX[0], image("B01", "2", "dna"))
    assert manifest.counts["missing_images"] == 1


def test_wells_that_only_one_side_knows(base):
    write_layout(base / "layout.tsv", {w: v for w, v in LAYOUT.items() if w != "B02"} | {"H12": ("g9", "treatment")})
    with pytest.raises(ConfigError, match="2 problems") as caught:
        ingest(base)
    assert "names 1 wells that the plate lacks: H12" in caught.value.what
    assert "1 wells of plate P1 are not in its layout: B02" in caught.value.what
    assert nothing_half_written(base)


def test_problems_of_layout_and_folder_come_together(base):
    write_layout(base / "layout.tsv", {"A1": ("", "nonsense")})
    (base / "raw" / "P1" / "A1_s1_gfp.tif").write_bytes(b"")
    with pytest.raises(PlatemaeError) as caught:
        ingest(base)
    assert "nonsense" in caught.value.what
    assert "unknown channel 'gfp'" in caught.value.what


def test_truncated_and_nan_images_are_all_named(base):
    folder = base / "raw" / "P1"
    write_raw(folder, dtype="float32")
    bad = image("A01", "2", "er", "float32")
    bad[0, 0] = np.nan
    tifffile.imwrite(folder / "A1_s2_er.tif", bad)
    cut = (folder / "B2_s1_dna.tif").read_bytes()
    (folder / "B2_s1_dna.tif").write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match="2 problems") as caught:
        ingest(base)
    assert "not finite (NaN or infinity) [" in caught.value.what
    assert "plate P1, well A01, field 2, channel ER: a TIFF has pixels" in caught.value.what
    assert "A1_s2_er.tif" in caught.value.what
    assert "plate P1, well B02, field 1, channel DNA: a TIFF" in caught.value.what
    assert "B2_s1_dna.tif" in caught.value.what
    assert nothing_half_written(base)


def test_an_image_that_may_not_be_read_is_named(base, monkeypatch):
    plain = os.open

    def guarded(path, *args, **kw):  # root, who may run the tests, is refused nothing
        if str(path).endswith("B1_s2_er.tif"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain(path, *args, **kw)

    monkeypatch.setattr(os, "open", guarded)
    with pytest.raises(InputError) as caught:
        ingest(base)
    assert caught.value.what.startswith("plate P1, well B01, field 2, channel ER: a TIFF cannot be read: Permission")
    assert caught.value.where.endswith("B1_s2_er.tif")
    assert "permissions" in caught.value.remedy
    assert nothing_half_written(base)


def test_a_folder_in_the_place_of_an_image_is_a_missing_image(base):
    (base / "raw" / "P1" / "B1_s2_er.tif").unlink()
    (base / "raw" / "P1" / "B1_s2_er.tif").mkdir()
    with pytest.raises(InputError, match="no file for plate P1, well B01, field 2, channel ER"):
        ingest(base)


def test_one_field_of_another_size_is_named(base):
    for channel in CHANNELS:
        tifffile.imwrite(base / "raw" / "P1" / f"A2_s2_{channel}.tif", np.ones((40, 40), np.uint16))
    with pytest.raises(InputError, match=r"40 x 40 uint16, the others of plate P1 are 40 x 56 uint16"):
        ingest(base)
    assert nothing_half_written(base)


def test_a_failed_run_keeps_the_old_store_and_its_manifest(base):
    ingest(base)
    results = Results(base / "results")
    (base / "raw" / "P1" / "A1_s1_dna.tif").write_bytes(b"II*\0")
    with pytest.raises(InputError):
        ingest(base)
    np.testing.assert_array_equal(PlateStore(results.store("P1")).read_field("A/1/0")[0], image("A01", "1", "dna"))
    assert Manifest.read(results.manifest("ingest_plate", plate="P1")).counts["fields"] == 8


def test_no_folder(base):
    with pytest.raises(MissingError, match="folder of a plate is missing"):
        ingest(base, cfg=make_cfg() | {"plate": make_cfg()["plate"] | {"path": "raw/elsewhere"}})


def test_a_synthetic_plate_whose_copy_still_runs(tmp_path):
    folder = tmp_path / "raw" / "P1"
    (folder / "Images").mkdir(parents=True)
    tifffile.imwrite(folder / "Images" / "r01c01f01-ch1.tiff", np.ones((8, 8), np.uint16))
    description = {
        "pixel_size_um": 0.65,
        "channels": [{"index": 1, "name": "DNA", "stain": "Hoechst"}],
        "n_images": 2,
        "file_pattern": r"r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d+)-ch(?P<channel>\d+)\.tiff",
    }
    (folder / "plate.json").write_text(json.dumps(description))
    write_layout(tmp_path / "layout.tsv", {"A01": ("", "negcon")})
    cfg = make_cfg() | {"reader": {"name": "synthetic", "kind": "synthetic"}}
    with pytest.raises(InputError, match="plate P1 has 1 images, its own metadata lists 2") as caught:
        ingest(tmp_path, cfg=cfg)
    assert "wait until the copy is complete" in caught.value.remedy
    assert ingest(tmp_path, cfg=cfg | {"ingest": {"allow_missing": True, "chunk_px": 32}}).counts["fields"] == 1


# -- forms ------------------------------------------------------------------------------------------------------------


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


def test_8_bits_need_a_range_for_every_channel(base):
    with pytest.raises(ConfigError, match="no range for ER"):
        ingest(base, cfg=make_cfg(dtype="uint8", uint8_range={"DNA": (0.0, 1.0)}))
    assert nothing_half_written(base)


# -- a disk that takes no more ----------------------------------------------------------------------------------------


def run_command(base, wrap=(), **ingest):
    """Ingest on the command line, maybe within another command."""
    job = [sys.executable, "-m", "platemae.cli", "ingest-plate", "--plate", "P1", "--results", str(base / "results")]
    job += ["--base", str(base), "--cfg", json.dumps(make_cfg(**ingest)), "--code", "c", "--threads", "2"]
    return subprocess.run([*wrap, *job], capture_output=True, text=True)


DISK = 'mount -t tmpfs -o size=32k tmpfs "$0" && '
FILL_IT = DISK + '{ "$@"; code=$?; find "$0" -type f | sed "s/^/left: /"; exit $code; }'
FILL_IT_THEN_GROW = DISK + '{ "$@"; mount -o remount,size=64m "$0" && "$@" && ls "$0/plates"; }'


@pytest.fixture
def small_disk(base):
    """A function that runs the ingest with its results on a disk of 32 kB, in a mount namespace of its own."""
    (base / "results").mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, 'mount -t tmpfs tmpfs "$0"', str(base / "results")], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    return lambda script, **ingest: run_command(base, [*unshare, script, str(base / "results")], **ingest)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_full_disk(small_disk, form):
    done = small_disk(FILL_IT, form=form)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    named = r"error:  plate P1, well [AB]0\d, field \d \(one file of channels DNA, ER\) cannot be written: "
    assert re.search(named + "the disk is full", done.stderr)
    assert "remedy: free space" in done.stderr
    left = [line for line in done.stdout.splitlines() if line.startswith("left: ")]
    assert all(line.endswith("logs/errors/ingest_plate/P1.json") for line in left)
    repaired = small_disk(FILL_IT_THEN_GROW, form=form)
    assert repaired.returncode == 0
    store = "P1.zarr" if form == "folder" else "P1.zarr.zip"
    assert repaired.stdout.split() == ["P1.fields.parquet", "P1.manifest.json", store]


def test_a_file_that_may_not_grow(base):
    done = run_command(base, ["prlimit", "--fsize=20000"], form="zip")
    assert done.returncode == 2
    named = r"plate P1, well [AB]0\d, field \d \(one file of channels DNA, ER\) cannot be written: "
    assert re.search(named + "the file grows beyond what", done.stderr)
    assert "Traceback" not in done.stderr
    assert list((base / "results" / "plates").iterdir()) == []
    assert run_command(base, form="zip").returncode == 0


def test_a_folder_that_cannot_be_written(small_disk):
    done = small_disk('mount -t tmpfs -o ro tmpfs "$0" && exec "$@"')
    assert done.returncode == 2
    assert "the store of plate P1 cannot be written: the disk is read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_where_the_results_should_be(base):
    (base / "results").write_text("")
    done = run_command(base)
    assert done.returncode == 2
    assert "the store of plate P1 cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_wells(tmp_path):
    """Peaks of 96, 384 and 1536 wells of 64 kB: 100 MB of pixels may cost no more than their list of names."""
    tifffile.imwrite(tmp_path / "one.tif", np.random.default_rng(0).integers(0, 4000, (128, 128)).astype(np.uint16))
    peaks = [peak_memory(tmp_path, rows, columns) for rows, columns in ((8, 12), (16, 24), (32, 48))]
    assert max(peaks) - min(peaks) < 20, peaks
    assert max(peaks) < 400, peaks


PEAK = """
import json, sys
from pathlib import Path
from platemae.layout import Results
from platemae.stages import ingest_plate
base, cfg = Path(sys.argv[1]), json.loads(sys.argv[2])
ingest_plate.run(Results(base / "results"), cfg, plate="P1", base=base, threads=2)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_memory(base, rows, columns):
    """Ingest a plate of that many wells in a process of its own; return its largest resident memory in MB."""
    folder = base / "raw" / "P1"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wells = [join_well(str(row), str(column)) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    for well in wells:
        for channel in CHANNELS:
            os.link(base / "one.tif", folder / f"{well}_s1_{channel}.tif")
    write_layout(base / "layout.tsv", dict.fromkeys(wells, ("g", "treatment")))
    cfg = make_cfg(chunk_px=64)
    cfg["reader"]["pattern"] = PATTERN.replace("A-P", "A-Z").replace("]", "]+", 1)
    done = subprocess.run([sys.executable, "-c", PEAK, str(base), json.dumps(cfg)], capture_output=True, text=True)
    return int(done.stdout) / 1024


# -- pooled plates ----------------------------------------------------------------------------------------------------

POOLED_LAYOUT = LAYOUT | {"A02": ("pooled", "treatment"), "B01": ("pooled", "treatment")}
CELLS = ("well,field,cell,y,x,perturbation,control_type", "A2,1,1,39,55,g1,treatment", "B1,02,1,0,0,ntc,negcon")


def pooled_cfg(base, *rows):
    write_layout(base / "layout.tsv", POOLED_LAYOUT)
    (base / "cells.csv").write_text("\n".join(rows or CELLS) + "\n")
    cfg = make_cfg()
    return cfg | {"plate": cfg["plate"] | {"cells": "cells.csv"}, "layouts": {}}


def test_a_pooled_plate_has_a_table_of_its_cells(base):
    results = Results(base / "results")
    arrayed = ingest(base)
    assert not results.cells("P1").exists()
    pooled = ingest(base, cfg=pooled_cfg(base))
    cells = pd.read_parquet(results.cells("P1"))
    assert list(cells.columns) == list(CELLS_COLUMNS)
    assert list(zip(cells["group"], cells["y"], cells["x"], cells["perturbation"], strict=True)) == [
        ("A/2/0", 39, 55, "g1"),
        ("B/1/1", 0, 0, "ntc"),
    ]
    wanted = {"cells": 2, "cell_perturbations": 2, "negcon_cells": 1, "poscon_cells": 0}
    assert {key: pooled.counts[key] for key in wanted} == wanted
    assert pooled.warnings == []
    assert pooled.counts["pixels"] == arrayed.counts["pixels"]
    moved = ingest(base, cfg=pooled_cfg(base, *CELLS[:2], CELLS[2].replace("0,0", "0,1")))
    assert moved.digest != pooled.digest
    write_layout(base / "layout.tsv")
    assert ingest(base).digest == arrayed.digest
    assert not results.cells("P1").exists()


def test_cells_that_cannot_be_are_refused_before_a_pixel_is_written(base):
    with pytest.raises(ConfigError, match="which is 40 x 56 pixels: row 2") as caught:
        ingest(base, cfg=pooled_cfg(base, CELLS[0], CELLS[1].replace("39", "40"), "A1,1,1,1,1,g,treatment"))
    assert "1 cells are in wells that the layout does not call pooled: row 3" in caught.value.what
    assert nothing_half_written(base)


def test_a_pooled_plate_without_controls_or_with_bare_wells_is_warned_about(base):
    warnings = ingest(base, cfg=pooled_cfg(base, *CELLS[:2])).warnings
    assert "1 pooled wells have no cell in the table, such as B01" in warnings
    assert "no cell of the plate is a negative control" in warnings


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


def test_a_pooled_synthetic_plate_joins_every_cell_to_its_field(tmp_path):
    settings = PooledSettings(plates=("P1",), batches=("B1",), rows=1, columns=2, height=64, width=80)
    write_screen(tmp_path, dataclasses.replace(settings, fields_per_well=2), workers=1)
    row = pd.read_csv(tmp_path / "plates.tsv", sep="\t").iloc[0].to_dict()
    cfg = make_cfg() | {"plate": row, "reader": {"name": "synthetic", "kind": "synthetic"}}
    manifest = ingest(tmp_path, cfg=cfg)
    cells = pd.read_parquet(Results(tmp_path / "results").cells("P1"))
    truth = pd.read_csv(tmp_path / "cells" / "P1.tsv", sep="\t", dtype=str, keep_default_na=False)
    truth = truth.assign(y=truth["y"].astype(float), x=truth["x"].astype(float))
    shared = ["well", "field", "cell", "y", "x", "perturbation", "gene", "control_type"]
    keys = ["well", "field", "y", "x"]
    pd.testing.assert_frame_equal(cells[shared], truth.sort_values(keys)[shared].reset_index(drop=True))
    assert manifest.counts["cells"] == len(truth) > 10
    assert set(cells["group"]) == {"A/1/0", "A/1/1", "A/2/0", "A/2/1"}


# -- killed -----------------------------------------------------------------------------------------------------------

SLOW = """
import json, sys, time
from pathlib import Path
from platemae.layout import Results
from platemae.stages import ingest_plate
base, cfg = Path(sys.argv[1]), json.loads(sys.argv[2])
plain = ingest_plate.load_field
def slowly(record, name):
    print("field", flush=True)
    time.sleep(float(sys.argv[3]))
    return plain(record, name)
ingest_plate.load_field = slowly
results = Results(base / "results")
manifest = ingest_plate.run(results, cfg, plate="P1", base=base, threads=1)
manifest.write(results.manifest("ingest_plate", plate="P1"))
"""


def start_slow_ingest(base, seconds, **ingest):
    arguments = [sys.executable, "-c", SLOW, str(base), json.dumps(make_cfg(**ingest)), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("killed", "then"), [("folder", "folder"), ("zip", "zip"), ("zip", "folder")])
def test_kill_9_in_the_middle_then_again(base, tmp_path_factory, killed, then):
    clean = tmp_path_factory.mktemp("clean")
    expected = ingest(base, results=Results(clean))
    job = start_slow_ingest(base, 0.3, form=killed)
    for _ in range(3):
        assert job.stdout.readline() == "field\n"
    job.send_signal(signal.SIGKILL)
    job.wait()
    plates = base / "results" / "plates"
    (left,) = plates.iterdir()
    assert left.name.startswith(".P1.zarr.tmp-" if killed == "folder" else ".P1.zarr.zip.tmp-")
    assert ingest(base, cfg=make_cfg(form=then)).digest == expected.digest
    store = "P1.zarr" if then == "folder" else "P1.zarr.zip"
    assert sorted(p.name for p in plates.iterdir()) == ["P1.fields.parquet", "P1.manifest.json", store]


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_whole_store(base):
    """Kills spread over a re-ingest: the store there is always complete, the old one or the new one."""
    results = Results(base / "results")
    old = ingest(base).counts["pixels"]
    for well in LAYOUT:
        tifffile.imwrite(base / "raw" / "P1" / f"{well[0]}{int(well[1:])}_s1_dna.tif", image("A01", "2", "er"))
    new = ingest(base, results=Results(base / "other")).counts["pixels"]
    assert new != old
    for delay in np.linspace(0.0, 0.2, 8):
        job = start_slow_ingest(base, 0.0)
        assert job.stdout.readline() == "field\n"
        time.sleep(delay)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        store = PlateStore(results.store("P1"))
        assert store.digest in (old, new)
        for group in store.fields:
            store.read_field(group)
    assert ingest(base).counts["pixels"] == new
    assert not list(Path(base / "results" / "plates").glob(".*"))


# -- real plates ------------------------------------------------------------------------------------------------------


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
