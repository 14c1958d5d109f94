"""Errors of a run's jobs: told once more at its end, whatever else lies in the folder."""

import json

import pytest

from platemae.cli import main
from platemae.contracts import Manifest
from platemae.errors import InputError
from platemae.holding.orphans import RUN_ID
from platemae.layout import Results
from platemae.stages import ingest_plate
from platemae.standing.error_notes import SHOWN, repeat_errors

MINE = "run-2"


def ingest(results, plate):
    return main(["ingest-plate", "--plate", plate, "--results", str(results.root), "--cfg", "{}", "--code", "c"])


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder in which every ingest fails, in the run of this test."""
    monkeypatch.setenv(RUN_ID, MINE)
    monkeypatch.setattr(ingest_plate, "run", fails)
    return Results(tmp_path / "results")


def fails(*arguments, plate, **more):
    raise InputError(f"plate {plate} is bad", "a folder", "copy it again")


def test_each_job_is_told_once_however_often_it_was_tried(results, capsys):
    assert [ingest(results, plate) for plate in ("P1", "P2", "P1")] == [2, 2, 2]
    capsys.readouterr()
    assert repeat_errors(results, MINE)
    said = capsys.readouterr().err
    for plate in ("P1", "P2"):
        told = f"ingest_plate {plate}\nerror:  plate {plate} is bad\nwhere:  a folder\nremedy: copy it again\n"
        assert said.count(told) == 1


def test_what_another_run_noted_or_a_later_attempt_mended_is_not_told(results, monkeypatch, capsys):
    ingest(results, "P1")
    monkeypatch.setattr(ingest_plate, "run", lambda *arguments, **named: Manifest("ingest_plate", "0"))
    assert ingest(results, "P1") == 0
    monkeypatch.setattr(ingest_plate, "run", fails)
    monkeypatch.setenv(RUN_ID, "run-1")
    ingest(results, "P2")
    capsys.readouterr()
    assert not repeat_errors(results, MINE)
    assert capsys.readouterr().err == ""


def test_notes_that_cannot_be_read_hide_no_other(results, capsys):
    ingest(results, "P1")
    folder = results.error("ingest_plate", "P1").parent
    note = json.loads((folder / "P1.json").read_text())
    broken = {
        "empty": "",
        "torn": '{"run": "run-2", "st',
        "two": f"{json.dumps(note)}{json.dumps(note)}",
        "list": "[1]",
    }
    broken |= {"lacking": json.dumps({"run": MINE}), "odd": json.dumps(note | {"wildcards": 3})}
    for name, text in broken.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "latin.json").write_bytes(b"\xff\xfe")
    (folder / "folder.json").mkdir()
    capsys.readouterr()
    assert repeat_errors(results, MINE)
    assert capsys.readouterr().err.count("error: ") == 1


def test_of_very_many_the_first_are_told_and_the_others_counted(results, capsys):
    for number in range(SHOWN + 3):
        ingest(results, f"P{number:02d}")
    capsys.readouterr()
    assert repeat_errors(results, MINE)
    said = capsys.readouterr().err
    assert said.count("\nerror: ") == SHOWN
    assert f"3 more jobs ended with an error: {results.errors()}" in said
