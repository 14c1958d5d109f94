"""A training set refuses plates that do not belong together, and validates on fixed crops."""

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import DATASET_COLUMNS, canonical, write_text
from platemae.data.dataset import open_training_set
from platemae.errors import ConfigError, TrainingError
from platemae.layout import Results
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"),)
LIMITS = {"P1": {"DNA": (0.0, 510.0)}, "P2": {"DNA": (255.0, 510.0)}}


def add(results: Results, plate: str, level: int, pixel_size_um: float = 0.5, channels=CHANNELS) -> None:
    image = np.full((1, 24, 24), level, np.uint16)
    image[0, 0, 0] += 1
    fields = [FieldSource(f"A/{i}/0", "0", f"A0{i}", lambda: image) for i in (1, 2)]
    write_plate(results.store(plate), plate, fields, channels, pixel_size_um, chunk_px=16, threads=1)


@pytest.fixture
def results(tmp_path) -> Results:
    results = Results(tmp_path)
    add(results, "P1", 100)
    add(results, "P2", 300)
    mapping = IntensityMap("i", "fixed", "plate", ("DNA",), LIMITS, LIMITS["P1"], {"P1": "P1", "P2": "P2"})
    write_text(results.intensity("i"), canonical(mapping.to_json()))
    write_dataset(results)
    return results


def write_dataset(results: Results, validation: bool = True) -> None:
    second = "validation" if validation else "train"
    rows = [[p, "b", f"A0{i}", "0", f"A/{i}/0", second if i == 2 else "train"] for p in ("P1", "P2") for i in (1, 2)]
    results.dataset("d").parent.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=list(DATASET_COLUMNS)).to_parquet(results.dataset("d"))


def test_each_plate_gets_its_own_map(results):
    data = open_training_set(results, "d", "i", 8)
    assert data.channels == CHANNELS
    assert data.plates == ("P1", "P2")
    batches = data.validation_batches(10, 4, seed=0)
    assert [len(b) for b in batches] == [4, 4, 2]
    crops = np.concatenate(batches)
    # 100 of 0..510 is 50; 300 of 255..510 is 45. Crops take the two fields in turn.
    np.testing.assert_allclose(crops[0::2, 0, -1, -1], 50)
    np.testing.assert_allclose(crops[1::2, 0, -1, -1], 45)
    np.testing.assert_array_equal(crops, np.concatenate(data.validation_batches(10, 3, seed=0)))


def test_no_field_to_validate(results):
    write_dataset(results, validation=False)
    with pytest.raises(TrainingError, match="dataset d has no field for validation"):
        open_training_set(results, "d", "i", 8)


def test_two_magnifications_are_refused(results):
    add(results, "P2", 300, pixel_size_um=0.65)
    with pytest.raises(ConfigError, match=r"P1 0\.5 µm, P2 0\.65 µm"):
        open_training_set(results, "d", "i", 8)


def test_plates_whose_stains_are_spelled_differently_train_together(results):
    expected = np.concatenate(open_training_set(results, "d", "i", 8).validation_batches(10, 4, seed=0))
    add(results, "P1", 100, channels=(StoreChannel("w1", "DAPI"),))
    data = open_training_set(results, "d", "i", 8)
    assert data.channels == CHANNELS
    np.testing.assert_array_equal(np.concatenate(data.validation_batches(10, 4, seed=0)), expected)
    add(results, "P2", 300, channels=(StoreChannel("w1", "GFP"),))
    with pytest.raises(ConfigError, match=r"plate P2 lacks DNA: dataset d expects DNA \(DNA\)"):
        open_training_set(results, "d", "i", 8)
