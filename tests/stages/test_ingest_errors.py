"""ingest_plate: every bad folder is one clear error that names its images, and nothing half-written stays."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
import tifffile

from platemae.contracts import Manifest
from platemae.errors import ConfigError, InputError, MissingError, PlatemaeError
from platemae.layout import Results
from platemae.store.plate_reader import PlateStore
from tests.stages.raw_plate import (
    CHANNELS,
    LAYOUT,
    base,
    image,
    ingest,
    make_cfg,
    nothing_half_written,
    write_layout,
    write_raw,
)

__all__ = ["base"]  # the fixture


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


def test_8_bits_need_a_range_for_every_channel(base):
    with pytest.raises(ConfigError, match="no range for ER"):
        ingest(base, cfg=make_cfg(dtype="uint8", uint8_range={"DNA": (0.0, 1.0)}))
    assert nothing_half_written(base)
