"""A whole run on SLURM, and the same run on this machine: equal results, the resources asked for, the calls planned.

The screen is the truth table's: the demo's kind of plate, small. Training is one process group over two nodes, on CPU,
as devices that stand in for GPUs train nothing.
"""

import json
import shutil
import time
from dataclasses import dataclass

import pandas as pd
import pytest
import yaml

from platemae.contracts import Manifest
from tests.slurm.cluster import Cluster, CountedSbatch
from tests.workflow.conftest import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TRAINED_ALIKE = ("--", "--set-resources=train_model:processes=2")
"""On this machine: two processes that share two threads, as there are on two nodes of one thread each."""

EMBEDDINGS = "embed_mae_embed_plate"
"""What Snakemake calls the group of one model's embeddings."""


@dataclass
class OnSlurm(Project):
    """A project whose jobs go to SLURM under a site's copy of the profile, with the calls of sbatch counted."""

    cluster: Cluster
    sbatch: CountedSbatch

    @property
    def environment(self) -> dict[str, str]:
        return self.sbatch.path({**super().environment, **self.cluster.variables})

    def submit(self) -> list[str]:
        """Run, and return the rule or group of each call of sbatch."""
        before = len(self.sbatch.calls())
        self.output = self.call("-m", "platemae.cli", "run", "--profile", "site").stderr
        return sorted(self.sbatch.calls()[before:])


def write_site(root):
    """Copy the one file of the profile, as a site does: its partition and its GPUs, small jobs, quick checks."""
    shutil.copytree(root / "workflow/profiles/slurm", root / "site")
    path = root / "site/config.yaml"
    values = yaml.safe_load(path.read_text())
    gpu = {"slurm_partition": "gpu", "mem_mb": 2500, "runtime": 20}
    nodes = {"mpi": "srun", "nodes": 2, "tasks": 2, "gpu": 0, "gres": "gpu:1", "processes": 1}
    rules = {"train_model": gpu | nodes, "embed_plate": gpu | {"gpu": 1}, "render_report": {"mem_mb": 4000}}
    values["set-resources"] = rules
    values["set-threads"] = {"train_model": 1}
    values |= {"slurm-init-seconds-before-status-checks": 2, "seconds-between-status-checks": 2}
    values["slurm-keep-successful-logs"] = True
    path.write_text(yaml.safe_dump(values))


@pytest.fixture(scope="module")
def here(tmp_path_factory, project, tiny_screen):
    """The run on this machine."""
    made = make_project(tmp_path_factory.mktemp("here") / "project", project, tiny_screen)
    made.run(*TRAINED_ALIKE)
    return made


@pytest.fixture(scope="module")
def there(tmp_path_factory, project, tiny_screen, cluster):
    """The run on SLURM, with what was planned before and what accounting has of it."""
    root = tmp_path_factory.mktemp("there")
    made = make_project(root / "project", project, tiny_screen)
    on_slurm = OnSlurm(made.root, cluster, CountedSbatch(root / "bin"))
    write_site(made.root)
    on_slurm.planned = json.loads(on_slurm.call("-m", "platemae.cli", "plan", "--profile", "site", "--json").stdout)
    since = time.time() - 1
    on_slurm.calls = on_slurm.submit()
    on_slurm.records = cluster.settled(since, under=made.root)
    on_slurm.steps = cluster.records(since, under=made.root, steps=True)
    return on_slurm


def digests(project, folders):
    files = [file for folder in folders for file in (project.root / "results" / folder).rglob("*manifest.json")]
    return {str(file.relative_to(project.root / "results")): Manifest.read(file).digest for file in files}


def test_everything_up_to_the_datasets_is_equal(here, there):
    folders = ("plates", "qc", "intensity", "datasets")
    assert len(digests(here, folders)) == 6
    assert digests(there, folders) == digests(here, folders)


def test_training_over_two_nodes_is_that_of_two_processes_bit_for_bit(here, there):
    weights = [project.root / "results/models/mae/model.safetensors" for project in (here, there)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_scores_are_equal(here, there):
    files = sorted((here.root / "results/scores").rglob("*.parquet"))
    assert len(files) == 4
    for file in files:
        mine = pd.read_parquet(file)
        theirs = pd.read_parquet(there.root / file.relative_to(here.root))
        pd.testing.assert_frame_equal(mine, theirs, check_exact=False, rtol=0, atol=1e-3)


def test_every_job_ran_once_and_ended_well(there):
    assert {record.state for record in there.records} == {"COMPLETED"}
    assert sorted(record.rule for record in there.records) == there.calls
    # Two plates, two models, two corrections: what is one job a plate goes together, the models apart.
    together = ["ingest_ingest_plate", "qc_qc_plate", "import_means_import_profiles", "embed_mae_embed_plate"]
    together += [f"controls_{m}_negcon_summarize_controls" for m in ("mae", "means")]
    together += [f"correct_{m}_{c}_correct_plate" for m in ("mae", "means") for c in ("none", "tvn")]
    each = ["fit_intensity", "build_dataset", "train_model", "compare_models", "render_report"]
    each += [rule for rule in ("fit_correction", "build_map", "score_map") for _ in range(4)]
    assert there.calls == sorted(together + each)


def test_sbatch_is_called_as_often_as_the_plan_says(there):
    assert len(there.calls) == there.planned["total"]["sbatch_calls"]


def test_gpus_go_once_to_the_rules_that_ask(there):
    gpus = {record.rule: record.allocated.get("gres/gpu") for record in there.records}
    assert {rule: count for rule, count in gpus.items() if count} == {"train_model": "2", EMBEDDINGS: "1"}
    (job,) = [record.job for record in there.records if record.rule == EMBEDDINGS]
    steps = [step for step in there.steps if step.job.startswith(f"{job}.") and not step.job.endswith(".batch")]
    assert [step.allocated.get("gres/gpu") for step in steps] == ["1", "1"], "a step a plate, one after the other"
    assert steps[0].end <= steps[1].start


def test_one_process_group_ran_over_two_nodes(there):
    (job,) = [record for record in there.records if record.rule == "train_model"]
    (step,) = [one for one in there.steps if one.job.startswith(f"{job.job}.") and not one.job.endswith(".batch")]
    assert job.nodes == step.nodes == "sim[3-4]"
    assert (job.allocated["node"], step.allocated["node"]) == ("2", "2")
    (log,) = (there.root / "results/.snakemake/slurm_logs/rule_train_model").rglob("*.log")
    assert log.read_text().count("world size 2, as asked for") == 1


def test_a_comment_edited_or_a_resource_changed_submits_nothing(there):
    module = there.root / "src/platemae/benchmarks/recall.py"
    module.write_text(module.read_text() + "\n# a comment\n")
    there.edit("site/config.yaml", "mem_mb: 2500", "mem_mb: 2600")
    assert there.submit() == []
    assert "Nothing to be done" in there.output


def test_what_is_stale_is_so_under_this_profile_too(here, there):
    local, slurm = (project.stale("--profile", name) for project, name in ((here, "local"), (there, "site")))
    assert local == slurm == {}
    for project in (here, there):
        project.edit("config.yaml", "validate_every: 2", "validate_every: 2, lr: 2.0e-3")
    local, slurm = (project.stale("--profile", name) for project, name in ((here, "local"), (there, "site")))
    assert local == slurm
    assert local["train_model"] == 1
    for project in (here, there):
        project.edit("config.yaml", ", lr: 2.0e-3", "")


def test_one_benchmark_edited_submits_scores_tables_and_report(there):
    there.edit("config.yaml", "n_shuffles: 20", "n_shuffles: 21")
    assert there.submit() == ["compare_models", "render_report", *["score_map"] * 4]
