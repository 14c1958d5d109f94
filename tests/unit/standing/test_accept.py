"""What is kept is in the ledger, and only that, also where keeping breaks off on the way."""

import json

import pytest
import yaml

from platemae import snakemake_call
from platemae.contracts import Manifest, write_text
from platemae.errors import PlatemaeError
from platemae.layout import Results
from platemae.ledger import read
from platemae.standing import accept
from platemae.standing.jobs import Job
from platemae.standing.record import snakemake_record

PLATES = [f"P{number}" for number in range(1, 6)]


def taken_over(results, plate, code):
    """Write what Snakemake writes of a job that it takes for done."""
    record = {"params": [repr(code), repr("{}")], "input": []}
    write_text(snakemake_record(results.root, f"qc/{plate}.manifest.json"), json.dumps(record))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Five judged plates of older code, and a Snakemake that takes two a call."""
    results = Results(tmp_path / "results")
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tx\tnegcon\n")
    rows = [f"{plate}\tB1\tsynthetic\traw\tlayout.tsv" for plate in PLATES]
    (tmp_path / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    config = {"results": str(results.root), "plates": str(tmp_path / "plates.tsv")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for plate in PLATES:
        Manifest("qc_plate", "0").write(results.manifest("qc_plate", plate=plate))
        taken_over(results, plate, "0" * 64)
    jobs = [Job("qc_plate", {"plate": p}, (), (f"qc/{p}.manifest.json",), "Params have changed: x") for p in PLATES]
    monkeypatch.setattr(accept, "pending_jobs", lambda *_: jobs)
    monkeypatch.setattr(accept, "verify_job", lambda *_: [])
    monkeypatch.setattr(snakemake_call, "CALL", 2)
    return results


@pytest.mark.parametrize("end", [PlatemaeError("no", "here", "none"), KeyboardInterrupt()])
def test_what_was_kept_before_it_broke_off_is_recorded_and_nothing_else(results, monkeypatch, end):
    def touch(project, configfile, profile, stage, wildcards, **_):
        for of in wildcards:
            if of["plate"] == "P4":
                raise end
            taken_over(results, of["plate"], "1" * 64)

    write_text(results.accepted(), "")
    monkeypatch.setattr(accept, "touch", touch)
    with pytest.raises(type(end)):
        accept.accept("qc_plate", {}, "harmless", results.root.parent / "config.yaml")
    assert [entry.wildcards["plate"] for entry in read(results)] == ["P1", "P2", "P3"]


def test_all_are_kept_in_as_many_calls_as_it_takes(results, monkeypatch):
    calls = []
    monkeypatch.setattr(accept, "touch", lambda *given, **_: calls.append([of["plate"] for of in given[4]]))
    said = accept.accept("qc_plate", {}, "harmless", results.root.parent / "config.yaml")
    assert calls == [["P1", "P2"], ["P3", "P4"], ["P5"]]
    assert [entry.wildcards["plate"] for entry in read(results)] == PLATES
    assert len(said) == len(PLATES) + 1
