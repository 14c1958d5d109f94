"""Bad input of a real cluster: one clear message, exit code 2, and sbatch is never called."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from platemae.planning.submission import cluster_arguments
from platemae.preflight.cluster import accounts, cluster_lines, keeps_accounts
from tests.conftest import PROJECT
from tests.slurm.cluster import CountedSbatch, running_cluster

pytestmark = pytest.mark.slow
MODEL = {"kind": "mae", "preset": "vit_s16", "dataset": "screen", "intensity": "controls"}


@pytest.fixture
def screen(tmp_path):
    """Write two plates without images, whose jobs are submitted as others are; returns the configuration."""
    (tmp_path / "layout.tsv").write_text("well\tperturbation\tcontrol_type\nA01\t\tnegcon\nA02\tg1\ttreatment\n")
    head, rows = "plate\tbatch\treader\tpath\tlayout", [f"{p}\tB1\tsynthetic\traw\tlayout.tsv" for p in ("P1", "P2")]
    (tmp_path / "plates.tsv").write_text("\n".join([head, *rows]) + "\n")
    config = {
        "results": str(tmp_path / "results"),
        "plates": str(tmp_path / "plates.tsv"),
        "models": [{"name": "mae", **MODEL}],
        "benchmarks": [{"name": "replicates", "kind": "replicate_consistency"}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "config.yaml"


def site(folder, **own):
    """Write a profile as a site would, a copy of ours with other resources of some rules, and return its folder."""
    shutil.copytree(PROJECT / "workflow/profiles/slurm", folder / "site")
    path = folder / "site" / "config.yaml"
    values = yaml.safe_load(path.read_text())
    small = {"mem_mb": 1000, "runtime": 20, "gpu": 0}
    rules = [path.stem for path in (PROJECT / "rules").glob("*_*.smk")]
    values["set-resources"] = {rule: small | own.get(rule, {}) for rule in rules}
    del values["groups"], values["group-components"]  # runtimes of a group add up
    path.write_text(yaml.safe_dump(values))
    return path.parent


def run(screen, profile, environment, *more):
    """Call ``platemae run`` in the project; a pipeline that is let through ends with its first phase."""
    command = [sys.executable, "-m", "platemae.cli", "run", "--configfile", str(screen), "--profile", str(profile)]
    return subprocess.run(
        [*command, *more], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_what_this_cluster_cannot_take_is_told_together_before_anything_is_submitted(screen, tmp_path, cluster):
    profile = site(
        tmp_path,
        train_model={"slurm_partition": "nope"},
        qc_plate={"slurm_account": "nobody"},
        ingest_plate={"runtime": 180},
        embed_plate={"slurm_partition": "gpu", "gpu": 4},
        build_map={"mem_mb": 900_000},
        score_map={"nodes": 5},
    )
    sbatch = CountedSbatch(tmp_path / "counted")
    done = run(screen, profile, sbatch.path(cluster.environment), "--quota-gb", "0")
    assert done.returncode == 2, done.stdout + done.stderr
    for words in (
        "7 problems",
        "train_model asks for the partition nope, which SLURM does not have",
        "qc_plate asks for the account nobody, which SLURM does not let this user name",
        "ingest_plate asks for 180 minutes, partition cpu allows 120",
        "embed_plate asks for 4 GPUs of a node, a node has 2",
        "build_map asks for 900,000 MB, a node has",
        "score_map asks for 5 nodes, partition cpu has 4",
        "the quota leaves 0.0",
        "remedy:",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sbatch.calls() == []
    assert not (tmp_path / "results").exists(), "nothing was begun"


def test_a_walltime_below_one_checkpoint_interval_is_refused(screen, tmp_path, cluster):
    sbatch = CountedSbatch(tmp_path / "counted")
    done = run(screen, site(tmp_path, train_model={"runtime": 2}), sbatch.path(cluster.environment))
    assert (done.returncode, done.stderr.count("error:")) == (2, 1), done.stdout + done.stderr
    assert "the walltime of train_model, 2 minutes, is shorter than one checkpoint interval of mae" in done.stderr
    assert sbatch.calls() == []


def test_without_sbatch_a_run_says_so(screen, tmp_path):
    bare = tmp_path / "bin"
    bare.mkdir()
    environment = {**os.environ, "PATH": str(bare)}
    done = run(screen, PROJECT / "workflow/profiles/slurm", environment)
    assert (done.returncode, done.stderr.count("error:")) == (2, 1)
    assert "there is no sbatch here" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_cluster_without_accounts_is_known_by_its_own_commands(tmp_path, cluster, monkeypatch, capsys):
    assert keeps(cluster, monkeypatch)
    with running_cluster({"SLURM_SIM_DBD": "0", "SLURM_SIM_DIR": str(tmp_path), "SLURM_SIM_PORT": "31817"}) as bare:
        assert not keeps(bare, monkeypatch)
        assert cluster_arguments() == ["--slurm-status-command", "squeue"]
        assert "it keeps no accounts of jobs" in cluster_lines()[0]
        assert accounts() == frozenset()
    assert "squeue is asked" in capsys.readouterr().err


def keeps(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.variables["SLURM_CONF"])
    return keeps_accounts()
