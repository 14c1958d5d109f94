"""Source pixels become the network's input on its device: the same values as a loop over crops gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from platemae.data.raw_crops import RawCrops, empty_pixels, on_device
from platemae.store.intensity_map import stretched

B, C, S = 24, 3, 6


def raw(dtype=np.uint16, seed=0) -> RawCrops:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 250 if dtype == np.uint8 else 60_000, (B, C, S, S)).astype(dtype)
    low, factor = rng.uniform(0, 90, (B, C)), rng.uniform(0.001, 0.02, (B, C))
    turns, mirror = rng.integers(0, 4, B), rng.random(B) < 0.5
    return RawCrops(pixels, low.astype(np.float32), factor.astype(np.float32), turns, mirror)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_map_and_turns_equal_a_loop_over_crops(dtype):
    crops = raw(dtype)
    assert len(set(zip(crops.turns_B.tolist(), crops.mirror_B.tolist(), strict=True))) == 8
    expected = []
    for pixels, low, factor, turns, mirror in zip(*vars(crops).values(), strict=True):
        turned = np.rot90(stretched(pixels, low, factor), turns, axes=(1, 2))
        expected.append(turned[:, :, ::-1] if mirror else turned)
    found = crops.to("cpu")
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), np.stack(expected))
    assert 0 < float((found == 255).float().mean()) < 1 or dtype == np.uint8, "the range was clipped"


def test_pixels_themselves_stay():
    crops = raw(np.float32)
    before = crops.pixels_BCSS.copy()
    crops.to("cpu")
    np.testing.assert_array_equal(crops.pixels_BCSS, before)


def test_the_eight_symmetries_differ():
    pixels = np.tile(np.arange(C * S * S, dtype=np.uint8).reshape(1, C, S, S), (8, 1, 1, 1))
    none = np.zeros((8, C), np.float32)
    turned = RawCrops(pixels, none, none + 1, np.arange(8) % 4, np.arange(8) >= 4).to("cpu")
    assert len({x.numpy().tobytes() for x in turned}) == 8


def test_batches_come_in_order_with_their_labels():
    batches = [(raw(seed=i), None if i % 2 else np.arange(B)) for i in range(3)]
    found = list(on_device(iter(batches), torch.device("cpu")))
    assert [labels is None for _, labels in found] == [False, True, False]
    for (crops, _), (x_BCSS, _) in zip(batches, found, strict=True):
        assert torch.equal(crops.to("cpu"), x_BCSS)


def test_unset_pixels_have_shape_and_type():
    assert empty_pixels((2, 3), np.dtype(np.uint16)).dtype == np.uint16
    assert empty_pixels((2, 3), np.dtype(np.float32)).shape == (2, 3)


def test_turning_those_of_one_symmetry_at_once_equals_one_by_one():
    crops = raw()
    upright = replace(crops, turns_B=np.zeros(B, np.int64), mirror_B=np.zeros(B, bool)).to("cpu")
    assert torch.equal(crops.turned_together(upright), crops.to("cpu"))
