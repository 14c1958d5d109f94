"""The GPU script runs end to end with tiny networks, and says when it can measure nothing."""

import os
import subprocess
import sys

import pytest
import torch


def gpu_train(project, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PLATEMAE_PEERS_PYTHON": "/nowhere", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(project / "benchmarks/gpu_train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_every_size_has_its_row(project, tmp_path):
    out = tmp_path / "page.md"
    arguments = (
        "--tiny",
        "--device",
        "cpu",
        "--precision",
        "float32",
        "--compile",
        "no",
        "--steps",
        "1",
        "--rounds",
        "1",
    )
    done = gpu_train(project, *arguments, "--out", str(out))
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines()
    header, _, *rows = [line for line in lines if line.startswith("|")]
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    cells = [dict(zip(columns, (c.strip() for c in row.strip("|").split("|")), strict=True)) for row in rows]
    assert [row["model"] for row in cells] == ["S/16", "B/16", "L/16", "L/8", "CA-S/16"]
    for row in cells:
        assert "failed" not in row["note"]
        assert float(row["crops/s"]) > 0
        assert 0 < float(row["MFU"]) < 1.5
    assert "MFU of L/16" in lines[-1]
    assert "No peers" in lines[-1]
    assert "nothing about speed" in out.read_text()


def test_without_a_gpu_nothing_is_claimed(project, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = gpu_train(project, "--out", str(tmp_path / "page.md"))
    assert done.returncode == 2
    assert "no GPU" in done.stderr
    assert not (tmp_path / "page.md").exists()
