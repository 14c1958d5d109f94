"""Damaged parquet files end in an inventory, a table, pixels, or an error to act on: no traceback, no hang."""

import contextlib
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platemae.errors import PlatemaeError
from platemae.layouts.cells import POOLED, read_cells
from platemae.layouts.options import LayoutOptions
from platemae.readers import image_table, load_data, rxrx3_core
from platemae.readers.base import Inventory
from platemae.readers.pixels import load_field

PATIENCE_S = 20
FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write_load_data(folder):
    names = ["FileName_OrigDNA", "PathName_OrigDNA", "Metadata_Plate", "Metadata_Well", "Metadata_Site"]
    values = [["a.tiff", "b.tiff"], [str(folder)] * 2, ["P1"] * 2, ["A01", "A02"], ["1", "1"]]
    pq.write_table(pa.table(values, names=names), folder / "load_data.parquet")
    return folder / "load_data.parquet"


def write_images(folder):
    rows = {"well": ["A01", "A02"], "field": [1, 1], "channel": ["DNA"] * 2, "path": ["a.tiff", "b.tiff"]}
    pq.write_table(pa.table(rows), folder / "images.parquet")
    return folder / "images.parquet"


def write_core(folder):
    image = imagecodecs.jpeg2k_encode(np.arange(1024, dtype=np.uint8).reshape(32, 32), reversible=True)
    keys = [f"compound-004/Plate7/A0{n}_s1_{channel}" for n in (1, 2) for channel in (1, 2)]
    jp2 = [{"bytes": image, "path": f"{key}.jp2"} for key in keys]
    pq.write_table(pa.table({"__key__": keys, "jp2": jp2}), folder / "train.parquet", row_group_size=2)
    return folder / "train.parquet"


def write_cells(folder):
    rows = {"well": ["A01"] * 3, "field": ["1"] * 3, "cell": [1, 2, 3], "y": [1.0, 2.0, 3.0], "x": [4.0, 5.0, 6.0]}
    pq.write_table(pa.table(rows | {"perturbation": ["g1", "g2", None]}), folder / "cells.parquet")
    return folder / "cells.parquet"


def _inventory(reader, **entry):
    return lambda path: reader.inventory(path.parent, {"name": "scope", "pixel_size_um": 0.5, **entry})


def _core(path):
    found = _inventory(rxrx3_core, kind="rxrx3_core", plate="compound-004_Plate7")(path)
    for record in found.records:
        assert load_field(record).ndim == 3
    return found


def _cells(path):
    place = {"plate": "P1", "batch": "b1", "well": "A01", "field": "1", "group": "A/1/0", "perturbation": POOLED}
    said = LayoutOptions(control_types={"unlabelled": "treatment", "blank": "empty"}, perturbations={"g1": "negcon"})
    return read_cells(path, "P1", pd.DataFrame([place]), (64, 64), said)


FILES = {
    "load_data": (write_load_data, _inventory(load_data, kind="load_data", plate="P1")),
    "image_table": (write_images, _inventory(image_table, kind="image_table")),
    "rxrx3_core": (write_core, _core),
    "cells": (write_cells, _cells),
}


@pytest.fixture(params=FILES)
def sound(request, tmp_path):
    """A parquet file, its bytes, and what reads it."""
    write, read = FILES[request.param]
    for name in ("a.tiff", "b.tiff"):
        (tmp_path / name).write_bytes(b"x")
    path: Path = write(tmp_path)
    assert read(path) is not None
    return path, path.read_bytes(), read


def ends_well(read, path):
    started = time.monotonic()
    with contextlib.suppress(PlatemaeError):
        assert isinstance(read(path), Inventory | pd.DataFrame)
    assert time.monotonic() - started < PATIENCE_S


@given(data=st.data())
@FUZZ
def test_damaged_tables_end_well(sound, data):
    path, raw, read = sound
    broken = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        # half of the damage goes to the footer, which says where everything lies
        low = len(raw) // 2 if data.draw(st.booleans()) else 0
        at, length = data.draw(st.integers(low, len(raw) - 1)), data.draw(st.sampled_from([0, 1, 1, 4, 50]))
        broken[at : at + length] = data.draw(st.binary(max_size=6))
    path.write_bytes(broken)
    ends_well(read, path)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(FUZZ, max_examples=15)
def test_tables_that_are_cut_off_are_refused(sound, share):
    path, raw, read = sound
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(PlatemaeError):
        read(path)
