"""Hours against those that the papers say they spent, and against sums by hand."""

import pytest

from platemae.layout import MANIFESTS
from platemae.models.flops import channel_training_flops, training_flops
from platemae.models.settings import architecture
from platemae.planning.estimate import (
    concurrent,
    estimate,
    job_time,
    training_gpu_hours,
    wall_seconds,
    walltime_slices,
)
from platemae.planning.rates import GPUS, MFU, Rates, find_gpu
from platemae.planning.resources import Asked, Profile
from platemae.planning.workload import Work
from platemae.preflight.cluster import Nodes

RATES = Rates(1e9, {"ingest_plate": 10.0, "embed_plate": 4.0}, start_seconds=2.0, light_start_seconds=2.0)
JOBS = dict.fromkeys(MANIFESTS, 0)


def profile(**asked):
    return Profile({stage: asked.get(stage, Asked()) for stage in MANIFESTS})


@pytest.mark.parametrize(
    ("forward", "crops", "gpu", "published"),
    [
        (training_flops(architecture("vit_l8"), 6, 0.75).total, 3.5e9, "A100", 20_000),
        (channel_training_flops(architecture("camae_s16"), 6, 0.75).total, 2048 * 107_422, "A100", 400),
        # Not used to choose MFU: MAE-L/8, 500 passes over 16 M wells.
        (training_flops(architecture("vit_l8"), 6, 0.75).total, 8.0e9, "H100", 15_360),
    ],
)
def test_the_papers_trainings_cost_what_they_say_within_a_factor_of_two(forward, crops, gpu, published):
    assert MFU == 0.2, "the figures in docs/decisions.md are of this"
    assert 0.5 < training_gpu_hours(forward, crops, GPUS[gpu]) / published < 2


def test_a_job_on_cores_reads_and_computes_on_all_its_threads():
    took = job_time(
        Work("embed_plate", 1, read_gb=3, flops=4e9, fixed_seconds=5), Asked(threads=2), RATES, None, 0.2, False
    )
    assert took.clock == pytest.approx(2 + 5 + (3 * 4 + 4) / 2)
    assert (took.core, took.gpu) == (pytest.approx(2 * took.clock), 0)


def test_on_a_gpu_the_slower_of_reading_and_computing_counts():
    asked = Asked(threads=2, gpus_per_node=4, nodes=2)
    work = Work("embed_plate", 1, read_gb=3, flops=312e12 * 0.2 * 8 * 100)
    took = job_time(work, asked, RATES, GPUS["A100"], 0.2, slurm=False)
    assert took.clock == pytest.approx(2 + 100)
    assert took.gpu == pytest.approx(8 * took.clock)
    reading = job_time(Work("embed_plate", 1, read_gb=3, flops=1), asked, RATES, GPUS["A100"], 0.2, slurm=False)
    assert reading.clock == pytest.approx(2 + 3 * 4 / 2)


def test_stages_add_up_and_waves_of_jobs_follow_each_other():
    work = [Work("ingest_plate", 10, read_gb=1, memory_mb=900, write_bytes=1e9, inodes=3), Work("qc_plate", 1)]
    asked = profile(ingest_plate=Asked(threads=2))
    costs = estimate(work, JOBS | {"ingest_plate": 12}, asked, RATES, None, Nodes(2, cores=4))
    ingest = costs["ingest_plate"]
    assert (ingest.jobs, ingest.pending, ingest.gb, ingest.inodes) == (12, 10, pytest.approx(10), 30)
    one = 2 + 10 / 2
    assert ingest.core_hours == pytest.approx(10 * one * 2 / 3600)
    assert ingest.wall_seconds == pytest.approx(10 * one / 4), "two of two threads on each of two nodes"
    assert wall_seconds(list(costs.values())) == pytest.approx(10 * one / 4 + 2)


def test_what_runs_at_once_is_bounded_by_cores_memory_gpus_and_the_queue():
    nodes = Nodes(4, cores=16, gpus=4, memory_mb=64_000)
    assert concurrent(Asked(threads=2, memory_mb=1000), nodes, 0, False) == 32
    assert concurrent(Asked(threads=2, memory_mb=16_000), nodes, 0, False) == 16
    assert concurrent(Asked(threads=2, memory_mb=1000, gpus_per_node=2), nodes, 0, True) == 8
    assert concurrent(Asked(threads=2, memory_mb=1000, gpus_per_node=4, nodes=2), nodes, 0, True) == 2
    assert concurrent(Asked(threads=2, memory_mb=1000), nodes, 5, False) == 5
    assert concurrent(Asked(threads=99), nodes, 0, False) == 1
    unknown = Nodes(2, cores=16)
    assert concurrent(Asked(gpus_per_node=1), unknown, 0, True) == 2, "a node has at least what one job asks for"
    assert concurrent(Asked(gpus_per_node=1), unknown, 0, False) == 32


def test_a_training_takes_as_many_jobs_as_its_walltime_leaves():
    assert [walltime_slices(s, 60, 180) for s in (10, 3420, 3421, 34_200)] == [1, 1, 2, 10]


def test_an_unknown_gpu_names_the_known_ones():
    assert find_gpu("a100") is GPUS["A100"]
    with pytest.raises(ValueError, match="no figures of the GPU B300") as error:
        find_gpu("B300")
    assert "A100, H100" in error.value.remedy
