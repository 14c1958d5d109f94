"""ingest_plate killed at any moment: the store that is there is a whole one, and the next run makes the same."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from platemae.layout import Results
from platemae.store.plate_reader import PlateStore
from tests.stages.raw_plate import LAYOUT, base, image, ingest, make_cfg

__all__ = ["base"]  # the fixture

SLOW = """
import json, sys, time
from pathlib import Path
from platemae.layout import Results
from platemae.stages import ingest_plate
base, cfg = Path(sys.argv[1]), json.loads(sys.argv[2])
plain = ingest_plate.load_field
def slowly(record, name):
    print("field", flush=True)
    time.sleep(float(sys.argv[3]))
    return plain(record, name)
ingest_plate.load_field = slowly
results = Results(base / "results")
manifest = ingest_plate.run(results, cfg, plate="P1", base=base, threads=1)
manifest.write(results.manifest("ingest_plate", plate="P1"))
"""


def start_slow_ingest(base, seconds, **ingest):
    arguments = [sys.executable, "-c", SLOW, str(base), json.dumps(make_cfg(**ingest)), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("killed", "then"), [("folder", "folder"), ("zip", "zip"), ("zip", "folder")])
def test_kill_9_in_the_middle_then_again(base, tmp_path_factory, killed, then):
    clean = tmp_path_factory.mktemp("clean")
    expected = ingest(base, results=Results(clean))
    job = start_slow_ingest(base, 0.3, form=killed)
    for _ in range(3):
        assert job.stdout.readline() == "field\n"
    job.send_signal(signal.SIGKILL)
    job.wait()
    plates = base / "results" / "plates"
    (left,) = plates.iterdir()
    assert left.name.startswith(".P1.zarr.tmp-" if killed == "folder" else ".P1.zarr.zip.tmp-")
    assert ingest(base, cfg=make_cfg(form=then)).digest == expected.digest
    store = "P1.zarr" if then == "folder" else "P1.zarr.zip"
    assert sorted(p.name for p in plates.iterdir()) == ["P1.fields.parquet", "P1.manifest.json", store]


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_whole_store(base):
    """Kills spread over a re-ingest: the store there is always complete, the old one or the new one."""
    results = Results(base / "results")
    old = ingest(base).counts["pixels"]
    for well in LAYOUT:
        tifffile.imwrite(base / "raw" / "P1" / f"{well[0]}{int(well[1:])}_s1_dna.tif", image("A01", "2", "er"))
    new = ingest(base, results=Results(base / "other")).counts["pixels"]
    assert new != old
    for delay in np.linspace(0.0, 0.2, 8):
        job = start_slow_ingest(base, 0.0)
        assert job.stdout.readline() == "field\n"
        time.sleep(delay)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        store = PlateStore(results.store("P1"))
        assert store.digest in (old, new)
        for group in store.fields:
            store.read_field(group)
    assert ingest(base).counts["pixels"] == new
    assert not list(Path(base / "results" / "plates").glob(".*"))
