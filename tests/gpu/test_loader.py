"""On a CUDA device: batches equal those of the CPU bit for bit, in order. Run with ``-m gpu``."""

import numpy as np
import pytest
import torch

from platemae.data.raw_crops import RawCrops, empty_pixels, on_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: run on a GPU node with `pytest -m gpu`"),
]


def raw(seed: int, dtype) -> RawCrops:
    rng = np.random.default_rng(seed)
    pixels = empty_pixels((32, 3, 64, 64), np.dtype(dtype), pinned=True)
    pixels[:] = rng.integers(0, 250, pixels.shape)
    low, factor = rng.uniform(0, 90, (2, 32, 3)).astype(np.float32)
    return RawCrops(pixels, low, factor, rng.integers(0, 4, 32), rng.random(32) < 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_batches_equal_the_cpus(dtype):
    expected = [raw(seed, dtype).to("cpu") for seed in range(6)]
    busy = torch.randn(4096, 4096, device="cuda")
    found = []
    for x_BCSS, labels in on_device(((raw(seed, dtype), np.arange(32)) for seed in range(6)), torch.device("cuda")):
        busy = busy @ busy / 64  # the next batch is transferred meanwhile
        found.append(x_BCSS.clone())
        assert len(labels) == 32
    assert len(found) == 6
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.cpu(), other)


def test_pixels_are_pinned():
    assert torch.from_numpy(empty_pixels((4, 4), np.dtype(np.uint16), pinned=True)).is_pinned()
