"""Run record and RO-Crate of a small results folder, written by hand."""

import json
import os
from datetime import UTC, datetime

import pytest
from rocrate.rocrate import ROCrate

from platemae.config import Config
from platemae.config.plates import Plate
from platemae.errors import MissingError
from platemae.holding.orphans import RUN_ID
from platemae.job_record import write_record
from platemae.layout import Results
from platemae.provenance import run_record
from platemae.provenance.crate import write_crate
from platemae.provenance.jobs import job_records, span, versions
from platemae.provenance.run_record import recorded_run, run_records
from platemae.standing.crate import crate_changes
from platemae.standing.record import size_and_digest

PLATES = [Plate("P1", "B1", "synthetic", "raw/P1", "layout.tsv")]


def note_job(
    results,
    stage,
    wildcards,
    outputs,
    *,
    run="r" * 32,
    started="2026-11-21T08:00:00+00:00",
    seconds=2.5,
    torch="2.13.0",
):
    """Write a job's outputs and its record, as `platemae.job` does."""
    for name in outputs:
        path = results.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    record = {
        "stage": stage,
        "wildcards": wildcards,
        "run": run,
        "started": started,
        "seconds": seconds,
        "host": "node1",
    }
    record |= {"slurm": {"job": "77", "restart": 0}} if stage == "train_model" else {"slurm": {}}
    record |= {"outputs": {name: list(size_and_digest(results.root / name)) for name in outputs}}
    record |= {"libraries": {"torch": torch, "platemae": "0.1.0"}, "python": "3.11.7", "code_digest": stage[0] * 64}
    write_record(results, stage, wildcards, record)


@pytest.fixture
def results(tmp_path, project) -> Results:
    made = Results(tmp_path / "results")
    for plate in ("P1", "P2"):
        note_job(made, "ingest_plate", {"plate": plate}, [f"plates/{plate}.fields.parquet"], run="e" * 32)
        made.provenance("ingest_plate", f"{plate}.inventory").write_text(json.dumps({"files": []}))
    late = "2026-11-21T09:00:00+00:00"
    files = ["models/mae/model.safetensors", "models/mae/model.json"]
    note_job(made, "train_model", {"model": "mae"}, files, started=late, seconds=60)
    note_job(made, "render_report", {}, ["report/index.html"], started="2026-11-21T09:30:00+00:00")
    return made


def run(results, project, exit_code, monkeypatch):
    monkeypatch.setenv(RUN_ID, "r" * 32)
    with recorded_run(results, project, Config(), PLATES) as outcome:
        (open_record,) = run_records(results)
        outcome.exit_code = exit_code
    return open_record, run_records(results)[0]


def test_a_run_says_what_it_was_and_what_its_own_jobs_did(results, project, monkeypatch):
    monkeypatch.setattr("sys.argv", ["platemae", "run", "--cores", "2"])
    begun, ended = run(results, project, 0, monkeypatch)
    assert begun["ended"] is None
    assert ended["command"] == ["platemae", "run", "--cores", "2"]
    assert ended["config"] == Config().model_dump(mode="json")
    assert [plate["plate"] for plate in ended["plates"]] == ["P1"]
    assert {stage: (found["jobs"], found["seconds"]) for stage, found in ended["stages"].items()} == {
        "train_model": (1, 60.0),
        "render_report": (1, 2.5),
    }
    assert ended["stages"]["train_model"]["slurm_jobs"] == ["77"]
    assert ended["made_before"] == {"ingest_plate": 2}
    assert ended["exit_code"] == 0
    assert (results.workflow() / "Snakefile").read_bytes() == (project / "Snakefile").read_bytes()


def test_a_run_that_fails_is_recorded_and_old_records_are_not_opened(results, project, monkeypatch):
    long_ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for path in (results.root / "provenance/train_model").iterdir():
        os.utime(path, (long_ago, long_ago))
    monkeypatch.setenv(RUN_ID, "r" * 32)
    with pytest.raises(KeyboardInterrupt), recorded_run(results, project, Config(), PLATES):
        raise KeyboardInterrupt
    (record,) = run_records(results)
    assert record["exit_code"] is None
    assert list(record["stages"]) == ["render_report"]
    assert record["made_before"] == {"ingest_plate": 2, "train_model": 1}


def test_records_of_jobs_are_read_past_torn_ones(results):
    (results.root / "provenance/ingest_plate/P3.json").write_text('{"stage": "ingest_plate", "sta')
    note_job(results, "qc_plate", {"plate": "P1"}, [], torch="2.9.0")
    records = list(job_records(results))
    assert len(records) == 5
    assert versions(records)["torch"] == "2.13.0 and 2.9.0"
    assert span(records) == ("2026-11-21T08:00:00+00:00", "2026-11-21T09:30:02+00:00")


def test_rocrate_reads_the_crate_and_finds_all_of_it(results, project, monkeypatch):
    run(results, project, 0, monkeypatch)
    write_crate(results, project, "A screen", "https://creativecommons.org/licenses/by/4.0/")
    crate = ROCrate(results.root)
    assert crate.name == "A screen"
    assert crate.mainEntity.id == "provenance/workflow/Snakefile"
    assert "ComputationalWorkflow" in crate.mainEntity.type
    for entity in crate.data_entities:
        assert (results.root / entity.id).exists(), entity.id
    weights = crate.dereference("models/mae/model.safetensors")
    assert (int(weights["contentSize"]), weights["sha256"]) == size_and_digest(results.root / weights.id)
    training = crate.dereference("#stage/train_model")
    assert [entity.id for entity in training["result"]] == sorted(
        ["models/mae/model.json", "models/mae/model.safetensors"]
    )
    assert training["object"].id == "plates/"
    assert training["endTime"] == "2026-11-21T09:01:00+00:00"
    whole = crate.dereference("#run/" + "r" * 32)
    assert whole["instrument"] == crate.mainEntity
    assert whole["agent"].type == "Person"
    known = {entity.id for entity in crate.get_entities()}
    graph = json.loads(results.crate().read_text())["@graph"]
    assert {name for name in _references(graph) if not name.startswith("http")} <= known


def _references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_equal_results_have_an_equal_crate(results, project, monkeypatch):
    run(results, project, 0, monkeypatch)
    first = write_crate(results, project, "A screen").read_bytes()
    monkeypatch.setattr(run_record.time, "time", lambda: 0.0)
    assert write_crate(results, project, "A screen").read_bytes() == first


def test_a_crate_that_is_no_longer_true_is_found(results, project):
    assert crate_changes(results, quick=False) == []
    write_crate(results, project, "A screen")
    assert crate_changes(results, quick=False) == []
    page = results.report()
    page.write_bytes(page.read_bytes()[::-1])
    assert crate_changes(results, quick=True) == []
    assert crate_changes(results, quick=False) == ["report/index.html is another now"]
    page.unlink()
    assert crate_changes(results, quick=True) == ["report/index.html is gone"]
    text = results.crate().read_text().replace('"report/index.html"', '"../../secret"')
    results.crate().write_text(text)
    assert crate_changes(results, quick=True) == ["../../secret leads out of the folder"]


def test_without_a_job_there_is_nothing_to_describe(tmp_path, project):
    with pytest.raises(MissingError, match="nothing to describe"):
        write_crate(Results(tmp_path), project, "A screen")
