"""A plate that two projects share: one ingests it, the other waits and takes it, also after a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from platemae.errors import ConfigError, ContractError
from platemae.layout import Results
from platemae.sharing.root import SHARED, shared_root
from platemae.stages import ingest_plate
from platemae.standing.verify import verify
from platemae.store.plate_reader import PlateStore
from tests.stages.raw_plate import ingest, make_cfg, write_layout, write_raw

SLOWLY = """
import json, sys, time
from pathlib import Path
from platemae.layout import Results
from platemae.stages import ingest_plate

def slow(*arguments, load=ingest_plate._load):
    Path("wrote").touch()
    time.sleep(0.05)
    return load(*arguments)

ingest_plate._load = slow
root, cfg = Path(sys.argv[1]), json.loads(sys.argv[2])
manifest = ingest_plate.run(Results(root), cfg, plate="P1", base=Path(sys.argv[3]), threads=1)
manifest.write(Results(root).manifest("ingest_plate", plate="P1"))
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """Raw images, a layout, and an empty shared folder."""
    write_raw(tmp_path / "raw" / "P1")
    write_layout(tmp_path / "layout.tsv")
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv(SHARED, str(tmp_path / "shared"))
    return tmp_path


def shared_plates(base):
    return sorted((base / "shared" / "plates").iterdir())


def start(base, name):
    """Ingest slowly in a process of its own, in a project of this name."""
    (base / name).mkdir()
    call = [sys.executable, "-c", SLOWLY, str(base / name / "results"), json.dumps(make_cfg()), str(base)]
    return subprocess.Popen(call, cwd=base / name, env=os.environ | {"OMP_NUM_THREADS": "1"})


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_second_project_takes_what_the_first_ingested(base, monkeypatch):
    one, two = Results(base / "one"), Results(base / "two")
    first = ingest(base, one)
    monkeypatch.setattr(ingest_plate, "write_plate", lambda *_, **__: pytest.fail("it is ingested again"))
    assert ingest(base, two) == first
    assert two.store("P1").resolve() == one.store("P1").resolve()
    assert two.fields("P1").read_bytes() == one.fields("P1").read_bytes()
    for results in (one, two):
        assert verify(results.root).findings == []
    assert verify(shared_plates(base)[0]).findings == []


def test_without_the_variable_it_is_the_same_plate_in_a_store_of_its_own(base, monkeypatch):
    shared = ingest(base, Results(base / "one"))
    monkeypatch.delenv(SHARED)
    own = Results(base / "two")
    assert ingest(base, own) == shared
    assert not own.store("P1").is_symlink()


@pytest.mark.parametrize("change", ["layout", "settings", "raw", "code"])
def test_another_plate_is_not_taken(base, change):
    ingest(base, Results(base / "one"))
    cfg, code = make_cfg(), ""
    if change == "layout":
        write_layout(
            base / "layout.tsv",
            {"A01": ("", "negcon"), "A02": ("g9", "treatment"), "B01": ("g2", "treatment"), "B02": ("", "poscon")},
        )
    elif change == "settings":
        cfg = make_cfg(chunk_px=16)
    elif change == "raw":  # equal names, sizes and times, elsewhere
        shutil.copytree(base / "raw" / "P1", base / "raw" / "P9", copy_function=shutil.copy2)
        cfg["plate"]["path"] = "raw/P9"
    else:
        code = "other"
    ingest_plate.run(Results(base / "two"), cfg, plate="P1", base=base, threads=1, code=code)
    assert len(shared_plates(base)) == 2


def test_of_two_at_once_one_ingests_and_the_other_waits(base):
    processes = [start(base, "one"), start(base, "two")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert [(base / name / "wrote").exists() for name in ("one", "two")].count(True) == 1
    one, two = (Results(base / name / "results") for name in ("one", "two"))
    assert (
        one.manifest("ingest_plate", plate="P1").read_bytes() == two.manifest("ingest_plate", plate="P1").read_bytes()
    )
    assert verify(two.root).findings == verify(one.root).findings == []


def test_a_killed_writer_is_followed_by_the_one_that_waits(base):
    first = start(base, "one")
    until((base / "one" / "wrote").exists)
    second = start(base, "two")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=120) == 0
    assert (base / "two" / "wrote").exists()
    assert not (base / "one/results/plates").exists(), "the killed one left nothing that looks finished"
    assert verify(Results(base / "two" / "results").root).findings == []
    assert [path.name for path in (shared_plates(base)[0] / "plates").iterdir() if ".tmp-" in path.name] == []


def test_a_link_gives_way_to_a_store_of_its_own_and_the_shared_one_stays(base, monkeypatch):
    results = Results(base / "one")
    made = ingest(base, results)
    monkeypatch.delenv(SHARED)
    assert ingest(base, results) == made
    assert not results.store("P1").is_symlink()
    assert PlateStore(shared_plates(base)[0] / "plates/P1.zarr").digest == made.counts["pixels"]


def test_a_shared_folder_that_is_gone_is_named(base, monkeypatch):
    results = Results(base / "one")
    made = ingest(base, results)
    (base / "shared").rename(base / "elsewhere")
    with pytest.raises(ConfigError, match="there is no such folder"):
        ingest(base, results)
    (found,) = verify(results.root).findings
    assert found.kind == "gone"
    assert str(base / "shared") in found.what
    monkeypatch.setenv(SHARED, str(base / "elsewhere"))
    assert ingest(base, results) == made, "it is taken from where it lies now"
    assert verify(results.root).findings == []


def test_what_is_shared_must_be_what_its_manifest_says(base):
    ingest(base, Results(base / "one"))
    path = Results(shared_plates(base)[0]).manifest("ingest_plate", plate="P1")
    path.write_text(path.read_text().replace('"pixels": "', '"pixels": "0'))
    with pytest.raises(ContractError, match="not what its manifest vouches for"):
        ingest(base, Results(base / "two"))
    assert not Results(base / "two").store("P1").exists()


def test_nothing_leads_out_of_the_shared_folder(base, monkeypatch):
    (base / "outside").mkdir()
    (base / "shared" / "plates").symlink_to(base / "outside")
    with pytest.raises(ConfigError, match="leads out"):
        ingest(base)
    assert list((base / "outside").iterdir()) == []
    monkeypatch.setenv(SHARED, "shared")
    with pytest.raises(ConfigError, match="absolute"):
        shared_root()
