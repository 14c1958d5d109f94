"""A screen of which only plates.tsv and what its ingest left are there."""

import json

import pytest
import yaml

from platemae.config.plate_table import PlateTable
from platemae.config.plates import Plate

COUNTS = {"wells": 10, "fields": 20, "channels": ["DNA", "ER"], "shape": [2, 100, 64], "dtype": "uint16"}


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch):
    """Let plans see no cluster, also where the tests run beside one."""
    monkeypatch.setattr("platemae.planning.plan.partitions", dict)


@pytest.fixture
def plates():
    return PlateTable([Plate(f"P{i}", f"B{i // 2}", "synthetic", "raw", "layout.tsv") for i in range(4)])


@pytest.fixture
def screen(tmp_path, plates):
    """Write four ingested plates and a configuration; returns the latter's path."""
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tg1\tnegcon\n")
    rows = ["\t".join((p.plate, p.batch, p.reader, p.path, p.layout)) for p in plates]
    (tmp_path / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    for plate in plates.names:
        path = tmp_path / "results" / "plates" / f"{plate}.manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"stage": "ingest_plate", "digest": "0", "counts": COUNTS, "schema_version": 1}))
    config = {"results": str(tmp_path / "results"), "plates": str(tmp_path / "plates.tsv")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "config.yaml"
