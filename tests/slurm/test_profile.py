"""The SLURM profile as it is shipped, and the lines of sbatch that the plugin makes of what GPU rules ask for."""

import re
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from tests.conftest import PROJECT

PROFILES = PROJECT / "workflow/profiles"
GPU_RULES = ("train_model", "embed_plate")


class Resources(dict):
    """Resources of a job as the plugin reads them: by key, and by attribute."""

    __getattr__ = dict.__getitem__


def values(name):
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text())


def stated(rule):
    """Return the resources that a rule states as numbers."""
    text = (PROJECT / "rules" / f"{rule}.smk").read_text()
    return {key: int(value) for key, value in re.findall(r"^        (\w+)=(\d+),$", text, re.M)}


def sbatch(resources, threads=2):
    """Return the line of sbatch without the command, and what it asks for."""
    job = SimpleNamespace(resources=Resources(resources), threads=threads)
    params = {"run_uuid": "id", "slurm_logfile": "log", "comment_str": "rule", "account": "", "partition": ""}
    return get_submit_command(job, params | {"workdir": None}) + set_gres_string(job)


def test_groups_hold_rules_that_there_are_and_are_all_counted():
    profile = values("slurm")
    assert {rule for rule in profile["groups"] if not (PROJECT / "rules" / f"{rule}.smk").exists()} == set()
    assert set(profile["groups"].values()) == profile["group-components"].keys()
    assert "train_model" not in profile["groups"]


def test_a_group_holds_no_two_models():
    """The name of a group has every wildcard of its rule but the plate."""
    for rule, group in values("slurm")["groups"].items():
        text = (PROJECT / "rules" / f"{rule}.smk").read_text()
        wildcards = set(re.findall(r"\{(\w+)\}", re.search(r'manifest="(.*)"', text)[1])) - {"plate"}
        assert set(re.findall(r"\{(\w+)\}", group)) == wildcards, rule


@pytest.mark.parametrize("rule", GPU_RULES)
def test_a_gpu_is_asked_for_once_and_no_task_for_each(rule):
    line = sbatch(stated(rule) | values("slurm")["set-resources"][rule])
    assert re.findall(r"--\S*gpu\S*", line) == ["--gpus=1"]
    assert "--ntasks" not in line


def test_two_nodes_of_four_gpus_as_the_profile_shows_them():
    text = (PROFILES / "slurm/config.yaml").read_text()
    shown = re.search(r"# mpi: srun\n(?:    # .*\n)+", text)[0]
    asked = yaml.safe_load(re.sub(r"^ *# ", "", shown, flags=re.M))
    line = sbatch(stated("train_model") | asked)
    assert re.findall(r"--(?:nodes|ntasks|gres|gpus)\S*", line) == ["--nodes=2", "--ntasks=2", "--gres=gpu:4"]


def test_only_trainings_go_on_and_no_rule_retries_inside_its_job():
    profile = values("slurm")
    assert profile["preemptible-rules"] == ["train_model"]
    assert profile["preemptible-retries"] > profile["retries"]
    for path in (PROJECT / "rules").glob("*.smk"):
        assert not re.search(r"^    retries:", path.read_text(), re.M), path
