"""Why jobs are stale, from records written by hand; where Snakemake keeps its own; the ledger."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from types import SimpleNamespace

import pytest

from platemae.config import Config, stage_config
from platemae.config.plates import Plate
from platemae.contracts import canonical, write_text
from platemae.errors import ConfigError, ContractError
from platemae.fingerprint import code_digest, module_digests
from platemae.layout import Results
from platemae.ledger import Accepted, append, in_force
from platemae.report.blocks import Page
from platemae.report.page import render
from platemae.report.sections import provenance
from platemae.report.source import Source
from platemae.standing.accept import accept
from platemae.standing.code import code_change, note_code
from platemae.standing.explain import NOT_MADE, causes
from platemae.standing.jobs import Job
from platemae.standing.record import made_with, snakemake_record

PLATES = [Plate(p, "B1", "synthetic", f"plates/{p}", f"{p}.tsv") for p in ("P1", "P2")]
CONFIG = Config()


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results")


def job(stage, inputs=(), reason="", **wildcards):
    manifest = Results(Path()).manifest(stage, **wildcards).as_posix()
    return Job(stage, wildcards, tuple(inputs), (manifest,), reason)


def note(results, made, cfg=None, code=None):
    """Write what Snakemake notes of a job."""
    cfg = canonical(cfg or stage_config(CONFIG, PLATES, made.stage, **made.wildcards))
    record = {"params": [repr(code or code_digest(made.stage)), repr(cfg)], "input": list(made.inputs)}
    name = urlsafe_b64encode(made.outputs[0].encode()).decode()
    write_text(results.root / ".snakemake/metadata" / name, json.dumps(record))


def reasons(results, jobs):
    return {cause.jobs[0].stage: cause.reasons for cause in causes(CONFIG, PLATES, results, jobs)}


def test_reasons_of_its_own_and_what_follows(results):
    first = job("qc_plate", plate="P1", reason="Params have changed since last execution: before: 'a; B' now: 'c'")
    last = job("build_dataset", dataset="screen", inputs=first.outputs, reason="Input files updated by another job: x")
    cfg = stage_config(CONFIG, PLATES, "qc_plate", plate="P1")
    note(results, first, cfg | {"qc": cfg["qc"] | {"max_edge": 9}})
    note(results, last)
    (cause,) = causes(CONFIG, PLATES, results, [last, first])
    assert cause.reasons == (f"qc.max_edge was 9, is {cfg['qc']['max_edge']}",)
    assert cause.follow == {"build_dataset": 1}
    assert "1 job follows: build_dataset 1" in str(cause)


def test_equal_reasons_are_one_cause_and_what_waits_is_none(results):
    jobs = [job("qc_plate", plate=plate, reason="Missing output files: x") for plate in ("P1", "P2")]
    paths = [path for made in jobs for path in made.outputs]
    jobs.append(job("build_dataset", dataset="screen", inputs=paths, reason="Missing output files: y"))
    (cause,) = causes(CONFIG, PLATES, results, jobs)
    assert (len(cause.jobs), cause.reasons, cause.follow) == (2, (NOT_MADE,), {"build_dataset": 1})


def test_what_snakemake_alone_knows(results):
    now = job("qc_plate", plate="P1", inputs=["a", "b"], reason="Updated input files: a; Code has changed since last")
    note(results, job("qc_plate", plate="P1", inputs=["b", "c"]))
    (said,) = reasons(results, [now]).values()
    assert said == ("also reads a; no longer reads c", "changed: a", "the command of its rule changed")
    reason = "Missing output files: x, y; Params have changed since last execution: before: 'a' now: 'b'"
    gone = job("qc_plate", plate="P1", inputs=["b", "c"], reason=reason)
    assert reasons(results, [gone])["qc_plate"] == ("gone: x, y",)
    reason = "Params have changed since last execution: 'a'; Software environment definition has changed"
    both = job("qc_plate", plate="P1", inputs=["b", "c"], reason=reason)
    assert reasons(results, [both])["qc_plate"] == ("its environment file changed",)


def test_a_change_of_code_names_its_modules(results):
    modules = module_digests("qc_plate")
    note_code(CONFIG, PLATES, results)
    path = results.code_record(code_digest("qc_plate"))
    record = json.loads(path.read_text())
    record["modules"] |= {"platemae.qc.verdict": "old", "platemae.qc.gone": "old"}
    del record["modules"]["platemae.stains"]
    path.write_text(json.dumps(record))
    words = code_change(results, code_digest("qc_plate"), modules)
    assert words == "code: qc/verdict.py changed, stains.py is new, qc/gone.py is gone"
    assert "not on record" in code_change(results, "0" * 64, modules)


def test_snakemakes_record_of_a_long_path_and_else_the_jobs_own(results):
    from snakemake.persistence.file import FilePersistence

    for output in ("maps/m/c.manifest.json", f"corrected/{'m' * 100}/{'c' * 100}/{'p' * 100}.manifest.json"):
        theirs = FilePersistence._record_path(SimpleNamespace(_fetch_max_len=lambda _: 255), "metadata", output)
        assert snakemake_record(results.root, output) == results.root / ".snakemake" / theirs
    record = {"parameters": {"qc": 1}, "code_digest": "abc"}
    write_text(results.provenance("qc_plate", "P1"), json.dumps(record))
    assert made_with(results, "qc_plate", {"plate": "P1"}).code == "abc"


ENTRY = Accepted(
    "qc_plate", {"plate": "P1"}, "ada", "host", "2026-11-20T10:00:00+00:00", "no matter", ("code: x.py changed",),
    {"from": "a", "to": "b"}, {"from": "c", "to": "c"}, "d",
)  # fmt: skip


def test_the_ledger_holds_until_the_job_runs_again(results):
    append(results, [ENTRY])
    assert in_force(results) == [ENTRY]
    lists = ("plates", "map_plates", "measured_plates", "embedded_plates", "models", "corrections", "benchmarks")
    source = Source(results, {name: [] for name in lists})
    page = render("title", [Page("provenance", "Provenance", [provenance.build(source)])])
    assert "no matter" in page
    assert "x.py changed" in page
    write_text(results.provenance("qc_plate", "P1"), json.dumps({"started": "2026-11-20T09:00:00+00:00"}))
    assert in_force(results) == [ENTRY]
    write_text(results.provenance("qc_plate", "P1"), json.dumps({"started": "2026-11-20T11:00:00+00:00"}))
    assert in_force(results) == []
    results.accepted().write_text("{")
    with pytest.raises(ContractError, match="line 1"):
        in_force(results)
    page = render("title", [Page("provenance", "Provenance", [provenance.build(source)])])
    assert "not shown (provenance/accepted.jsonl): line 1 of the ledger cannot be read" in page


@pytest.mark.parametrize(
    ("stage", "wildcards", "why", "said"),
    [
        ("no_stage", {}, "x", "there is no stage"),
        ("qc-plate", {}, "  ", "for a reason"),
        ("qc-plate", {"model": "m"}, "x", "not of a model"),
    ],
)
def test_what_cannot_be_accepted_is_said_before_anything_is_looked_at(stage, wildcards, why, said):
    with pytest.raises(ConfigError, match=said):
        accept(stage, wildcards, why, None)
