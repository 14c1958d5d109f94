"""What cannot fit: said before anything is submitted."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from platemae.errors import ConfigError, InputError, PlatemaeError
from platemae.planning.estimate import Nodes, StageCost, job_time, walltime_slices
from platemae.planning.rates import Gpu, Rates
from platemae.planning.resources import Profile
from platemae.planning.workload import Work
from platemae.training.preempt import END_MARGIN

CHECKPOINT_SECONDS = 600.0
"""A training writes a checkpoint at least so often, however many steps are set (train_model's ten minutes)."""


@dataclass(frozen=True)
class Partition:
    """What SLURM says of a partition: cores, memory (MB) and GPUs of a node, and its time limit (minutes; 0: none)."""

    name: str
    nodes: Nodes
    minutes: int
    is_default: bool


def partitions() -> dict[str, Partition]:
    """Return SLURM's partitions, by ``sinfo``; none where there is no SLURM."""
    if shutil.which("sinfo") is None:
        return {}
    asked = subprocess.run(["sinfo", "-h", "-o", "%P|%D|%c|%m|%G|%l"], capture_output=True, text=True, timeout=30)
    return read_sinfo(asked.stdout) if asked.returncode == 0 else {}


def read_sinfo(text: str) -> dict[str, Partition]:
    """Return partitions of the output of ``sinfo -h -o '%P|%D|%c|%m|%G|%l'``; of several kinds of nodes the largest."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) != 6:
            continue
        name, (count, cores, memory) = parts[0].rstrip("*"), (int(re.sub(r"\D", "", p) or 0) for p in parts[1:4])
        gpus = sum(int(n) for n in re.findall(r"gpu(?::[A-Za-z][\w.-]*)?:(\d+)", parts[4]))
        before = found[name].nodes if name in found else Nodes(0, 0, 0, 0)
        nodes = Nodes(
            before.count + count, max(before.cores, cores), max(before.gpus, gpus), max(before.memory_mb, memory)
        )
        found[name] = Partition(name, nodes, _minutes(parts[5]), parts[0].endswith("*"))
    return found


def _minutes(text: str) -> int:
    """Return minutes of ``2-00:00:00``, ``04:00:00``, ``30:00`` or ``infinite`` (0)."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not match:
        return 0
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + minutes


def refusals(
    work: Sequence[Work], costs: Mapping[str, StageCost], profile: Profile, rates: Rates, gpu: Gpu | None, nodes: Nodes,
    mfu: float, quota_gb: float | None = None, quota_files: int | None = None,
    known: Mapping[str, Partition] | None = None,
) -> list[PlatemaeError]:  # fmt: skip
    """Return all that cannot fit.

    Parameters
    ----------
    work, costs
        Pending jobs, and what they cost.
    profile, rates, gpu, nodes, mfu
        As in `estimate`.
    quota_gb, quota_files
        Space and inodes that are left, where there is a quota.
    known
        SLURM's partitions.
    """
    problems: list[PlatemaeError] = [*_walltimes(work, profile, rates, gpu, mfu)]
    problems += _of_nodes(costs, profile, nodes, known or {})
    need, files = sum(cost.gb for cost in costs.values()), sum(cost.inodes for cost in costs.values())
    if quota_gb is not None and need > quota_gb:
        what = f"the run writes up to {need:,.1f} GB, the quota leaves {quota_gb:,.1f}"
        remedy = "ask for more, let `results` lie elsewhere, or ingest.dtype: uint8"
        problems.append(InputError(what, "--quota-gb", remedy))
    if quota_files is not None and files > quota_files:
        what = f"the run makes {files:,} files and folders, the quota leaves {quota_files:,}"
        problems.append(InputError(what, "--quota-files", "ask for more, or ingest.form: zip, one file a plate"))
    return problems


def _walltimes(
    work: Sequence[Work], profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float
) -> Iterator[PlatemaeError]:
    """Yield jobs longer than their walltime, the longest of a stage; trainings by their checkpoints and retries.

    A network that runs on a GPU whose kind is not named is not judged: the speed of cores says nothing of it.
    """
    longest: dict[str, float] = {}
    if not profile.executor:  # jobs of this machine have no time limit
        return
    for each in work:
        asked = profile.asked[each.stage]
        if each.flops and asked.gpus and gpu is None:
            continue
        seconds = job_time(each, asked, rates, gpu, mfu, profile.executor == "slurm").clock
        if each.stage == "train_model" and each.step_flops:
            yield from _training(each, seconds, profile, rates, gpu, mfu)
        else:
            longest[each.stage] = max(longest.get(each.stage, 0.0), seconds)
    for stage, seconds in longest.items():
        minutes = profile.asked[stage].runtime_minutes
        if seconds > 60 * minutes:
            what = f"a job of {stage} takes about {seconds / 60:,.0f} minutes, its walltime is {minutes}"
            yield ConfigError(what, f"profile: set-resources.{stage}.runtime", "ask for more time, threads or a GPU")


def _training(
    each: Work, seconds: float, profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float
) -> Iterator[PlatemaeError]:
    asked = profile.asked["train_model"]
    step = Work(each.stage, 1, flops=each.step_flops)
    start = job_time(Work(each.stage, 1), asked, rates, gpu, mfu, profile.executor == "slurm").clock
    one = job_time(step, asked, rates, gpu, mfu, profile.executor == "slurm").clock - start
    interval = max(one, min(CHECKPOINT_SECONDS, one * each.checkpoint_steps))
    where = "profile: set-resources.train_model.runtime"
    if asked.runtime_minutes * 60 < start + interval:
        what = (
            f"the walltime of train_model, {asked.runtime_minutes} minutes, is shorter than one checkpoint interval of "
            f"{each.name}: {(start + interval) / 60:,.0f} minutes with the start"
        )
        yield ConfigError(what, where, "ask for more time, or lower train.checkpoint_steps")
        return
    slices, attempts = walltime_slices(seconds, asked.runtime_minutes, END_MARGIN), 1 + profile.retries
    if slices > attempts:
        minutes = asked.runtime_minutes
        what = f"the training of {each.name} takes {slices} jobs of {minutes} minutes, retries allow {attempts}"
        yield ConfigError(what, where, f"set retries: {slices - 1} in the profile, or ask for more GPUs or time")


def _of_nodes(
    costs: Mapping[str, StageCost], profile: Profile, nodes: Nodes, known: Mapping[str, Partition]
) -> Iterator[PlatemaeError]:
    """Yield jobs that no node can take."""
    default = next((p for p in known.values() if p.is_default), None)
    for stage, cost in costs.items():
        asked = profile.asked[stage]
        if not cost.pending:
            continue
        where = f"profile: set-resources.{stage}"
        if asked.partition and known and asked.partition not in known:
            what = f"{stage} asks for the partition {asked.partition}, which SLURM does not have"
            yield ConfigError(what, where, f"known: {', '.join(sorted(known))}")
            continue
        partition = known.get(asked.partition, default)
        node = partition.nodes if partition and partition.nodes.cores else nodes
        memory = nodes.memory_mb or (partition.nodes.memory_mb if partition else 0)
        if memory and asked.memory_mb > memory:
            what = f"{stage} asks for {asked.memory_mb:,} MB, a node has {memory:,}"
            yield ConfigError(what, f"{where}.mem_mb", "ask for less, or another partition")
        elif cost.memory_mb > asked.memory_at(profile.retries) and profile.executor:
            tries = ", with all retries" if asked.memory_grows else ""
            what = (
                f"{stage} needs about {cost.memory_mb:,.0f} MB and asks for {asked.memory_at(profile.retries):,}{tries}"
            )
            yield ConfigError(what, f"{where}.mem_mb", f"ask for {_hundreds(cost.memory_mb):,}")
        if asked.gpus_per_node and (partition or nodes.gpus) and asked.gpus_per_node > node.gpus:
            what = f"{stage} asks for {asked.gpus_per_node} GPUs of a node, a node has {node.gpus}"
            yield ConfigError(what, where, "ask for fewer, for more nodes, or for another partition")
        if profile.executor and asked.threads > node.cores:
            what = f"{stage} asks for {asked.threads} threads, a node has {node.cores} cores"
            yield ConfigError(what, f"profile: set-threads.{stage}", "ask for fewer")
        if partition and partition.minutes and asked.runtime_minutes > partition.minutes:
            limit = f"partition {partition.name} allows {partition.minutes}"
            what = f"{stage} asks for {asked.runtime_minutes} minutes, {limit}"
            yield ConfigError(what, f"{where}.runtime", "ask for less, or another partition")


def _hundreds(value: float) -> int:
    """Return a number of megabytes, rounded up to hundreds."""
    return int(-(-value // 100) * 100)
