"""Crops equal a slow read of the whole field, whatever is cached, threaded or divided."""

from itertools import islice
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from platemae.data.channels import channel_order
from platemae.data.crops import CropSource, FieldCache, PlateSource, default_cache_bytes, training_batches
from platemae.data.sampler import CropSpec
from platemae.errors import ConfigError, MissingError
from platemae.store.plate_reader import SHARD_FILE, PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

DNA, ACTIN, ER = (StoreChannel(name, f"{name} stain") for name in ("DNA", "Actin", "ER"))
GROUPS = ("A/1/0", "A/2/0", "B/1/0")
SIZES = {"P1": (40, 52), "P2": (33, 33)}


def pixels(plate: str, group: str) -> np.ndarray:
    seed = [ord(c) for c in plate + group]
    return np.random.default_rng(seed).integers(0, 65535, (3, *SIZES[plate]), dtype=np.uint16)


LOW, FACTOR = np.array([300, 1000], np.float32), np.array([0.004, 0.003], np.float32)


def turn(crop_CHW: np.ndarray, spec: CropSpec) -> np.ndarray:
    turned = np.rot90(crop_CHW, spec.turns, axes=(1, 2))
    return turned[:, :, ::-1] if spec.mirror else turned


@pytest.fixture
def stores(tmp_path) -> dict[str, PlateStore]:
    for plate, channels in (("P1", (DNA, ACTIN, ER)), ("P2", (ER, DNA, ACTIN))):
        sources = [FieldSource(g, "0", g, lambda plate=plate, g=g: pixels(plate, g)) for g in GROUPS]
        write_plate(tmp_path / plate, plate, sources, channels, 0.5, chunk_px=16, threads=1)
    return {plate: PlateStore(tmp_path / plate) for plate in SIZES}


def source(stores, cache_bytes: int | None = None, crop: int = 12) -> CropSource:
    plates = {
        name: PlateSource(store, channel_order(store, (ACTIN, DNA), name, "test"), LOW, FACTOR)
        for name, store in stores.items()
    }
    return CropSource(plates, [(plate, group) for plate in SIZES for group in GROUPS], crop, cache_bytes)


def slow(index: int, spec: CropSpec) -> np.ndarray:
    plate, group = list(SIZES)[index // 3], GROUPS[index % 3]
    order = {"P1": [1, 0], "P2": [2, 1]}[plate]
    whole = (pixels(plate, group)[order].astype(np.float32) - LOW[:, None, None]) * FACTOR[:, None, None]
    return turn(whole.clip(0, 255)[:, spec.y : spec.y + 12, spec.x : spec.x + 12], spec)


@pytest.mark.parametrize("per_field", [1, 3])
@pytest.mark.parametrize("cache_bytes", [0, 10_000, None])
def test_crops_equal_a_slow_read(stores, cache_bytes, per_field):
    crops = source(stores, cache_bytes)
    sampler = crops.sampler(16, 0, flip=True, per_field=per_field)
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
    assert whole[0].dtype == torch.float32
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


def test_several_crops_of_a_field_decode_it_once(stores, monkeypatch):
    """A crop of 12 px touches 2.8 of 12 (or 9) chunks of 16 px on average: from 5 crops on, the field is cheaper."""
    reads = {"field": 0, "crop": 0}
    for kind in reads:
        real = getattr(PlateStore, f"read_{kind}")

        def counted(self, *args, kind=kind, real=real):
            reads[kind] += 1
            return real(self, *args)

        monkeypatch.setattr(PlateStore, f"read_{kind}", counted)
    crops = source(stores, 0)
    crops.raw(crops.sampler(24, 0, flip=False, per_field=8).specs(0))
    assert reads == {"field": 3, "crop": 0}
    crops.raw(crops.sampler(24, 0, flip=False, per_field=2).specs(0))
    assert reads == {"field": 3, "crop": 24}


def test_batches_carry_source_pixels_to_the_device(stores):
    crops = source(stores, 0)
    raw = crops.raw(crops.sampler(4, 0, flip=True).specs(0))
    assert raw.pixels_BCSS.dtype == np.uint16
    assert raw.pixels_BCSS.shape == (4, 2, 12, 12)
    assert len(raw) == 4


def _loaded(crops: CropSource, answer) -> None:
    answer.put(next(training_batches(crops, crops.sampler(6, 0, flip=True))(2)).numpy())


def test_a_source_works_in_a_spawned_process(stores):
    crops = source(stores)
    expected = next(training_batches(crops, crops.sampler(6, 0, flip=True))(2))
    context = get_context("spawn")
    answer = context.Queue()
    worker = context.Process(target=_loaded, args=(crops, answer))
    worker.start()
    try:
        np.testing.assert_array_equal(answer.get(timeout=120), expected)
    finally:
        worker.join(20)
