"""How fast a core of this machine is: short runs of the code that the stages spend their time in."""

# Shape legend: B batch, C channels, H Y rows, W X columns of pixels

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from platemae.planning.rates import Rates

if TYPE_CHECKING:
    from torch import Tensor, nn

SHAPE = (3, 768, 768)
BATCH = 2


def calibrate(seconds: float) -> Rates:
    """Measure this machine for about so many seconds.

    Processor time is measured, not the clock's, so that other work on the machine says little.

    Parameters
    ----------
    seconds
        Time to spend; every measurement is made at least once.
    """
    share = seconds / 5
    per_gb = {name: _rate(work, share / 2) for name, work in _pixel_work()}
    per_gb["measure_plate"] = per_gb["qc_plate"] * MEASURE_OF_QC
    origin = f"calibrated on {os.uname().nodename}, {time.strftime('%Y-%m-%d')}, {seconds:g} s"
    return Rates(_flops(2 * share), per_gb, _start("embed_plate"), _start("correct_plate"), origin)


MEASURE_OF_QC = 100.0
"""Classical features cost about so many times QC, assumed: they depend on cells, which nobody has counted yet."""


def _rate(work: Callable[[], int], seconds: float) -> float:
    """Return core seconds for 10^9 bytes of repeated work, which says how many bytes it did; the first one warms up."""
    work()
    done, start, until = 0, time.process_time(), time.perf_counter() + seconds
    while not done or time.perf_counter() < until:
        done += work()
    return (time.process_time() - start) / done * 1e9


def _pixel_work() -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield the inner loop of each stage that walks over pixels, on a field of blurred noise."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    from platemae.qc.measures import measure
    from platemae.readers.base import Plane
    from platemae.readers.formats import read_plane
    from platemae.store.content import digest_pixels
    from platemae.store.shard import ShardLayout, encode, read_window

    rng = np.random.default_rng(0)
    cells_CYX = 3000 * gaussian_filter(rng.random(SHAPE) ** 8, (0, 5, 5)) + 200
    x_CYX = rng.poisson(cells_CYX).astype(np.uint16)
    layout = ShardLayout(SHAPE, (256, 256), x_CYX.dtype)
    with tempfile.TemporaryDirectory() as folder:
        plane, shard = Path(folder, "plane.tif"), Path(folder, "field")
        tifffile.imwrite(plane, x_CYX[0])
        shard.write_bytes(b"".join(encode(x_CYX, layout)))

        def ingest() -> int:
            for _ in range(SHAPE[0]):
                read_plane(Plane(plane))
            digest_pixels(x_CYX)
            encode(x_CYX, layout)
            return x_CYX.nbytes

        def read() -> int:
            return int(read_window(shard, layout, (0, SHAPE[1]), (0, SHAPE[2])).nbytes)

        def qc() -> int:
            for x_YX in x_CYX:
                measure(x_YX)
            return read()

        def intensity() -> int:
            np.bincount(x_CYX.reshape(-1), minlength=2**16)
            return read()

        def embed() -> int:
            np.clip(x_CYX * np.float32(0.1), 0, 255).astype(np.uint8)
            return read()

        yield "ingest_plate", ingest
        yield "qc_plate", qc
        yield "fit_intensity", intensity
        yield "embed_plate", embed


def _flops(seconds: float) -> float:
    """Return operations a core second of training steps of ViT-S/16."""
    import torch

    from platemae.models.flops import training_flops
    from platemae.models.registry import build
    from platemae.models.settings import architecture

    spec = architecture("vit_s16")
    torch.set_num_threads(1)
    network = build("mae", spec.to_dict(), 6)
    step = 3 * BATCH * training_flops(spec, 6, 0.75).total
    x_BCHW = torch.rand(BATCH, 6, 256, 256) * 255
    done, start, until = 0, time.process_time(), time.perf_counter() + seconds
    while not done or time.perf_counter() < until:
        _step(network, x_BCHW, spec.n_patches)
        done += step
    return done / (time.process_time() - start)


def _step(network: nn.Module, x_BCHW: Tensor, n_patches: int) -> None:
    """Take one forward and backward pass."""
    import torch

    network.zero_grad(set_to_none=True)
    network(x_BCHW, torch.rand(len(x_BCHW), n_patches)).total.backward()


def _start(stage: str) -> float:
    """Return the core seconds in which a job comes up: Python, and the imports of its stage."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import platemae.job, platemae.stages.{stage}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
