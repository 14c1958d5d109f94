"""What a plan counts, and the report expects, against the jobs of Snakemake's own dry run."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from platemae.config import read_config, stage_config
from platemae.config.plate_table import PlateTable
from platemae.config.plates import read_plates
from platemae.layout import Results
from platemae.planning.sizes import PlateSize
from platemae.planning.workload import count_jobs, pending_work
from platemae.report.source import Source
from tests.workflow.conftest import jobs_of

CONFIG = """\
plates: {folder}/plates.tsv
results: {folder}/results
map: {{plates: [P0]}}
models:
  - {{name: mae, kind: mae, dataset: screen, intensity: controls}}
  - {{name: classical, kind: classical, feature_plates: FEATURE_PLATES}}
corrections:
  - {{name: none, kind: none}}
  - {{name: tvn, kind: tvn, fit_plates: [P1, P2]}}
  - {{name: whole, kind: pca_cs, fit_on: all, fit_plates: [P3]}}
  - {{name: frozen, kind: tvn, basis: basis.npz}}
"""
SIZE = PlateSize(wells=1, fields=1, channels=1, height=64, width=64, depth=2)


def dry_run(project: Path, config: Path) -> dict[str, int]:
    """Return Snakemake's jobs of each rule."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", "--scheduler", "greedy", "--configfile", config]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return jobs_of(done.stdout + done.stderr)


def write(folder: Path, text: str) -> Path:
    """Write six plates, of which nothing is there but what the Snakefile looks for; returns the configuration."""
    (folder / "raw").mkdir()
    (folder / "raw" / "plate.json").write_text("{}")
    (folder / "basis.npz").write_text("")
    (folder / "relations.csv").write_text("entity1,entity2\n")
    (folder / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tNTC\tnegcon\n")
    rows = [f"P{i}\tB{i // 2}\tsynthetic\traw\tlayout.tsv" for i in range(6)]
    (folder / "plates.tsv").write_text("\n".join(["plate\tbatch\treader\tpath\tlayout", *rows]) + "\n")
    path = folder / "config.yaml"
    path.write_text(text.format(folder=folder))
    return path


@pytest.mark.parametrize(("feature_plates", "measured"), [("[P4]", 5), pytest.param("all", 6, marks=pytest.mark.slow)])
def test_plates_off_the_maps_that_features_and_fits_need_are_counted(feature_plates, measured, project, tmp_path):
    path = write(tmp_path, CONFIG.replace("FEATURE_PLATES", feature_plates))
    config, results = read_config(path), Results(tmp_path / "results")
    table = PlateTable(read_plates(tmp_path / "plates.tsv", ["synthetic"]))
    run = dry_run(project, path)
    assert (run["measure_plate"], run["embed_plate"], run["summarize_controls"]) == (measured, 4, 2 * (3 + 2))
    assert {stage: jobs for stage, jobs in count_jobs(config, table).items() if jobs} == run
    planned = Counter()
    for work in pending_work(config, table, dict.fromkeys(table.names, SIZE), results):
        planned[work.stage] += work.jobs
    assert planned == run
    expected = Counter(r.stage for r in Source(results, stage_config(config, table, "render_report")).records)
    untold = ("summarize_controls", "render_report")
    assert expected == {stage: jobs for stage, jobs in run.items() if stage not in untold}
