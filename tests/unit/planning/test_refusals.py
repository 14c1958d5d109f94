"""What cannot fit is refused, each with one message; what fits is not."""

from dataclasses import replace

import pytest

from platemae.layout import MANIFESTS
from platemae.planning.estimate import estimate
from platemae.planning.rates import Rates
from platemae.planning.refusals import Site, node_refusals, refusals
from platemae.planning.resources import Asked, Profile
from platemae.planning.workload import Work
from platemae.preflight.cluster import Nodes, read_sinfo

RATES = Rates(1e9, {"qc_plate": 60.0}, start_seconds=0.0, light_start_seconds=0.0)
TRAINING = Work("train_model", 1, flops=1e9 * 600, step_flops=1e9, checkpoint_steps=300, name="mae", memory_mb=900)
QC = Work("qc_plate", 4, read_gb=1, write_bytes=2e9, inodes=10, memory_mb=900)
NODES = Nodes(1, cores=4, gpus=2, memory_mb=8000)
SINFO = "cpu*|4|16|64000|(null)|4:00:00\ngpu|2|32|256000|gpu:a100:4(S:0-1)|2-00:00:00\ngpu|1|8|1000|(null)|infinite\n"


def refused(work, asked=None, executor="slurm", retries=0, nodes=NODES, sinfo="", **quota):
    profile = Profile(
        {stage: Asked(runtime_minutes=60) for stage in MANIFESTS} | (asked or {}),
        executor,
        retries=retries,
        training_retries=retries,
    )
    costs = estimate(work, dict.fromkeys(MANIFESTS, 0), profile, RATES, None, nodes)
    return refusals(work, costs, profile, RATES, None, 0.2, Site(nodes, read_sinfo(sinfo), **quota))


def test_what_fits_is_not_refused():
    assert refused([TRAINING, QC], quota_gb=8.1, quota_files=47, sinfo=SINFO) == []


CASES = {
    "shorter than one checkpoint interval of mae": ([TRAINING], {"train_model": Asked(runtime_minutes=5)}, {}),
    "takes 2 jobs of 10 minutes, retries allow 1": ([TRAINING], {"train_model": Asked(runtime_minutes=10)}, {}),
    "takes about 2 minutes, its walltime is 1": ([replace(QC, read_gb=2)], {"qc_plate": Asked(runtime_minutes=1)}, {}),
    "asks for 9,000 MB, a node has 8,000": ([QC], {"qc_plate": Asked(memory_mb=9000)}, {}),
    "needs about 900 MB and asks for 500": ([QC], {"qc_plate": Asked(memory_mb=500)}, {}),
    "asks for 4 GPUs of a node, a node has 2": ([TRAINING], {"train_model": Asked(gpus_per_node=4)}, {}),
    "asks for 8 threads, a node has 4": ([QC], {"qc_plate": Asked(threads=8)}, {}),
    "partition nope, which SLURM does not have": ([QC], {"qc_plate": Asked(partition="nope")}, {"sinfo": SINFO}),
    "partition cpu allows 240": ([QC], {"qc_plate": Asked(runtime_minutes=300)}, {"sinfo": SINFO}),
    "a node has 0": ([TRAINING], {"train_model": Asked(gpus_per_node=1)}, {"sinfo": SINFO}),
    "writes up to 8.0 GB, the quota leaves 7.9": ([QC], {}, {"quota_gb": 7.9}),
    "makes 40 files and folders, the quota leaves 39": ([QC], {}, {"quota_files": 39}),
}


@pytest.mark.parametrize("words", CASES)
def test_each_thing_that_cannot_fit_is_one_message(words):
    work, asked, more = CASES[words]
    found = refused(work, asked, **more)
    assert len(found) == 1, [str(problem) for problem in found]
    assert words in found[0].what
    assert found[0].where
    assert found[0].remedy


def test_enough_retries_or_no_walltime_let_a_long_training_through():
    asked = {"train_model": Asked(runtime_minutes=10)}
    assert refused([TRAINING], asked, retries=1) == []
    assert refused([TRAINING], {"train_model": Asked(runtime_minutes=1)}, executor="") == []


def test_a_network_on_a_gpu_of_unknown_kind_is_not_judged_by_the_speed_of_cores():
    asked = {stage: Asked(runtime_minutes=10, gpus_per_node=1) for stage in ("train_model", "embed_plate")}
    embedding = Work("embed_plate", 1, flops=1e9 * 6000)
    assert refused([TRAINING, embedding], asked) == []
    on_cores = {stage: replace(each, gpus_per_node=0) for stage, each in asked.items()}
    assert len(refused([TRAINING, embedding], on_cores)) == 2


def test_memory_that_grows_with_the_attempts_is_enough_at_the_last():
    asked = Asked(memory_mb=300, memory_grows=True)
    assert refused([QC], {"qc_plate": asked}, retries=2) == []
    (problem,) = refused([QC], {"qc_plate": asked}, retries=1)
    assert "needs about 900 MB and asks for 600, with all retries" in problem.what


def test_checkpoints_come_every_ten_minutes_however_many_steps_are_set():
    rare = replace(TRAINING, flops=1e9 * 6000, checkpoint_steps=6000)
    assert refused([rare], {"train_model": Asked(runtime_minutes=15)}, retries=20) == []


def test_sinfo_is_read_by_partition():
    found = read_sinfo(SINFO)
    assert found["cpu"].is_default
    assert (found["cpu"].nodes, found["cpu"].minutes) == (Nodes(4, 16, 0, 64_000), 240)
    assert (found["gpu"].nodes, found["gpu"].minutes) == (Nodes(3, 32, 4, 256_000), 0)


def test_walltimes_of_a_group_add_up_against_the_partitions_limit():
    profile = Profile({"qc_plate": Asked(runtime_minutes=30)}, "slurm", groups={"qc_plate": "qc"})
    site = Site(NODES, read_sinfo(SINFO))
    assert list(node_refusals({"qc_plate": 8}, profile, site)) == []
    (problem,) = node_refusals({"qc_plate": 9}, profile, site)
    assert "270 minutes for 9 jobs in turn, 30 each, partition cpu allows 240" in problem.what
    assert "fewer jobs of qc (group-components)" in problem.remedy
