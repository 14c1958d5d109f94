"""What jobs ask for: the rules' own words and a profile's, and how often sbatch is called."""

from pathlib import Path

import pytest
import yaml

from platemae.errors import ConfigError
from platemae.planning.rates import GPUS, gpu_of_model
from platemae.planning.resources import Profile, jobs_in_turn, read_profile, sbatch_calls

ROOT = Path(__file__).parents[3]


def written(folder, text):
    (folder / "config.yaml").write_text(text)
    return read_profile(folder, ROOT / "rules")


def test_a_rules_own_words_stand_where_the_profile_is_silent(tmp_path):
    found = written(
        tmp_path, "executor: slurm\nretries: 3\njobs: 100\ndefault-resources: {runtime: 60, mem_mb: 2000}\n"
    )
    train = found.asked["train_model"]
    assert (found.executor, found.retries, found.jobs) == ("slurm", 3, 100)
    assert (train.threads, train.runtime_minutes, train.gpus) == (2, 1440, 0)
    assert found.asked["correct_plate"].threads == 1


def test_the_profile_stands_above_the_rule(tmp_path):
    text = (
        "executor: slurm\nset-threads: {train_model: 8}\n"
        "set-resources:\n  train_model: {mem_mb: 64000, runtime: 2d, mpi: srun, nodes: 2, gpu: 0, gres: 'gpu:a100:4', "
        "slurm_partition: gpu}\n  embed_plate: {gpu: 1}\n"
    )
    train = written(tmp_path, text).asked["train_model"]
    assert (train.threads, train.memory_mb, train.runtime_minutes) == (8, 64_000, 2880)
    assert written(tmp_path, text).asked["qc_plate"].memory_at(3) == 4 * 4000
    assert (train.nodes, train.gpus_per_node, train.gpus, train.partition) == (2, 4, 8, "gpu")
    assert written(tmp_path, text).asked["embed_plate"].gpus == 1


@pytest.mark.parametrize(
    ("said", "minutes", "megabytes"),
    [
        ({"runtime": "12 hours", "mem": "64GB"}, 720, 64_000),
        ({"runtime": "1.5h", "mem": "1GiB"}, 90, 1074),
        ({"runtime": "2 days", "mem_mb": "700"}, 2880, 700),
        ({"runtime": "'90m'", "mem_mb": "'64GB'"}, 90, 64_000),
        ({"runtime": "60 * attempt", "mem_mb": "threads * 500"}, 180, 1000),
        ({"runtime": "20 if wildcards.plate else 5", "mem_mb": "max(2 * input.size_mb, 9)"}, 10, 4000),
    ],
)
def test_memory_and_walltime_are_read_as_snakemake_reads_them(tmp_path, said, minutes, megabytes):
    """Expressions count at the last attempt; those of the job itself are unknown, and the rule's least stands."""
    profile = {"executor": "slurm", "retries": 2, "set-resources": {"qc_plate": said}}
    found = written(tmp_path, yaml.safe_dump(profile)).asked["qc_plate"]
    assert (found.runtime_minutes, found.memory_mb) == (minutes, megabytes)


@pytest.mark.parametrize("said", [{"runtime": "1d12h"}, {"runtime": "1-00:00:00"}, {"mem": "plenty"}])
def test_what_snakemake_cannot_read_is_refused(tmp_path, said):
    profile = {"executor": "slurm", "set-resources": {"qc_plate": said}}
    with pytest.raises(ConfigError, match="Snakemake cannot read a resource") as caught:
        written(tmp_path, yaml.safe_dump(profile))
    assert f"set-resources.qc_plate.{next(iter(said))}" in caught.value.where


def test_gpus_of_further_words_and_jobs_of_the_command_line_count(tmp_path):
    text = "executor: slurm\njobs: 200\nset-resources:\n  train_model: {slurm_extra: \"'--gpus-per-node=a100:4'\"}\n"
    assert written(tmp_path, text).asked["train_model"].gpus == 4
    for words in (["--jobs", "7"], ["--jobs=7"], ["-j", "7"]):
        assert read_profile(tmp_path, ROOT / "rules", ["snakemake", *words]).jobs == 7


def test_resources_of_the_command_line_stand_in_place_of_all_that_the_profile_sets(tmp_path):
    """As in Snakemake: one value of one rule there drops those of the profile."""
    text = "executor: slurm\nset-resources:\n  train_model: {mem_mb: 2000}\n  embed_plate: {gpu: 1}\n"
    (tmp_path / "config.yaml").write_text(text)
    words = ["snakemake", "--set-resources", "train_model:runtime=1", "qc_plate:mem_mb=7", "--nolock", "all"]
    found = read_profile(tmp_path, ROOT / "rules", words)
    train = found.asked["train_model"]
    assert (train.runtime_minutes, train.memory_mb) == (1, 8000)
    assert (found.asked["qc_plate"].memory_mb, found.asked["embed_plate"].gpus) == (7, 0)
    assert read_profile(tmp_path, ROOT / "rules", ["--nolock", "all"]).asked["embed_plate"].gpus == 1


def test_the_kind_of_gpu_and_the_account_are_read_as_a_site_writes_them(tmp_path):
    text = (
        "executor: slurm\ndefault-resources: {slurm_account: \"'my_lab'\"}\n"
        "set-resources:\n  train_model: {gres: 'gpu:a100:4'}\n  qc_plate: {slurm_account: 'one, two'}\n"
    )
    found = written(tmp_path, text)
    assert (found.gpu_model, found.asked["train_model"].accounts) == ("a100", ("my_lab",))
    assert found.asked["qc_plate"].accounts == ("one", "two")
    assert gpu_of_model("nvidia_a100_80gb") == gpu_of_model("A100") == GPUS["A100"]
    assert gpu_of_model("") is gpu_of_model("rtx6000") is None


def test_lists_of_pairs_are_mappings_too(tmp_path):
    found = written(
        tmp_path, "executor: slurm\nset-resources: ['qc_plate:mem_mb=700']\ndefault-resources: [runtime=5]\n"
    )
    assert found.asked["qc_plate"].memory_mb == 700


def test_the_shipped_profiles_can_be_read():
    for name in ("local", "slurm"):
        found = read_profile(ROOT / "workflow" / "profiles" / name, ROOT / "rules")
        assert found.executor == ("slurm" if name == "slurm" else "")


def test_a_large_screen_is_at_most_two_thousand_calls():
    """2,000 plates, 8 networks, 3 corrections, fitted on wells of one choice or of three."""
    profile = read_profile(ROOT / "workflow" / "profiles" / "slurm", ROOT / "rules")
    plates, models, corrections = 2000, 8, 3
    each = {"fit_correction": 24, "build_map": 24, "score_map": 24, "compare_models": 1, "render_report": 1}
    few = {"fit_intensity": 1, "build_dataset": 1, "train_model": models} | each
    for choices in (1, corrections):
        sets = {"embed_plate": models, "summarize_controls": models * choices, "correct_plate": models * corrections}
        pending = {"ingest_plate": plates, "qc_plate": plates} | {rule: n * plates for rule, n in sets.items()} | few
        assert sbatch_calls(profile, pending, sets) == 400 + 200 + 800 + 80 * choices + 240 + sum(few.values())
        assert sbatch_calls(profile, pending, sets) <= 2000


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_a_profile_that_is_none_is_one_clear_error(tmp_path, text):
    with pytest.raises(ValueError, match="profile"):
        written(tmp_path, text)


def test_groups_and_arrays_save_calls():
    pending = {"embed_plate": 2000, "summarize_controls": 2000, "correct_plate": 6000, "render_report": 1}
    single = Profile({}, "slurm")
    assert sbatch_calls(single, pending) == 10_001
    assert sbatch_calls(Profile({}, ""), pending) == 0
    grouped = Profile(
        {}, "slurm", groups={"summarize_controls": "s", "correct_plate": "c"}, components={"s": 50, "c": 100}
    )
    assert sbatch_calls(grouped, pending) == 2000 + 40 + 60 + 1
    apart = Profile({}, "slurm", groups={"embed_plate": "embed_{model}"}, components={"embed_{model}": 20})
    assert sbatch_calls(apart, {"embed_plate": 4}, {"embed_plate": 2}) == 2, "two models never share a group"
    assert sbatch_calls(apart, {"embed_plate": 4}) == 1
    assert sbatch_calls(Profile({}, "slurm", arrays={"embed_plate": 1000}), pending) == 2 + 8000 + 1


def test_one_submission_runs_the_jobs_of_its_group_in_turn():
    apart = Profile({}, "slurm", groups={"embed_plate": "embed_{model}"}, components={"embed_{model}": 20})
    assert jobs_in_turn(apart, {"embed_plate": 64, "qc_plate": 8, "build_map": 0}, {"embed_plate": 2}) == {
        "embed_plate": 20,
        "qc_plate": 1,
    }
    assert jobs_in_turn(apart, {"embed_plate": 8}, {"embed_plate": 2}) == {"embed_plate": 4}
