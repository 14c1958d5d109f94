"""Crops equal a slow read of the whole field, whatever is cached, threaded or divided."""

from itertools import islice

import numpy as np
import pytest

from platemae.data.channels import channel_order
from platemae.data.crops import CropSource, FieldCache, PlateSource, default_cache_bytes, training_batches
from platemae.data.sampler import CropSpec, turn
from platemae.errors import ConfigError, MissingError
from platemae.store.plate_reader import SHARD_FILE, PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

DNA, ACTIN, ER = (StoreChannel(name, f"{name} stain") for name in ("DNA", "Actin", "ER"))
GROUPS = ("A/1/0", "A/2/0", "B/1/0")
SIZES = {"P1": (40, 52), "P2": (33, 33)}


def pixels(plate: str, group: str) -> np.ndarray:
    seed = [ord(c) for c in plate + group]
    return np.random.default_rng(seed).integers(0, 65535, (3, *SIZES[plate]), dtype=np.uint16)


def halve(x_CHW: np.ndarray) -> np.ndarray:
    return x_CHW.astype(np.float32) / 257


@pytest.fixture
def stores(tmp_path) -> dict[str, PlateStore]:
    for plate, channels in (("P1", (DNA, ACTIN, ER)), ("P2", (ER, DNA, ACTIN))):
        sources = [FieldSource(g, "0", g, lambda plate=plate, g=g: pixels(plate, g)) for g in GROUPS]
        write_plate(tmp_path / plate, plate, sources, channels, 0.5, chunk_px=16, threads=1)
    return {plate: PlateStore(tmp_path / plate) for plate in SIZES}


def source(stores, cache_bytes: int | None = None, crop: int = 12) -> CropSource:
    plates = {
        name: PlateSource(store, channel_order(store, (ACTIN, DNA), name, "test"), halve)
        for name, store in stores.items()
    }
    return CropSource(plates, [(plate, group) for plate in SIZES for group in GROUPS], crop, cache_bytes)


def slow(index: int, spec: CropSpec) -> np.ndarray:
    plate, group = list(SIZES)[index // 3], GROUPS[index % 3]
    order = {"P1": [1, 0], "P2": [2, 1]}[plate]
    whole = pixels(plate, group)[order].astype(np.float32) / 257
    return turn(whole[:, spec.y : spec.y + 12, spec.x : spec.x + 12], spec)


@pytest.mark.parametrize("cache_bytes", [0, 10_000, None])
def test_crops_equal_a_slow_read(stores, cache_bytes):
    crops = source(stores, cache_bytes)
    sampler = crops.sampler(16, 0, flip=True)
    for step in range(4):
        specs = sampler.specs(step)
        expected = np.stack([slow(spec.field, spec) for spec in specs])
        np.testing.assert_array_equal(crops.batch(specs), expected)
    assert crops.cache.used <= crops.cache.budget
    assert len(crops.cache.fields) == {0: 0, 10_000: 2, None: 6}[cache_bytes]


def test_world_size_threads_and_resume_change_no_crop(stores):
    crops = source(stores)
    sampler = crops.sampler(6, 0, flip=True)
    whole = list(islice(training_batches(crops, sampler, threads=0)(0), 5))
    assert whole[0].dtype == np.float32
    parts = [
        list(islice(training_batches(source(stores, 0), sampler, rank=rank, world=3, threads=2)(0), 5))
        for rank in range(3)
    ]
    for step in range(5):
        np.testing.assert_array_equal(np.concatenate([part[step] for part in parts]), whole[step])
    resumed = next(training_batches(crops, sampler)(4))
    np.testing.assert_array_equal(resumed, whole[4])


def test_each_field_is_decoded_once_when_all_fit(stores, monkeypatch):
    reads = []
    real = PlateStore.read_field
    monkeypatch.setattr(PlateStore, "read_field", lambda self, group: reads.append(group) or real(self, group))
    crops = source(stores, 10**6)
    sampler = crops.sampler(12, 0, flip=False)
    for step in range(5):
        crops.batch(sampler.specs(step))
    assert sorted(reads) == sorted(GROUPS * 2)


def test_a_field_is_claimed_once():
    cache = FieldCache(budget=100)
    assert cache.claim(0, 60)
    assert not cache.claim(0, 30)
    assert not cache.claim(1, 60)
    assert cache.claim(2, 40)
    assert cache.used == 100


def test_budget_is_shared_among_processes():
    assert 0 < default_cache_bytes(4) <= 2**29


def test_small_fields_name_plate_and_size(stores):
    with pytest.raises(ConfigError, match="plate P2 have 33 x 33 pixels, fewer than a crop of 34"):
        source(stores, crop=34)


def test_an_error_while_reading_ahead_surfaces(stores):
    crops = source(stores, 0)
    for group in GROUPS:
        (stores["P1"].path / group / SHARD_FILE).unlink()
    sampler = crops.sampler(6, 0, flip=True)
    with pytest.raises(MissingError, match="a field is gone"):
        list(islice(training_batches(crops, sampler)(0), 3))
