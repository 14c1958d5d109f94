"""embed_plate: channels by name, means over tiles, and the same digest for the same input."""

import signal
import subprocess
import sys

import anndata
import numpy as np
import pytest
import torch

from platemae.contracts import OBS_COLUMNS
from platemae.data.dataset import open_plate
from platemae.embedding.tiling import tile_field
from platemae.errors import ConfigError, InputError
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.stages.embed_plate import run
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel

DNA, ACTIN = StoreChannel("DNA", "Hoechst"), StoreChannel("Actin", "Phalloidin")


@pytest.fixture
def results(make_screen, write_model_of) -> Results:
    results = make_screen()
    write_model_of(results)
    return results


def embed(results: Results, plate: str = "P1", tiling: str = "overlap", batch: int = 16, exclude_failed: bool = True):
    settings = {"tiling": tiling, "pooling": "mean", "batch": batch}
    cfg = {"embed": settings, "exclude_failed": exclude_failed}
    manifest = run(results, cfg, model="m", plate=plate, threads=1)
    return manifest, anndata.read_h5ad(results.embedding("m", plate))


@pytest.mark.parametrize("tiling", ["overlap", "reflect", "drop"])
def test_wells_equal_a_slow_loop(results, write_plate_of, tiling):
    write_plate_of(results, "P3", size=40, failed={("A02", "1"), ("B01", "0"), ("B01", "1")})
    manifest, data = embed(results, "P3", tiling)
    module, facts = load_model(results.model("m"))
    intensity, store = IntensityMap.from_json(facts["intensity"]), PlateStore(results.store("P3"))
    kept = {"A01": ["A/1/0", "A/1/1"], "A02": ["A/2/0"], "B02": ["B/2/0", "B/2/1"]}
    assert data.obs["Metadata_Well"].tolist() == list(kept)
    for row, groups in enumerate(kept.values()):
        vectors = []
        for group in groups:
            x = intensity.to_uint8range(store.read_field(group), "P3")
            for tile in tile_field(40, 40, 16, tiling).cut(x):
                vectors.append(module.embed(torch.from_numpy(tile[None].copy())).detach().double().numpy()[0])
        np.testing.assert_allclose(data.X[row], np.mean(vectors, axis=0), rtol=1e-4, atol=1e-5)
        assert data.obs["n_fields"].iloc[row] == len(groups)
        assert data.obs["n_tiles"].iloc[row] == len(vectors)
    assert list(data.obs.columns) == [*OBS_COLUMNS, "n_fields", "n_tiles"]
    assert manifest.counts["wells_dropped"] == 1
    assert manifest.counts["fields_excluded"] == 3
    assert "B01" in manifest.warnings[0]


def test_same_input_same_digest(results):
    first = embed(results)[0]
    assert embed(results)[0] == first
    assert embed(results, "P2")[0].digest != first.digest


def test_channels_are_taken_by_name(results, write_plate_of):
    expected = embed(results)[1].X
    write_plate_of(results, "P1", (ACTIN, StoreChannel("BF", "none"), DNA), seed=1)
    manifest, data = embed(results)
    assert np.array_equal(data.X, expected)
    assert manifest.warnings == ["plate P1: the model does not look at BF"]


@pytest.mark.parametrize(
    ("channels", "problem"),
    [
        ((DNA, StoreChannel("ER", "ConA")), "lacks Actin"),
        ((DNA, StoreChannel("Actin", "SiR")), "has another stain in Actin"),
        ((DNA, StoreChannel("w2", "F-actin"), StoreChannel("w3", "phalloidin")), "has no single channel for Actin"),
    ],
)
def test_other_channels_are_refused_with_both_lists(results, write_plate_of, channels, problem):
    write_plate_of(results, "P1", channels)
    with pytest.raises(ConfigError, match=problem) as error:
        embed(results)
    assert "model m expects DNA (Hoechst), Actin (Phalloidin)" in error.value.what
    assert f"the plate has {', '.join(f'{c.name} ({c.stain})' for c in channels)}" in error.value.what
    assert not results.embedding("m", "P1").exists()


def test_the_map_of_the_model_is_applied_and_not_the_folder(results):
    expected = embed(results)[0].digest
    results.intensity("fixed").unlink()
    assert embed(results)[0].digest == expected


def test_fields_smaller_than_a_tile_and_plates_without_fields(results, write_plate_of):
    write_plate_of(results, "P1", size=12)
    with pytest.raises(ConfigError, match="12 x 12 pixels is smaller than a tile of 16"):
        embed(results)
    assert embed(results, tiling="reflect")[1].obs["n_tiles"].tolist() == [2] * 4
    every = {(well, field) for well in ("A01", "A02", "B01", "B02") for field in "01"}
    write_plate_of(results, "P1", failed=every)
    with pytest.raises(InputError, match="no field of the plate passed"):
        embed(results)


def test_a_kill_leaves_nothing_that_looks_finished(results):
    code = """
import sys, time
from pathlib import Path
from anndata import AnnData
from platemae.layout import Results
from platemae.stages.embed_plate import run
whole = AnnData.write_h5ad
def then_hang(data, path):
    whole(data, path)
    print("written", flush=True)
    time.sleep(60)
AnnData.write_h5ad = then_hang
cfg = {"embed": {"tiling": "overlap", "pooling": "mean", "batch": 8}, "exclude_failed": True}
run(Results(Path(sys.argv[1])), cfg, model="m", plate="P1", threads=1)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(results.root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not results.embedding("m", "P1").exists()
    assert embed(results)[0].counts["wells"] == 4


def test_order_of_reading_reaches_the_map(results):
    """The map's limits follow the model's channels, not the store's."""
    limits = {"Actin": (0.0, 255.0), "DNA": (0.0, 510.0)}
    intensity = IntensityMap("i", "fixed", "dataset", ("Actin", "DNA"), {}, limits, {})
    source = open_plate(results, "P1", "b1", (ACTIN, DNA), intensity, "test")
    raw = PlateStore(results.store("P1")).read_field("A/1/0").astype(np.float32)
    expected = np.stack([raw[1].clip(0, 255), (raw[0] / 2).clip(0, 255)])
    np.testing.assert_allclose(source.read_field("A/1/0"), expected, rtol=1e-6)
