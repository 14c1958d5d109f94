"""On a CUDA device: the same losses as on the CPU, bfloat16 close by, embeddings equal. Run with ``-m gpu``."""

import numpy as np
import pytest
import torch

from platemae.models.registry import build
from platemae.models.settings import Objective, architecture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: run on a GPU node with `pytest -m gpu`"),
]


@pytest.fixture
def net():
    return build("mae", architecture("tiny", decoder_depth=1).to_dict(), 6, seed=3)


@pytest.fixture
def crops():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 6, 32, 32)).astype(np.float32))


def losses(net, crops, device, dtype=None):
    net, crops = net.to(device), crops.to(device)
    noise = torch.rand(8, 64, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        parts = net(crops, noise, None, Objective(fourier_weight=0.01))
    return float(parts.total), float(parts.mse), float(parts.fourier)


def test_losses_equal_the_cpus(net, crops):
    np.testing.assert_allclose(losses(net, crops, "cuda"), losses(net, crops, "cpu"), rtol=1e-4)


def test_bfloat16_is_close(net, crops):
    np.testing.assert_allclose(losses(net, crops, "cuda", torch.bfloat16), losses(net, crops, "cuda"), rtol=0.03)


def test_embeddings_equal_the_cpus(net, crops):
    with torch.inference_mode():
        on_cpu = net.cpu().embed(crops)
        on_gpu = net.cuda().embed(crops.cuda()).cpu()
    torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-3, atol=1e-4)
