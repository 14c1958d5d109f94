"""Plates made of arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.store.plate_writer import FieldSource, write_plate

CHANNELS = (StoreChannel("DNA", "Hoechst"), StoreChannel("ER", "ConA"), StoreChannel("Mito", "MitoTracker"))


def pixels(shape=(3, 70, 90), dtype="uint16", seed=0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 900.0, shape).clip(0, 60000).astype(dtype)


@pytest.fixture
def make_plate(tmp_path) -> Callable[..., tuple[PlateStore, dict[str, np.ndarray]]]:
    """Return a function that writes a plate from arrays by group, and opens it."""

    def make(fields: dict[str, np.ndarray], name: str = "P1", channels=CHANNELS, **kw):
        sources = [FieldSource(g, g.split("/")[2], g, lambda x=x: x) for g, x in fields.items()]
        path: Path = tmp_path / f"{name}.zarr"
        options = {"chunk_px": 32, "threads": 2} | kw
        write_plate(path, name, sources, channels, options.pop("pixel_size_um", 0.65), **options)
        return PlateStore(path), fields

    return make


@pytest.fixture
def make_pixels() -> Callable[..., np.ndarray]:
    return pixels
