"""A raw plate of two channels as a user has it, and its ingest."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from platemae.layout import Results
from platemae.stages import ingest_plate

CHANNELS = ("dna", "er")
LAYOUT = {"A01": ("", "negcon"), "A02": ("g1", "treatment"), "B01": ("g2", "treatment"), "B02": ("g3", "poscon")}
PATTERN = r"(?P<well>[A-P]\d+)_s(?P<field>\d+)_(?P<channel>\w+)\.tif"


def image(well, field, channel, dtype="uint16"):
    """Pixels that tell where they belong."""
    rng = np.random.default_rng([ord(well[0]), int(well[1:]), int(field), CHANNELS.index(channel)])
    return rng.integers(100, 250, (40, 56)).astype(dtype)


def write_raw(folder, wells=tuple(LAYOUT), fields=("1", "2"), dtype="uint16", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for well in wells:
        for field in fields:
            for channel in CHANNELS:
                name = f"{well[0]}{int(well[1:])}_s{field}_{channel}.tif"
                tifffile.imwrite(folder / name, image(well, field, channel, dtype), **options)


def write_layout(path, layout=LAYOUT):
    lines = ["well\tperturbation\tcontrol_type"]
    path.write_text("\n".join(lines + [f"{well}\t{p}\t{kind}" for well, (p, kind) in layout.items()]) + "\n")


def make_cfg(plate="P1", **ingest):
    channels = [{"source": c, "name": c.upper(), "stain": f"{c} dye"} for c in CHANNELS]
    entry = {"name": "scope", "kind": "pattern", "pattern": PATTERN, "channels": channels, "pixel_size_um": 0.65}
    row = {"plate": plate, "batch": "b1", "reader": "scope", "path": f"raw/{plate}", "layout": "layout.tsv"}
    return {"plate": row, "reader": entry, "ingest": {"allow_missing": False, "chunk_px": 32} | ingest}


@pytest.fixture
def base(tmp_path):
    """A folder as a user has it: raw images and a layout."""
    write_raw(tmp_path / "raw" / "P1")
    write_layout(tmp_path / "layout.tsv")
    return tmp_path


def ingest(base, results=None, cfg=None, plate="P1"):
    results = results or Results(base / "results")
    manifest = ingest_plate.run(results, cfg or make_cfg(plate), plate=plate, base=base, threads=2)
    manifest.write(results.manifest("ingest_plate", plate=plate))
    return manifest


def nothing_half_written(base):
    left = [p for p in (base / "results").rglob("*") if p.is_file()] if (base / "results").exists() else []
    return left == [] and not list(base.glob("results/plates/.*"))


def run_command(base, wrap=(), **ingest):
    """Ingest on the command line, maybe within another command."""
    job = [sys.executable, "-m", "platemae.cli", "ingest-plate", "--plate", "P1", "--results", str(base / "results")]
    job += ["--base", str(base), "--cfg", json.dumps(make_cfg(**ingest)), "--code", "c", "--threads", "2"]
    return subprocess.run([*wrap, *job], capture_output=True, text=True)
