"""A small network on images that can be learnt, and a script that trains it in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

SPEC = {
    "crop_px": 16, "patch_px": 4, "width": 32, "depth": 2, "heads": 2, "layer_scale_init": 0.5, "drop_path": 0.2,
    "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2,
}  # fmt: skip


def crops_of_step(step: int, n: int = 8) -> np.ndarray:
    """Waves of random direction and phase in two related channels, (n, 2, 16, 16) uint8."""
    rng = np.random.default_rng([11, step])
    row, column = np.mgrid[:16, :16]
    kx, ky, phase = rng.uniform(-0.6, 0.6, (2, n, 1, 1)).tolist(), None, rng.uniform(0, 6, (n, 1, 1))
    angle = np.array(kx[0]) * row + np.array(kx[1]) * column + phase
    return np.stack([127 + 100 * np.sin(angle), 127 + 60 * np.cos(angle)], 1).astype(np.uint8)


def forever(start: int, n: int = 8, part: slice = slice(None)) -> Iterator[np.ndarray]:
    """Yield the rows ``part`` of the batches of step start, start + 1, ..."""
    while True:
        yield crops_of_step(start, n)[part]
        start += 1


@pytest.fixture
def run_script(tmp_path: Path) -> object:
    """Return a function that runs Python code in a process of its own, optionally under torchrun."""

    def run(code: str, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *launcher, str(script), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )

    return run
