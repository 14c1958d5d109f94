"""A tiny screen as the stages before training leave it: two plates, two channels, textured fields."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from platemae.contracts import DATASET_COLUMNS, FIELDS_COLUMNS, QC_COLUMNS, Manifest, canonical, write_text
from platemae.fingerprint import digest_json, digest_table
from platemae.layout import Results
from platemae.models.export import save_model
from platemae.models.registry import build
from platemae.qc.gate import PASS
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("Actin", "Phalloidin"))
WELLS = ("A01", "A02", "B01", "B02")
SIZE = 48


def texture(seed: int, size: int = SIZE) -> np.ndarray:
    """Blobs of a width of their own: something a network can learn to fill in."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    field = np.zeros((2, size, size))
    for _ in range(12):
        y, x, width = *rng.uniform(0, size, 2), rng.uniform(3, 6)
        blob = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
        field += np.array([blob, np.roll(blob, 3, axis=1)]) * 3000
    return (field + rng.normal(500, 20, field.shape)).clip(0, 65535).astype(np.uint16)


def add_plate(results: Results, plate: str, channels=CHANNELS, seed: int = 0, size: int = SIZE, failed=()) -> None:
    """Write a store, a fields table and QC verdicts; ``failed`` holds (well, field)."""
    fields, qc, sources = [], [], []
    for w, well in enumerate(WELLS):
        for field in ("0", "1"):
            group = f"{well[0]}/{int(well[1:])}/{field}"
            picked = np.stack([image_of(c.name, seed * 100 + 10 * w + int(field), size) for c in channels])
            sources.append(FieldSource(group, field, f"{well} {field}", lambda picked=picked: picked))
            control = "negcon" if w == 0 else "treatment"
            fields.append(
                [plate, "b1", well, field, well[0], int(well[1:]), group, "", f"g{w}", f"G{w}", "", "", control]
            )
            verdict = "fail" if (well, field) in failed else PASS
            for c, channel in enumerate(channels):
                mean = float(picked[c].mean())
                measures = [1.0, 0.0, 0.0, 0.5, mean, -1.5, 0.1, 0.0, 9.0]
                qc.append([plate, well, field, channel.name, *measures, verdict, ""])
    write_plate(results.store(plate), plate, sources, channels, 0.5, chunk_px=32, threads=1)
    results.qc(plate).parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(fields, columns=list(FIELDS_COLUMNS)).to_parquet(results.fields(plate))
    pd.DataFrame(qc, columns=list(QC_COLUMNS)).to_parquet(results.qc(plate))


def image_of(name: str, seed: int, size: int) -> np.ndarray:
    """One channel by its name: the same pixels wherever it stands in the store."""
    return texture(seed, size)[0 if name == "DNA" else 1]


def add_intensity(results: Results, name: str = "fixed") -> None:
    limits = {c.name: (400.0, 9000.0) for c in CHANNELS}
    mapping = IntensityMap(name, "fixed", "dataset", tuple(limits), {"all": limits}, limits, {})
    write_text(results.intensity(name), canonical(mapping.to_json()))
    Manifest("fit_intensity", digest_json(mapping.to_json())).write(results.manifest("fit_intensity", intensity=name))


def add_dataset(results: Results, plates=("P1", "P2"), name: str = "screen") -> None:
    """Well B02 of each plate validates, the others train."""
    rows = [
        [plate, "b1", well, field, f"{well[0]}/{int(well[1:])}/{field}", "validation" if well == "B02" else "train"]
        for plate in plates
        for well in WELLS
        for field in ("0", "1")
    ]
    table = pd.DataFrame(rows, columns=list(DATASET_COLUMNS))
    results.dataset(name).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(results.dataset(name))
    Manifest("build_dataset", digest_table(table)).write(results.manifest("build_dataset", dataset=name))


@pytest.fixture
def make_screen(tmp_path) -> Callable[..., Results]:
    """Return a function that writes the screen into a folder of a name."""

    def make(name: str = "results") -> Results:
        results = Results(tmp_path / name)
        add_plate(results, "P1", seed=1)
        add_plate(results, "P2", seed=2)
        add_intensity(results)
        add_dataset(results)
        return results

    return make


@pytest.fixture
def write_plate_of() -> Callable[..., None]:
    """Return `add_plate`."""
    return add_plate


@pytest.fixture
def train_cfg() -> Callable[..., dict]:
    """Return a function that makes the configuration of a tiny training; keywords change values of ``train``."""

    def make(kind: str = "mae", architecture: dict | None = None, **train) -> dict:
        tiny = {"crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2}
        tiny |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
        model = {"name": "m", "kind": kind, "preset": "tiny", "dataset": "screen", "intensity": "fixed"}
        settings = {
            "steps": 12,
            "global_batch": 8,
            "lr": 1e-3,
            "weight_decay": 0.05,
            "betas": [0.9, 0.95],
            "warmup_fraction": 0.1,
            "mask_ratio": 0.75,
            "fourier_weight": 0.01,
            "fourier_layout": "patch",
            "fourier_norm": "l1",
            "clip_norm": 1.0,
            "precision": "float32",
            "seed": 0,
            "checkpoint_steps": 4,
            "validate_every": 6,
            "flip": True,
            "on_divergence": "stop",
            "sampling": "uniform",
            "crops_per_field": 1,
            "cache": None,
            "cache_gb": 1.0,
        }
        return {
            "model": model | {"architecture": tiny if architecture is None else architecture},
            "train": settings | train,
        }

    return make


@pytest.fixture
def write_model_of() -> Callable[..., None]:
    """Return a function that writes a model with random weights, as train_model leaves it, without training."""
    vit = {"crop_px": 16, "patch_px": 4, "width": 16, "depth": 2, "heads": 2}
    vit |= {"decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}

    def write(results: Results, kind: str = "untrained", pixel_size_um: float | None = 0.5, **architecture) -> None:
        module = build(kind, architecture or vit, len(CHANNELS))
        if kind == "tile_pca":
            module.components.normal_(generator=torch.Generator().manual_seed(0))
        facts = {"kind": kind, "channels": [{"name": c.name, "stain": c.stain} for c in CHANNELS]}
        facts |= {"intensity": IntensityMap.read(results.intensity("fixed")).to_json(), "pixel_size_um": pixel_size_um}
        save_model(results.model("m"), module, facts)

    return write
