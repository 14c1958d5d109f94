"""Time, memory and space of the work that is left, a stage, on nodes of one kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from platemae.layout import MANIFESTS
from platemae.planning.rates import MFU, Gpu, Rates
from platemae.planning.resources import Asked, Profile
from platemae.planning.workload import Work
from platemae.preflight.cluster import Nodes

SLURM_SECONDS = 6.0
"""Of a SLURM job, beside its work: a Snakemake starts inside (4 to 8 s measured)."""


@dataclass
class StageCost:
    """What the jobs of one stage will cost.

    Parameters
    ----------
    stage
        Name.
    jobs, pending
        Jobs of the whole run, and those that have left no manifest.
    core_hours, gpu_hours
        Of the pending ones.
    longest_seconds
        Of one job, by the clock.
    wall_seconds
        Of all, on the nodes at hand.
    memory_mb, asked_mb
        What the largest job needs, roughly, and what it asks for.
    gb, inodes
        What is written, 10^9 bytes at most, and files and folders.
    """

    stage: str
    jobs: int
    pending: int = 0
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    longest_seconds: float = 0.0
    wall_seconds: float = 0.0
    memory_mb: float = 0.0
    asked_mb: int = 0
    gb: float = 0.0
    inodes: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, as JSON takes them."""
        return asdict(self)


@dataclass(frozen=True)
class JobTime:
    """Seconds of one job: by the clock, and of cores and GPUs that it holds."""

    clock: float
    core: float
    gpu: float


def training_gpu_hours(forward_flops: float, crops: float, gpu: Gpu, mfu: float = MFU) -> float:
    """Return GPU hours of a training: backward counts twice the forward pass.

    Parameters
    ----------
    forward_flops
        Operations of a crop's forward pass.
    crops
        Crops over all steps.
    gpu
        Its peak.
    mfu
        Share of the peak that is reached.
    """
    return 3 * forward_flops * crops / (gpu.bf16_flops * mfu) / 3600


def job_time(work: Work, asked: Asked, rates: Rates, gpu: Gpu | None, mfu: float, slurm: bool) -> JobTime:
    """Return what one job takes.

    On a GPU its networks run beside the reading, so the slower of the two counts.
    """
    pixels = work.read_gb * rates.seconds_per_gb.get(work.stage, 0.0)
    start = rates.start(work.stage) + (SLURM_SECONDS if slurm else 0.0)
    if work.flops and gpu and asked.gpus:
        computed = work.flops / (gpu.bf16_flops * mfu * asked.gpus)
        clock = start + work.fixed_seconds + max(computed, pixels / asked.threads)
        return JobTime(clock, clock * asked.threads * asked.nodes, clock * asked.gpus)
    clock = start + work.fixed_seconds + (pixels + work.flops / rates.flops) / asked.threads
    return JobTime(clock, clock * asked.threads, 0.0)


def estimate(
    work: Iterable[Work], jobs: Mapping[str, int], profile: Profile, rates: Rates, gpu: Gpu | None, nodes: Nodes,
    mfu: float = MFU,
) -> dict[str, StageCost]:  # fmt: skip
    """Return the cost of every stage.

    Parameters
    ----------
    work
        Pending jobs.
    jobs
        Jobs of the whole run, a stage.
    profile, nodes
        What jobs ask for, and where they run.
    rates, gpu, mfu
        How fast cores are, and the GPU where jobs ask for one.
    """
    costs = {stage: StageCost(stage, jobs[stage]) for stage in MANIFESTS}
    clocks: dict[str, float] = dict.fromkeys(MANIFESTS, 0.0)
    for each in work:
        asked, cost = profile.asked[each.stage], costs[each.stage]
        took = job_time(each, asked, rates, gpu, mfu, profile.executor == "slurm")
        cost.pending += each.jobs
        cost.core_hours += each.jobs * took.core / 3600
        cost.gpu_hours += each.jobs * took.gpu / 3600
        cost.longest_seconds = max(cost.longest_seconds, took.clock)
        cost.memory_mb = max(cost.memory_mb, each.memory_mb)
        cost.asked_mb = asked.memory_mb
        cost.gb += each.jobs * each.write_bytes / 1e9
        cost.inodes += each.jobs * each.inodes
        clocks[each.stage] += each.jobs * took.clock
    for stage, cost in costs.items():
        at_once = concurrent(profile.asked[stage], nodes, profile.jobs, gpu is not None)
        cost.wall_seconds = max(clocks[stage] / at_once, cost.longest_seconds) if cost.pending else 0.0
    return costs


def concurrent(asked: Asked, nodes: Nodes, queue: int, on_gpu: bool) -> int:
    """Return how many jobs run at once; one where even a single one does not fit, which is refused elsewhere.

    A node whose GPUs are not known has as many as one job asks for.
    """
    per_node = nodes.cores // asked.threads
    if nodes.memory_mb:
        per_node = min(per_node, nodes.memory_mb // max(asked.memory_mb, 1))
    if on_gpu and asked.gpus_per_node:
        per_node = min(per_node, (nodes.gpus or asked.gpus_per_node) // asked.gpus_per_node)
    found = max(1, per_node * nodes.count // asked.nodes)
    return min(found, queue) if queue else found


def walltime_slices(seconds: float, runtime_minutes: int, margin: float) -> int:
    """Return the jobs that a training takes, each of which ends ``margin`` seconds before its walltime."""
    return max(1, math.ceil(seconds / max(runtime_minutes * 60 - margin, 1.0)))


def wall_seconds(costs: Sequence[StageCost]) -> float:
    """Return the time of the whole run: stages follow each other, save classical features, which nobody waits for."""
    return sum(cost.wall_seconds for cost in costs if cost.stage != "measure_plate")
