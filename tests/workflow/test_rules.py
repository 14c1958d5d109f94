"""Hygiene of the workflow: every rule is complete, five names agree, lint and format are clean."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from platemae.layout import MANIFESTS
from platemae.planning.ceilings import VARIABLE

DIRECTIVES = ("message", "input", "output", "params", "log", "benchmark", "threads", "resources", "conda", "shell")


@pytest.fixture(scope="module")
def tiny_project(tmp_path_factory, project):
    """A configuration with a table of plates, so that the Snakefile can be parsed."""
    folder = tmp_path_factory.mktemp("lint")
    (folder / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\tNTC\tnegcon\n")
    (folder / "plates.tsv").write_text("plate\tbatch\treader\tpath\tlayout\nP1\tB1\tsynthetic\tP1\tlayout.tsv\n")
    (folder / "config.yaml").write_text(f"plates: {folder}/plates.tsv\nresults: {folder}/results\n")
    return folder / "config.yaml"


def snakemake(project, *arguments, **variables):
    environment = {**os.environ, **variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("stage", MANIFESTS)
def test_every_rule_is_complete_and_named_after_its_stage(project, stage):
    text = (project / "rules" / f"{stage}.smk").read_text()
    assert re.findall(r"^rule (\w+):", text, re.M) == [stage]
    missing = [name for name in DIRECTIVES if not re.search(rf"^    {name}:", text, re.M)]
    assert missing == []
    assert f'"platemae {stage.replace("_", "-")} ' in text, "the shell line calls the subcommand of the same name"
    assert f'cfg=cfg("{stage}")' in text
    assert '"--cfg - ' in text, "no argument is as long as the names of some thousand plates"
    assert text.endswith(' <<<{params.cfg:q}"\n')
    assert f'code=code("{stage}")' in text
    assert f'"logs/{stage}/' in text
    assert (project / f"src/platemae/stages/{stage}.py").is_file()
    assert (project / f"tests/stages/test_{stage}.py").is_file()


def test_there_is_a_rules_file_for_each_stage_and_common_holds_the_functions(project):
    assert {path.stem for path in (project / "rules").glob("*.smk")} == {*MANIFESTS, "common"}
    for path in [project / "Snakefile", *(project / "rules").glob("*.smk")]:
        if path.name != "common.smk":
            assert not re.search(r"^\s*def ", path.read_text(), re.M), path


def test_lint_is_silent(project, tiny_project):
    done = snakemake(project, "--lint", "--configfile", str(tiny_project))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_makes_no_training_set_and_no_intensity_map_that_no_model_uses(project, tiny_project, tmp_path):
    """The stages before the training are called by name, so what they make must be what the report asks for."""
    means = "models: [{name: means, kind: profiles, source: intensity_means}]\n"
    (tmp_path / "config.yaml").write_text(tiny_project.read_text() + means)
    call = ("datasets_all", "intensity_all", "--dry-run", "--configfile")
    done = snakemake(project, *call, str(tmp_path / "config.yaml"))
    assert done.returncode == 0, done.stderr
    assert not re.search("build_dataset|fit_intensity", done.stdout + done.stderr)
    used = snakemake(project, *call, str(tiny_project))
    assert {"build_dataset", "fit_intensity"} <= set(re.findall(r"^\w+", used.stdout + used.stderr, re.M))


def test_no_attempt_asks_for_more_than_the_run_was_told_that_slurm_has(project, tiny_project, tmp_path):
    asks = {
        "memory": 'memory("render_report")(None, attempt=n)',
        "training": 'memory("train_model", most_attempts=3)(None, attempt=n)',
        "minutes": 'runtime("build_dataset")(None, attempt=n, threads=1)',
        "free": 'runtime("build_map")(None, attempt=n, threads=1)',
    }
    lines = [f"print('{name}', *({ask} for n in (1, 2, 3, 4)))" for name, ask in asks.items()]
    text = "\n".join([f'include: "{project}/rules/common.smk"', *lines, "rule nothing:", ""])
    (tmp_path / "Snakefile").write_text(text)
    told = {"render_report": {"mem_mb": 16_000}, "build_dataset": {"runtime": 70}}
    call = ("--snakefile", f"{tmp_path}/Snakefile", "--configfile", str(tiny_project), "--dry-run")
    done = snakemake(project, *call, **{VARIABLE: json.dumps(told)})
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "memory 6000 12000 16000 16000",
        "training 8000 16000 24000 24000",
        "minutes 30 60 70 70",
        "free 30 60 90 120",
    ):
        assert line in done.stdout.splitlines()


def test_format_is_clean(project):
    done = subprocess.run(
        [Path(sys.executable).parent / "snakefmt", "--check", "Snakefile", "rules"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_both_profiles_use_the_greedy_scheduler(project):
    for name in ("local", "slurm"):
        text = (project / f"workflow/profiles/{name}/config.yaml").read_text()
        assert re.search(r"^scheduler: greedy\b", text, re.M)
        assert re.search(r"^rerun-incomplete: true\b", text, re.M)


def test_a_plate_depends_on_its_own_plate_map_its_cells_and_the_metadata(project, tmp_path):
    (tmp_path / "maps" / "platemap").mkdir(parents=True)
    (tmp_path / "results" / "plates").mkdir(parents=True)
    (tmp_path / "maps" / "barcode_platemap.csv").write_text("Assay_Plate_Barcode,Plate_Map_Name\nP1,M1\nP2,M2\n")
    for name in ("maps/platemap/M1.txt", "maps/platemap/M2.txt", "cells.tsv", "genes.csv"):
        (tmp_path / name).write_text("")
    for plate in ("P1", "P2"):
        (tmp_path / plate).mkdir()
        for name in (f"{plate}/plate.json", f"results/plates/{plate}.fields.parquet"):
            (tmp_path / name).write_text("")
        (tmp_path / f"results/plates/{plate}.manifest.json").write_text("{}")
    rows = "P1\tB1\tsynthetic\tP1\tmaps\t\nP2\tB1\tsynthetic\tP2\tmaps\tcells.tsv\n"
    (tmp_path / "plates.tsv").write_text("plate\tbatch\treader\tpath\tlayout\tcells\n" + rows)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"plates: {tmp_path}/plates.tsv\nresults: {tmp_path}/results\nlayouts: {{metadata: [genes.csv]}}\n"
    )

    def stale(*touched):
        for path in tmp_path.rglob("*.*"):
            os.utime(path, (1e9 + path.is_relative_to(tmp_path / "results"),) * 2)
        for name in touched:
            (tmp_path / name).touch()
        done = snakemake(project, "-n", "ingest_all", "--configfile", str(config), "--rerun-triggers", "mtime")
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(set(re.findall(r"Plate (P\d): raw folder", done.stdout + done.stderr)))

    assert stale("maps/barcode_platemap.csv", "plates.tsv") == []
    assert stale("maps/platemap/M1.txt") == ["P1"]
    assert stale("cells.tsv") == ["P2"]
    assert stale("genes.csv") == ["P1", "P2"]
