"""Outputs are held against manifests and records: what was done to a file is what is said of it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import SCORE_COLUMNS, Manifest, write_text
from platemae.correction.control_stats import ControlStats
from platemae.fingerprint import digest_table
from platemae.job_record import write_record
from platemae.layout import MANIFESTS, OUTPUTS, Results
from platemae.stages.summarize_controls import stats_digest
from platemae.standing.record import size_and_digest
from platemae.standing.verify import Verification, _raw_folder, manifests, verify
from platemae.store.parquet import write_parquet

SCORES = {"model": "m", "correction": "none"}
CONTROLS = {"model": "m", "fit_on": "negcon", "plate": "P1"}
DATASET = {"dataset": "all"}


def finish(results, stage, wildcards, digest):
    """Do what a job does at its end."""
    noted = {
        p.relative_to(results.root).as_posix(): list(size_and_digest(p)) for p in results.outputs(stage, **wildcards)
    }
    record = {"content_digest": digest, "outputs": noted}
    write_record(results, stage, wildcards, record)
    Manifest(stage, digest).write(results.manifest(stage, **wildcards))


@pytest.fixture
def results(tmp_path):
    """Return a folder with scores, control statistics, and a training set whose digest is of more than its file."""
    results = Results(tmp_path / "results")
    scores = pd.DataFrame({name: [1.0, np.nan] if name in ("value", "n") else ["a", ""] for name in SCORE_COLUMNS})
    write_parquet(scores, results.scores(**SCORES))
    finish(results, "score_map", SCORES, digest_table(scores))
    rows_ND = np.random.default_rng(0).normal(size=(5, 3))
    stats = ControlStats.from_rows(rows_ND, unit="P1", labels=list("abcde"))
    stats.save(results.control_stats(**CONTROLS))
    finish(results, "summarize_controls", CONTROLS, stats_digest(stats))
    write_parquet(pd.DataFrame({"plate": ["P1"]}), results.dataset("all"))
    finish(results, "build_dataset", DATASET, "of inputs and the table")
    return results


def found(results, **options):
    return [(finding.kind, finding.where) for finding in verify(results.root, **options).findings]


def test_what_its_jobs_left_holds_wherever_it_lies(results, tmp_path):
    seen = verify(results.root)
    assert not seen.findings
    assert seen.checked == {"score_map": 1, "summarize_controls": 1, "build_dataset": 1}
    shutil.move(results.root, tmp_path / "elsewhere")
    assert not verify(tmp_path / "elsewhere").findings


def test_an_edited_table_of_the_same_size(results):
    path = results.scores(**SCORES)
    table = pd.read_parquet(path)
    table.loc[0, "value"] = 2.0
    write_parquet(table, path)
    assert found(results) == [("edited", "scores/m/none.parquet")]


def test_content_that_no_record_covers_is_recomputed(results):
    shutil.rmtree(results.root / "provenance")
    assert found(results) == [("unrecorded", "datasets/all.parquet")]
    stats = ControlStats.load(results.control_stats(**CONTROLS))
    ControlStats(stats.n, stats.mean + 1, stats.scatter, stats.unit).save(results.control_stats(**CONTROLS))
    assert ("edited", "control_stats/m/negcon/P1.npz") in found(results)


def test_another_file_of_the_same_size_where_the_digest_is_of_inputs(results):
    path = results.dataset("all")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert found(results) == [("edited", "datasets/all.parquet")]
    assert found(results, quick=True) == []


def test_a_torn_file(results):
    path = results.scores(**SCORES)
    path.write_bytes(path.read_bytes()[:200])
    assert found(results) == found(results, quick=True) == [("edited", "scores/m/none.parquet")]
    shutil.rmtree(results.root / "provenance")
    assert ("torn", "scores/m/none.parquet") in found(results)


def test_a_file_that_is_gone_and_a_manifest_that_is_gone(results):
    results.scores(**SCORES).unlink()
    results.manifest("summarize_controls", **CONTROLS).unlink()
    assert found(results) == [("gone", "scores/m/none.parquet"), ("foreign", "control_stats/m/negcon/P1.npz")]


def test_foreign_files_and_leftovers(results):
    (results.root / "scores/m/old.parquet").write_text("x")
    (results.root / "plates/P9.zarr").mkdir(parents=True)
    (results.root / "maps").mkdir()
    (results.root / "maps/.m.h5ad.tmp-7").write_text("x")
    (results.root / "models/.state/k/finished").mkdir(parents=True)
    (results.root / "models/.state/k/finished/manifest.json").write_text("x")
    assert found(results) == [
        ("torn", "maps/.m.h5ad.tmp-7"),
        ("foreign", "plates/P9.zarr"),
        ("foreign", "scores/m/old.parquet"),
    ]


def test_tables_are_those_that_were_written(results):
    for name in ("scores.csv", "papers/one.csv"):
        write_text(results.tables() / name, "a,b\n")
    finish(results, "compare_models", {}, "of frames")
    assert found(results) == []
    (results.tables() / "papers/one.csv").rename(results.tables() / "papers/two.csv")
    assert found(results) == [("gone", "tables/papers/one.csv")]
    write_text(results.tables() / "papers/one.csv", "a,b\n")
    assert found(results) == [("foreign", "tables/papers/two.csv")]
    (results.tables() / "papers/two.csv").unlink()
    write_text(results.tables() / "papers/one.csv", "a,c\n")
    assert found(results) == [("edited", "tables/papers/one.csv")]


def test_manifests_that_are_torn_or_edited(results):
    results.manifest("build_dataset", **DATASET).write_text('{"stage": "build')
    path = results.manifest("score_map", **SCORES)
    Manifest("score_map", "another digest").write(path)
    assert found(results) == [
        ("torn", "datasets/all.manifest.json"),
        ("edited", "scores/m/none.manifest.json"),
        ("edited", "scores/m/none.parquet"),
    ]


def test_a_raw_folder_that_changed(results, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a.tif", "b.tif"):
        (raw / name).write_text(name)
    write_parquet(pd.DataFrame({"plate": ["P1"]}), results.fields("P1"))
    files = [[p.name, p.stat().st_size, p.stat().st_mtime] for p in sorted(raw.iterdir())]
    inventory = {"folder": str(raw), "files": files, "unmatched": ["other.tif"]}
    write_text(results.provenance("ingest_plate", "P1.inventory"), json.dumps(inventory))
    Manifest("ingest_plate", "d", {"channels": []}).write(results.manifest("ingest_plate", plate="P1"))
    assert not [kind for kind, _ in found(results, quick=True) if kind == "raw"]
    (raw / "a.tif").write_text("longer")
    (raw / "b.tif").unlink()
    for name in ("c.tif", "other.tif", "notes.txt"):
        (raw / name).write_text("x")
    (finding,) = [f for f in verify(results.root, quick=True).findings if f.kind == "raw"]
    assert "1 gone (b.tif); 1 changed (a.tif); 1 new (c.tif)" in finding.what
    shutil.rmtree(raw)
    seen = verify(results.root, quick=True)
    assert not [f for f in seen.findings if f.kind == "raw"]
    assert "out of reach" in seen.notes[0]


def test_every_declared_output_is_known(project, results):
    """The rules declare what `layout.OUTPUTS` names, no more and no less."""
    for stage in MANIFESTS:
        text = (project / "rules" / f"{stage}.smk").read_text()
        block = text.split("    output:\n")[1].split("    log:\n")[0]
        declared = {word for word in block.split('"') if "/" in word and not word.startswith("../")}
        assert declared == {MANIFESTS[stage], *OUTPUTS[stage]}, stage


def test_wildcards_are_read_off_the_paths(results):
    assert {stage: wildcards for stage, wildcards, _ in manifests(results)} == {
        "score_map": SCORES,
        "summarize_controls": CONTROLS,
        "build_dataset": DATASET,
    }


def test_a_manifest_of_another_stage_ends_nothing(results):
    for stage in ("ingest_plat", "build_map"):
        Manifest(stage, "digest").write(results.manifest("score_map", **SCORES))
        assert ("edited", "scores/m/none.manifest.json") in found(results)
        assert verify(results.root).checked == {"summarize_controls": 1, "build_dataset": 1}


def test_an_inventory_that_cannot_be_read_is_a_finding(results):
    path = results.provenance("ingest_plate", "P1.inventory")
    write_text(path, "{torn")
    seen = Verification()
    _raw_folder(results, "P1", seen)
    assert [(finding.kind, finding.where) for finding in seen.findings] == [
        ("torn", path.relative_to(results.root).as_posix())
    ]
