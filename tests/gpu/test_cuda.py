"""On a CUDA device: losses, training, embeddings as on the CPU, bfloat16 close by, compiled, in parts: ``-m gpu``."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from platemae.models.registry import build
from platemae.models.settings import Objective, architecture
from platemae.training.recompute import recomputing
from tests.unit.training.families import FAMILIES

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


def training(name, folder, **changes):
    """Train one family on the GPU; return its history and its weights on the CPU."""
    module = FAMILIES[name].network()
    history = FAMILIES[name].fit(module, folder, **{"device": "cuda"} | changes)
    return history, {key: value.cpu() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_training_equals_the_cpus(name, tmp_path):
    """The first step to rounding; later ones drift, as Lion follows signs."""
    (gpu, _), (cpu, _) = (training(name, tmp_path / where, device=where) for where in ("cuda", "cpu"))
    for key in ("loss", "grad_norm"):
        assert gpu[0][key] == pytest.approx(cpu[0][key], rel=2e-3)
    assert gpu[-1]["loss"] == pytest.approx(cpu[-1]["loss"], rel=0.05)
    total = torch.cuda.get_device_properties(0).total_memory
    assert 0 < gpu[-1]["memory_gb"] * 1e9 < total


@pytest.mark.parametrize("name", list(FAMILIES))
def test_bfloat16_training_is_close(name, tmp_path):
    rows = [training(name, tmp_path / precision, precision=precision)[0] for precision in ("float32", "bfloat16")]
    assert rows[1][0]["loss"] == pytest.approx(rows[0][0]["loss"], rel=0.03)


@pytest.mark.parametrize("more", [{}, {"activation_checkpointing": True, "accumulate": 2, "ema_decay": 0.9}])
@pytest.mark.parametrize("name", list(FAMILIES))
def test_compiled_training_is_the_same(name, more, tmp_path, caplog):
    rows = [training(name, tmp_path / str(on), compile=on, **more)[0] for on in (False, True)]
    assert "torch.compile failed" not in caplog.text
    assert rows[1][0]["loss"] == pytest.approx(rows[0][0]["loss"], rel=1e-3)
    assert rows[1][-1]["loss"] == pytest.approx(rows[0][-1]["loss"], rel=0.05)


def test_blocks_computed_twice_take_less_memory(tmp_path):
    """A network whose activations outweigh its weights."""
    peaks = []
    for again in (False, True):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        net = build("mae", architecture("tiny", depth=12, decoder_depth=8).to_dict(), 6).cuda()
        x = torch.zeros(256, 6, 32, 32, device="cuda")
        with recomputing(net, net.units() if again else []):
            net(x, torch.rand(256, 64, device="cuda"))[0].backward()
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] < 0.6 * peaks[0]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("compiled", [False, True])
def test_parts_on_two_gpus_equal_replicas(compiled, tmp_path):
    """FSDP2 against DDP through nccl, every family, with micro-batches and a moving average."""
    for sharding in ("ddp", "fsdp"):
        changes = {"device": "cuda", "sharding": sharding, "accumulate": 2, "ema_decay": 0.9, "compile": compiled}
        arguments = [str(tmp_path / sharding), "-1", json.dumps(changes | {"double": False})]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        line = [*torchrun, "-m", "tests.unit.training.families", *arguments]
        subprocess.run(line, check=True, cwd=Path(__file__).parents[2], timeout=800)
    for name in FAMILIES:
        rows = [
            torch.load(tmp_path / sharding / f"{name}.pt", weights_only=True)["history"] for sharding in ("ddp", "fsdp")
        ]
        for key in ("loss", "grad_norm"):
            assert rows[1][0][key] == pytest.approx(rows[0][0][key], rel=1e-4)
        assert rows[1][-1]["val_loss"] == pytest.approx(rows[0][-1]["val_loss"], rel=1e-2)
