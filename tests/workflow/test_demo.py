"""``make demo`` as a newcomer types it: a report at the end, nothing to do the second time, honest scores."""

import os
import subprocess

import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def demo(project):
    # A make below `make slow` would tell its folder as its last line.
    own = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}

    def make():
        return subprocess.run(["make", "demo"], cwd=project, capture_output=True, text=True, check=False, env=own)

    first = make()
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    return first, make()


def scores(project):
    table = pd.read_csv(project / "results/tables/scores.csv")
    return table[(table["benchmark"] == "planted") & ((table["threshold"] - 0.05).abs() < 1e-9)]


def test_the_last_line_names_the_report(demo, project):
    for done in demo:
        path = project / "results/report/index.html"
        assert done.stdout.splitlines()[-1] == f"report: {path}"
        assert path.stat().st_size > 100_000


def test_the_second_time_runs_no_job(demo):
    _, second = demo
    assert second.returncode == 0
    assert "done in" not in second.stderr, second.stderr[-2000:]
    assert "Nothing to be done" in second.stdout + second.stderr


def test_every_model_and_correction_is_scored(demo, project):
    rows = scores(project).query("metric == 'recall' and source == 'relations'")
    expected = {(m, c) for m in ("mae_tiny", "untrained", "intensity_means") for c in ("none", "centerscale", "tvn")}
    assert set(zip(rows["model"], rows["correction"], strict=True)) == expected
    assert (rows["ci_low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["ci_high"]).all()
    assert (rows["chance"] == 0.1).all()


def test_trained_and_corrected_is_clear_of_chance(demo, project):
    rows = scores(project).query("metric == 'recall' and source == 'relations'").set_index(["model", "correction"])
    best = rows.loc[("mae_tiny", "tvn")]
    assert best["ci_low"] > 0.1


def test_shuffled_labels_are_at_chance(demo, project):
    rows = scores(project).query("metric == 'recall_shuffled' and source == 'relations'")
    assert len(rows) == 9
    assert rows["value"].between(0.08, 0.12).all(), rows[["model", "correction", "value"]]


def test_snakemakes_own_report_works_too(demo, project, tmp_path):
    page = tmp_path / "report.html"
    command = [project / ".venv/bin/snakemake", "--report", page, "--cores", "1"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert page.stat().st_size > 100_000
