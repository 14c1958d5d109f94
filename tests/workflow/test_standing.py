"""`explain`, `accept` and `verify` on a finished project: they agree with Snakemake, and change no result."""

import json
import os
import re
import shutil
import time

import pytest

from platemae.standing.record import snakemake_record
from tests.workflow.conftest import make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
WHY = "a constant that nothing reads"
ENDS = {"compare_models": 1, "render_report": 1}
TIMES = "benchmarks/import_profiles/means/{}.tsv"
"""Snakemake takes the oldest of what a job wrote, this among them."""


@pytest.fixture(scope="module")
def done(tmp_path_factory, project, tiny_screen):
    """A finished project of one correction and without a network, which would take most of the time."""
    made = make_project(tmp_path_factory.mktemp("standing") / "project", project, tiny_screen)
    config = made.root / "config.yaml"
    config.write_text(re.sub(r"^  - {name: (mae|none),.*\n", "", config.read_text(), flags=re.M))
    made.run()
    return made


def explained(project):
    return json.loads(project.call("-m", "platemae.cli", "explain", "--json").stdout)


def verified(project, *arguments):
    return project.call("-m", "platemae.cli", "verify", *arguments, check=False)


def contents(project):
    root = project.root / "results"
    return {path: path.read_bytes() for path in root.rglob("*") if path.suffix in (".h5ad", ".parquet", ".npz")}


def test_stale_jobs_are_explained_kept_and_verified(done, tmp_path):
    assert explained(done)["jobs"] == done.stale() == {}
    assert verified(done).returncode == 0

    done.edit("config.yaml", "{name: tvn, kind: tvn,", "{name: tvn, kind: tvn, ridge: 0.25,")
    path = done.root / "src/platemae/benchmarks/recall.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    said = explained(done)
    assert said["jobs"] == done.stale()
    causes = {cause["stage"]: cause for cause in said["causes"]}
    assert {stage: cause["reasons"] for stage, cause in causes.items()} == {
        "fit_correction": ["correction.ridge was 0.5, is 0.25"],
        "score_map": ["code: benchmarks/recall.py changed"],
        "render_report": ["corrections.tvn.ridge was 0.5, is 0.25"],
    }
    assert causes["score_map"]["follow"] == ENDS
    assert causes["fit_correction"]["follow"] == {"correct_plate": 2, "build_map": 1, "score_map": 1, **ENDS}

    before = contents(done)
    done.edit("config.yaml", "ridge: 0.25, ", "")
    said = done.call("-m", "platemae.cli", "accept", "score-map", "--why", WHY).stdout
    assert "the report shows it when it is made next" in said
    assert contents(done) == before
    said = explained(done)
    assert said["jobs"] == done.stale() == {}
    assert [entry["why"] for entry in said["accepted"]] == [WHY]
    assert {entry["code"]["from"] == entry["code"]["to"] for entry in said["accepted"]} == {False}

    moved = tmp_path / "elsewhere"
    shutil.copytree(done.root / "results", moved)
    assert verified(done, "--results", str(moved), "--json").returncode == 0
    (moved / "plates/P1.fields.parquet").write_bytes(b"torn")
    seen = verified(done, "--results", str(moved), "--quick", "--json")
    assert seen.returncode == 2
    assert [finding["where"] for finding in json.loads(seen.stdout)["findings"]] == ["plates/P1.fields.parquet"]


def test_an_early_stage_is_kept_for_one_plate_and_nothing_after_it_runs(done):
    path = done.root / "src/platemae/readers/synthetic.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    done.call("-m", "platemae.cli", "accept", "ingest_plate", "--plate", "P1", "--why", WHY)
    assert done.stale("--target", "qc/P1.manifest.json") == {}
    assert done.stale("--target", "qc/P2.manifest.json") == {"ingest_plate": 1, "qc_plate": 1}
    done.call("-m", "platemae.cli", "accept", "ingest_plate", "--why", WHY)
    assert done.stale() == {}


def test_what_is_not_there_is_not_kept(done):
    """Snakemake misses what is asked for alone, not what lies on the way to something whole; `verify` misses both."""
    (done.root / "results/scores/means/tvn.manifest.json").unlink()
    assert done.stale() == {}
    assert "foreign: scores/means/tvn.parquet" in verified(done, "--quick").stdout
    (done.root / "results/report/manifest.json").unlink()
    refused = done.call("-m", "platemae.cli", "accept", "render_report", "--why", WHY, check=False)
    assert refused.returncode == 2
    assert "nothing to keep: gone: report/manifest.json" in refused.stderr
    assert len((done.root / "results/provenance/accepted.jsonl").read_text().splitlines()) == 3


def test_what_a_killed_run_left_is_held_against_its_inputs_whatever_is_asked_for(done):
    """Two embeddings without Snakemake's record; the plate of one has been judged anew since."""
    root = done.root / "results"
    end = time.time() - 1
    for plate in ("P1", "P2"):
        snakemake_record(root, f"embeddings/means/{plate}.manifest.json").unlink()
        for name in ("embeddings/means/{}.manifest.json", "embeddings/means/{}.h5ad", TIMES):
            os.utime(root / name.format(plate), (end, end))
    os.utime(root / "qc/P1.manifest.json")
    os.utime(snakemake_record(root, "qc/P1.manifest.json"))
    code = "from pathlib import Path; from platemae.standing.finished import keep_finished as keep; "
    kept = done.call("-c", f"{code}print(*keep(Path('config.yaml').resolve(), 'local'), sep=chr(10))").stdout
    assert kept.splitlines() == ["import_profiles means P2"]
