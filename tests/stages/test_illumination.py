"""Illumination through the stages: off changes nothing, on changes what models read, and only that."""

import numpy as np
import pandas as pd
import pytest

from platemae.config.sections import IntensityEntry, QcSection
from platemae.contracts import Manifest
from platemae.data.dataset import open_plate
from platemae.errors import ContractError, MissingError
from platemae.layout import Results
from platemae.stages import build_dataset, fit_intensity, qc_plate
from platemae.store.illumination import EvenStore, Illumination, open_store, read_illumination
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import PlateStore, StoreChannel

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("Actin", "Phalloidin"))


def qc(results, illumination):
    settings = QcSection(illumination=illumination, min_foreground=0, max_saturation=1, min_focus=0)
    cfg = {"qc": settings.model_dump(exclude={"gate"}) | {"stop": False}}
    manifest = qc_plate.run(results, cfg, plate="P1", threads=1)
    manifest.write(results.manifest("qc_plate", plate="P1"))
    return manifest, pd.read_parquet(results.qc("P1"))


def dataset(results):
    entry = {
        "name": "d",
        "plates": ["P1"],
        "validation_fraction": 0.3,
        "fraction": 1.0,
        "seed": 0,
        "exclude_failed": True,
    }
    return build_dataset.run(results, {"dataset": entry}, dataset="d").digest


def intensity(results):
    entry = IntensityEntry(name="all", fit_on="all", quantiles=(0.01, 0.99)).model_dump(mode="json")
    cfg = {"intensity": entry | {"fit_plates": ["P1"], "exclude_failed": True}}
    return fit_intensity.run(results, cfg, intensity="all", threads=1)


@pytest.fixture
def results(tmp_path, write_plate_of):
    results = Results(tmp_path / "results")
    write_plate_of(results, "P1", CHANNELS, seed=1)
    digest = PlateStore(results.store("P1")).digest
    Manifest("ingest_plate", digest, {"pixels": digest}).write(results.manifest("ingest_plate", plate="P1"))
    return results


def test_off_on_and_off_again(results):
    off, table = qc(results, "none")
    assert not results.illumination("P1").exists()
    assert "illumination" not in off.counts
    plain = dataset(results)
    on, same = qc(results, "retrospective")
    light = read_illumination(results.illumination("P1"))
    assert on.counts["illumination"] == light.digest
    assert on.digest != off.digest
    assert any("below 32" in warning for warning in on.warnings)
    pd.testing.assert_frame_equal(same, table)  # QC stays on source pixels
    assert dataset(results) != plain
    again, _ = qc(results, "none")
    assert again == off
    assert not results.illumination("P1").exists()
    assert dataset(results) == plain


def test_the_map_is_fitted_on_what_models_read(results):
    qc(results, "retrospective")
    intensity(results)
    fitted = IntensityMap.read(results.intensity("all"))
    source = open_plate(results, "P1", "b1", CHANNELS, fitted, "a test")
    assert isinstance(source.store, EvenStore)
    store = PlateStore(results.store("P1"))
    light = read_illumination(results.illumination("P1")).window(store.shape[1:], (0, 48), (0, 48))
    even = np.stack([store.read_field(group) / light for group in store.fields])
    for c, channel in enumerate(CHANNELS):
        np.testing.assert_allclose(fitted.pooled[channel.name], np.quantile(even[:, c], (0.01, 0.99)), rtol=1e-4)
    low, high = fitted.pooled["DNA"]
    expected = np.clip((even[2, 0] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(source.read_field(store.fields[2])[0], expected, atol=0.01)


def test_a_plate_that_is_not_corrected_reads_as_stored(results):
    qc(results, "none")
    intensity(results)
    fitted = IntensityMap.read(results.intensity("all"))
    store = open_plate(results, "P1", "b1", CHANNELS, fitted, "a test").store
    assert type(store) is PlateStore
    assert store.read_field(store.fields[0]).dtype == np.uint16


def test_without_a_correction_models_read_the_plate_as_it_is(results):
    qc(results, "none")
    store = open_store(results, "P1")
    assert type(store) is PlateStore
    assert store.dtype == np.uint16


@pytest.mark.parametrize("read", [lambda results: open_store(results, "P1"), intensity, dataset])
def test_a_function_that_is_gone_or_another_one_is_an_error(results, read):
    """It is no declared output: without a check models would read uncorrected pixels under a corrected name."""
    qc(results, "retrospective")
    path = results.illumination("P1")
    light = read_illumination(path)
    path.unlink()
    with pytest.raises(MissingError, match="the illumination of plate P1 is gone") as gone:
        read(results)
    assert "platemae qc-plate --plate P1" in gone.value.remedy
    Illumination(light.channels, light.grid_CGG * 2, light.fields).write(path)
    with pytest.raises(ContractError, match="not the one that quality control noted"):
        read(results)
