"""Images of zeros, from TIFFs to vectors: named in a warning, failed, and never a vector of NaN."""

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile

from platemae.config import Config, stage_config
from platemae.config.plates import read_plates
from platemae.layout import Results
from platemae.qc.gate import FAIL
from platemae.stages import embed_plate, ingest_plate, qc_plate, train_model

CHANNELS = [
    {"source": "w1", "name": "DNA", "stain": "Hoechst"},
    {"source": "w2", "name": "Actin", "stain": "Phalloidin"},
]
PATTERN = r"(?P<well>[A-P]\d+)_s(?P<field>\d+)_(?P<channel>w\d)\.tif"
CV8000_PATTERN = r".*_(?P<well>[A-P]\d\d)_T0001F(?P<field>\d{3})L01A0\dZ(?P<z>\d\d)(?P<channel>C0\d)\.tif"


def qc_of(results, base, wells, plate="P1", pattern=PATTERN, channels=CHANNELS, path="raw"):
    """Ingest a folder through the pattern reader and judge it; return the QC manifest."""
    lines = [f"{well}\t{'negcon' if i == 0 else 'treatment'}\tg{i}" for i, well in enumerate(wells)]
    (base / "layout.tsv").write_text("well\tcontrol_type\tperturbation\n" + "\n".join(lines) + "\n")
    row = f"{plate}\tb1\tscope\t{path}\tlayout.tsv"
    (base / "plates.tsv").write_text(f"plate\tbatch\treader\tpath\tlayout\n{row}\n")
    reader = {"name": "scope", "kind": "pattern", "pattern": pattern, "channels": channels, "pixel_size_um": 0.65}
    config = Config(readers=[reader])
    plates = read_plates(base / "plates.tsv", ["scope"])
    cfg = {stage: stage_config(config, plates, stage, plate=plate) for stage in ("ingest_plate", "qc_plate")}
    ingested = ingest_plate.run(results, cfg["ingest_plate"], plate=plate, base=base, threads=1)
    ingested.write(results.manifest("ingest_plate", plate=plate))
    return qc_plate.run(results, cfg["qc_plate"], plate=plate, threads=1)


def write_raw(folder, wells, blank):
    """Two fields a well of bright squares; ``blank`` holds (well, field, channel) of images of zeros."""
    folder.mkdir(parents=True)
    for i, well in enumerate(wells):
        for field in ("1", "2"):
            for c, channel in enumerate(("w1", "w2")):
                rng = np.random.default_rng([i, int(field), c])
                x_YX = rng.normal(300, 8, (64, 64))
                x_YX[8:40, 8:40] += rng.gamma(4.0, 150.0, (32, 32))
                pixels = np.zeros((64, 64)) if (well, field, channel) in blank else x_YX
                tifffile.imwrite(folder / f"{well}_s{field}_{channel}.tif", pixels.astype(np.uint16))


def test_a_blank_image_is_named_and_fails_its_field(tmp_path):
    wells = ("A01", "A02", "B01", "B02")
    write_raw(tmp_path / "raw", wells, {("A02", "1", "w2"), ("B01", "2", "w1"), ("B01", "2", "w2")})
    results = Results(tmp_path / "results")
    manifest = qc_of(results, tmp_path, wells)
    assert "images whose every pixel is zero: well A02, field 1 (Actin); well B01, field 2 (DNA, Actin)" in (
        manifest.warnings
    )
    table = pd.read_parquet(results.qc("P1"))
    failed = table[table["verdict"] == FAIL].drop_duplicates(["well", "field"]).set_index(["well", "field"])["reason"]
    assert failed.to_dict() == {
        ("A02", "1"): "blank image, every pixel is zero: Actin",
        ("B01", "2"): "blank image, every pixel is zero: DNA, Actin",
    }


@pytest.mark.parametrize(
    ("exclude_failed", "wells"), [(True, ["A01", "A02", "B02"]), (False, ["A01", "A02", "B01", "B02"])]
)
def test_a_well_of_blank_images_has_no_vector_or_a_finite_one(make_screen, train_cfg, tmp_path, exclude_failed, wells):
    """Left out by default; a gate that only warns embeds it, as numbers."""
    results = make_screen()
    train_model.run(results, train_cfg("untrained"), model="m", threads=1)
    every = ("A01", "A02", "B01", "B02")
    write_raw(tmp_path / "raw", every, {("B01", f, c) for f in ("1", "2") for c in ("w1", "w2")})
    qc_of(results, tmp_path, every, plate="P7")
    settings = {"tiling": "overlap", "pooling": "mean", "batch": 8}
    cfg = {"embed": settings, "exclude_failed": exclude_failed}
    manifest = embed_plate.run(results, cfg, model="m", plate="P7", threads=1)
    data = anndata.read_h5ad(results.embedding("m", "P7"))
    assert data.obs["Metadata_Well"].tolist() == wells
    assert np.isfinite(data.X).all()
    assert any("B01" in warning for warning in manifest.warnings) == exclude_failed


def test_a_real_plate_whose_pixels_were_blanked(shared_data, tmp_path):
    """CellVoyager: 3 wells, 4 fields, 2 channels; its owner set every pixel to zero."""
    root = shared_data / "vendor-yokogawa-cv8000"
    folder = next(path.parent for path in root.rglob("MeasurementData.mlf"))
    channels = [{"source": "C01", "name": "DNA", "stain": "DAPI"}, {"source": "C02", "name": "GFP", "stain": "GFP"}]
    results = Results(tmp_path / "results")
    wells = ("D08", "E03", "F08")
    manifest = qc_of(results, tmp_path, wells, pattern=CV8000_PATTERN, channels=channels, path=str(folder))
    assert manifest.counts["failed"] == manifest.counts["fields"] == 12
    assert manifest.counts["failed_by"] == {"blank": 12}
    blank = next(warning for warning in manifest.warnings if warning.startswith("images whose every pixel is zero"))
    assert "well D08, field 1 (DNA, GFP)" in blank
    assert blank.endswith("and 4 more fields")
    table = pd.read_parquet(results.qc("P1"))
    assert set(table["zeros"]) == {1.0}
    assert np.isfinite(table[["focus", "slope", "laplacian", "cells", "saturation"]].to_numpy()).all()
