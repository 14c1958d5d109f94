"""ingest_plate on a disk that takes no more, and in little memory."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from platemae.wells import join_well
from tests.stages.raw_plate import CHANNELS, PATTERN, base, make_cfg, run_command, write_layout

__all__ = ["base"]  # the fixture

DISK = 'mount -t tmpfs -o size=32k tmpfs "$0" && '
FILL_IT = DISK + '{ "$@"; code=$?; find "$0" -type f | sed "s/^/left: /"; exit $code; }'
FILL_IT_THEN_GROW = DISK + '{ "$@"; mount -o remount,size=64m "$0" && "$@" && ls "$0/plates"; }'


@pytest.fixture
def small_disk(base):
    """A function that runs the ingest with its results on a disk of 32 kB, in a mount namespace of its own."""
    (base / "results").mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, 'mount -t tmpfs tmpfs "$0"', str(base / "results")], capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    return lambda script, **ingest: run_command(base, [*unshare, script, str(base / "results")], **ingest)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_full_disk(small_disk, form):
    done = small_disk(FILL_IT, form=form)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    named = r"error:  plate P1, well [AB]0\d, field \d \(one file of channels DNA, ER\) cannot be written: "
    assert re.search(named + "the disk is full", done.stderr)
    assert "remedy: free space" in done.stderr
    left = [line for line in done.stdout.splitlines() if line.startswith("left: ")]
    assert all(line.endswith("logs/errors/ingest_plate/P1.json") for line in left)
    repaired = small_disk(FILL_IT_THEN_GROW, form=form)
    assert repaired.returncode == 0
    store = "P1.zarr" if form == "folder" else "P1.zarr.zip"
    assert repaired.stdout.split() == ["P1.fields.parquet", "P1.manifest.json", store]


def test_a_file_that_may_not_grow(base):
    done = run_command(base, ["prlimit", "--fsize=20000"], form="zip")
    assert done.returncode == 2
    named = r"plate P1, well [AB]0\d, field \d \(one file of channels DNA, ER\) cannot be written: "
    assert re.search(named + "the file grows beyond what", done.stderr)
    assert "Traceback" not in done.stderr
    assert list((base / "results" / "plates").iterdir()) == []
    assert run_command(base, form="zip").returncode == 0


def test_a_folder_that_cannot_be_written(small_disk):
    done = small_disk('mount -t tmpfs -o ro tmpfs "$0" && exec "$@"')
    assert done.returncode == 2
    assert "the store of plate P1 cannot be written: the disk is read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_where_the_results_should_be(base):
    (base / "results").write_text("")
    done = run_command(base)
    assert done.returncode == 2
    assert "the store of plate P1 cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_memory_does_not_grow_with_the_wells(tmp_path):
    """Peaks of 96, 384 and 1536 wells of 64 kB: 100 MB of pixels may cost no more than their list of names."""
    tifffile.imwrite(tmp_path / "one.tif", np.random.default_rng(0).integers(0, 4000, (128, 128)).astype(np.uint16))
    peaks = [peak_memory(tmp_path, rows, columns) for rows, columns in ((8, 12), (16, 24), (32, 48))]
    assert max(peaks) - min(peaks) < 20, peaks
    assert max(peaks) < 400, peaks


PEAK = """
import json, sys
from pathlib import Path
from platemae.layout import Results
from platemae.stages import ingest_plate
base, cfg = Path(sys.argv[1]), json.loads(sys.argv[2])
ingest_plate.run(Results(base / "results"), cfg, plate="P1", base=base, threads=2)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak_memory(base, rows, columns):
    """Ingest a plate of that many wells in a process of its own; return its largest resident memory in MB."""
    folder = base / "raw" / "P1"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wells = [join_well(str(row), str(column)) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    for well in wells:
        for channel in CHANNELS:
            os.link(base / "one.tif", folder / f"{well}_s1_{channel}.tif")
    write_layout(base / "layout.tsv", dict.fromkeys(wells, ("g", "treatment")))
    cfg = make_cfg(chunk_px=64)
    cfg["reader"]["pattern"] = PATTERN.replace("A-P", "A-Z").replace("]", "]+", 1)
    done = subprocess.run([sys.executable, "-c", PEAK, str(base), json.dumps(cfg)], capture_output=True, text=True)
    return int(done.stdout) / 1024
