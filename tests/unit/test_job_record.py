"""Records of jobs: each job has its own, and those of earlier versions are found where they are this job's."""

import json

import pytest

from platemae.contracts import write_text
from platemae.job_record import read_record, write_record
from platemae.layout import Results
from platemae.ledger import Accepted, append, in_force
from platemae.provenance.jobs import record_files

ONE, OTHER = {"model": "mae", "plate": "v2.P1"}, {"model": "mae.v2", "plate": "P1"}


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


def earlier(results, wildcards, **more):
    """Leave a record as jobs did before commas."""
    record = {"stage": "embed_plate", "wildcards": wildcards, **more}
    write_text(results.provenance("embed_plate", ".".join(wildcards.values())), json.dumps(record))


def test_jobs_whose_names_have_dots_do_not_share_a_record(results):
    for number, of in enumerate((ONE, OTHER)):
        write_record(results, "embed_plate", of, {"number": number})
    assert [read_record(results, "embed_plate", of) for of in (ONE, OTHER)] == [{"number": 0}, {"number": 1}]


def test_an_earlier_record_is_read_by_its_own_job_alone(results):
    earlier(results, OTHER, number=1)
    assert read_record(results, "embed_plate", OTHER)["number"] == 1
    assert read_record(results, "embed_plate", ONE) == {}


def test_a_job_that_runs_again_takes_the_place_of_its_earlier_record_alone(results):
    earlier(results, OTHER)
    write_record(results, "embed_plate", ONE, {"wildcards": ONE})
    assert len(record_files(results, "embed_plate")) == 2
    write_record(results, "embed_plate", OTHER, {"wildcards": OTHER})
    assert [path.name for path in record_files(results, "embed_plate")] == ["mae,v2.P1.json", "mae.v2,P1.json"]


def test_what_was_accepted_ends_with_a_run_of_that_job(results):
    nothing = {"from": None, "to": None}
    entry = Accepted("embed_plate", ONE, "ada", "h", "2026-11-20T10:00:00+00:00", "why", (), nothing, nothing, "d")
    append(results, [entry])
    earlier(results, OTHER, started="2026-11-20T11:00:00+00:00")
    assert in_force(results) == [entry]
    earlier(results, ONE, started="2026-11-20T11:00:00+00:00")
    assert in_force(results) == []


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_torn_record_is_none(results, text):
    write_text(results.provenance("render_report", "all"), text)
    assert read_record(results, "render_report", {}) == {}
