"""How fast a machine works: figures of GPUs, and of cores as they were calibrated."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from platemae.contracts import write_text
from platemae.errors import ConfigError
from platemae.layout import Results

MFU = 0.2
"""Share of a GPU's peak that a training reaches, assumed. The papers' own hours imply 0.11 (ViT-L/8, 3.5 billion crops
in 20,000 A100 hours) and 0.17 (CA-MAE-S/16, 400 A100 hours): see docs/decisions.md."""


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet.

    Parameters
    ----------
    name
        As ``--gpu`` names it.
    bf16_flops
        Peak of dense bfloat16 matrix products, operations a second.
    memory_gb
        Memory, 10^9 bytes.
    source
        Where the figures stand.
    """

    name: str
    bf16_flops: float
    memory_gb: float
    source: str


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("A100", 312e12, 80, "NVIDIA A100 data sheet: 312 TFLOP/s bf16, dense"),
        Gpu("H100", 989e12, 80, "NVIDIA H100 SXM data sheet: 989 TFLOP/s bf16, dense"),
        Gpu("H200", 989e12, 141, "NVIDIA H200 SXM data sheet: 989 TFLOP/s bf16, dense"),
        Gpu("L4", 121e12, 24, "NVIDIA L4 data sheet: 242 TFLOP/s bf16 with sparsity, half of it dense"),
        Gpu("V100", 125e12, 32, "NVIDIA V100 SXM data sheet: 125 TFLOP/s fp16; it has no bf16"),
    )
}


def find_gpu(name: str) -> Gpu:
    """Return a GPU by its name.

    Raises
    ------
    ConfigError
        When it is not in the table.
    """
    for known, gpu in GPUS.items():
        if known.lower() == name.lower():
            return gpu
    raise ConfigError(f"no figures of the GPU {name}", "--gpu", f"known: {', '.join(GPUS)}; or --calibrate SECONDS")


FASTEST = max(GPUS.values(), key=lambda gpu: (gpu.bf16_flops, gpu.memory_gb))


def gpu_of_model(model: str) -> Gpu | None:
    """Return the GPU that a site calls so, such as ``a100`` or ``nvidia_h100_80gb``; None where it is not known."""
    words = set(re.split(r"[^a-z0-9]+", model.lower()))
    return next((gpu for name, gpu in GPUS.items() if name.lower() in words), None)


NETWORK_STAGES = ("train_model", "embed_plate")
"""Stages that import torch."""


@dataclass(frozen=True)
class Rates:
    """How fast one core works.

    Parameters
    ----------
    flops
        Operations a second of a network's forward and backward pass, a core.
    seconds_per_gb
        Core seconds for 10^9 bytes of source pixels, a stage.
    start_seconds, light_start_seconds
        Of a job, before it does anything: Python and its imports, with torch and without.
    origin
        Where the figures come from, one sentence.
    """

    flops: float
    seconds_per_gb: dict[str, float] = field(default_factory=dict)
    start_seconds: float = 5.0
    light_start_seconds: float = 1.8
    origin: str = ""

    def start(self, stage: str) -> float:
        """Return the seconds in which a job of a stage comes up."""
        return self.start_seconds if stage in NETWORK_STAGES else self.light_start_seconds

    def write(self, path: Path) -> None:
        """Store them."""
        write_text(path, json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> Rates:
        """Read what `write` stored.

        Raises
        ------
        ConfigError
            When the file is torn.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"a calibration cannot be read: {error}", str(path), "run plan --calibrate 60") from None


REFERENCE = Rates(
    flops=77e9,
    seconds_per_gb={
        "ingest_plate": 2.8,
        "qc_plate": 22.5,
        "measure_plate": 2250.0,
        "fit_intensity": 3.2,
        "embed_plate": 2.7,
    },
    start_seconds=3.9,
    light_start_seconds=1.8,
    origin="not calibrated here: a core of an Intel Xeon at 2.5 GHz, measured 2026-11-21 (run plan --calibrate 60)",
)


def known_rates(results: Results) -> Rates:
    """Return what was measured for this results folder, else the reference machine's.

    Raises
    ------
    ConfigError
        When the calibration is torn.
    """
    stored = results.calibration()
    return Rates.read(stored) if stored.exists() else REFERENCE
