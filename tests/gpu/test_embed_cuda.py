"""On a CUDA device: rows depend neither on batch nor on device, and memory gives a batch. Run with ``-m gpu``."""

import numpy as np
import pytest
import torch

from platemae.embedding.batch_size import GPU_MOST, batch_size
from platemae.embedding.infer import stack_crops, tiles_of
from platemae.models.registry import build

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: run on a GPU node with `pytest -m gpu`"),
]
VIT = {"crop_px": 32, "patch_px": 8, "width": 64, "depth": 3, "heads": 2, "decoder_width": 32, "decoder_heads": 2}
KINDS = {
    "mae": VIT,
    "camae": VIT | {"cross_heads": 2},
    "munet": {"crop_px": 32, "patch_px": 8, "width": 16, "levels": 2, "convs": 2, "norm_groups": 4},
    "wsl": {"crop_px": 32, "stem": 16, "growth": 8, "blocks": "2-2", "embedding": 32, "n_classes": 3},
}


def rows(module, device: str, batch: int) -> np.ndarray:
    fields = np.random.default_rng(0).uniform(0, 255, (6, 3, 96, 96)).astype(np.float32)
    torch.backends.cudnn.allow_tf32 = False
    cut = tiles_of(fields.__getitem__, 32, "drop")
    return stack_crops(module.to(device), cut, 6, 54, size=32, poolings=("mean",), batch=batch, device=device)["mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_batch_and_device_move_nothing_but_rounding(kind):
    module = build(kind, KINDS[kind], 3)
    expected = rows(module, "cpu", 64)
    for batch in (1, 7, 64):
        np.testing.assert_allclose(rows(module, "cuda", batch), expected, atol=1e-4)
    np.testing.assert_allclose(rows(module, "cuda", 1), rows(module, "cuda", 64), atol=1e-5)


def test_memory_gives_a_power_of_two():
    device = torch.device("cuda")
    module = build("mae", VIT, 3).to(device).eval()
    found = batch_size(None, module, 3, 32, ("mean",), device)
    assert 1 <= found <= GPU_MOST
    assert found & (found - 1) == 0
    assert batch_size(5, module, 3, 32, ("mean",), device) == 5
