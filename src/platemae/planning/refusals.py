"""What cannot fit: said before anything is submitted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platemae.errors import ConfigError, InputError, PlatemaeError
from platemae.planning.estimate import StageCost, job_time, walltime_slices
from platemae.planning.rates import FASTEST, Gpu, Rates
from platemae.planning.resources import Asked, Profile, minutes_in_turn
from platemae.planning.workload import Work, free_bytes, free_inodes
from platemae.preflight.cluster import Nodes, Partition, partition_of
from platemae.training.preempt import END_MARGIN

CHECKPOINT_SECONDS = 600.0
"""A training writes a checkpoint at least so often, however many steps are set (train_model's ten minutes)."""


@dataclass(frozen=True)
class Site:
    """Where a run is to fit.

    Parameters
    ----------
    nodes
        Of this machine, or as the command line has them, where SLURM tells of none.
    known, accounts
        SLURM's partitions, and the accounts that this user has; empty where nobody tells.
    folder
        The results, whose disk has so much free; None: not looked at.
    quota_gb, quota_files
        Space (10^9 bytes), files and folders that a quota leaves, in place of what the disk has.
    """

    nodes: Nodes
    known: Mapping[str, Partition] = field(default_factory=dict)
    accounts: Collection[str] = ()
    folder: Path | None = None
    quota_gb: float | None = None
    quota_files: int | None = None


def refusals(
    work: Sequence[Work], costs: Mapping[str, StageCost], profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float,
    site: Site, together: Mapping[str, int] | None = None,
) -> list[PlatemaeError]:  # fmt: skip
    """Return all that cannot fit, by what SLURM says and by the estimate of times and memory.

    Parameters
    ----------
    work, costs
        Pending jobs, and what they cost.
    profile, rates, gpu, mfu
        As in `estimate`.
    site
        Where it is to fit.
    together
        Rule -> jobs of one submission (`jobs_in_turn`); one where it is not said.
    """
    pending = {stage: (together or {}).get(stage, 1) for stage, cost in costs.items() if cost.pending}
    problems: list[PlatemaeError] = []
    if profile.executor:  # jobs of this machine have no time limit, and as much memory as there is
        problems += short_intervals(work, profile, rates, gpu, mfu)
        problems += _walltimes(work, profile, rates, gpu, mfu)
        problems += _memory(costs, profile)
    problems += node_refusals(pending, profile, site)
    return problems + quota_refusals(costs.values(), site)


def quota_refusals(costs: Iterable[StageCost], site: Site) -> list[PlatemaeError]:
    """Return what is written beyond the space and the inodes that are left."""
    listed, folder = list(costs), site.folder
    need, files = sum(cost.gb for cost in listed), sum(cost.inodes for cost in listed)
    problems: list[PlatemaeError] = []
    gb = free_bytes(folder) / 1e9 if folder and site.quota_gb is None else site.quota_gb
    if gb is not None and need > gb:
        who, where = _of_whom(folder, site.quota_gb, "--quota-gb")
        remedy = "ask for more, let `results` lie elsewhere, or ingest.dtype: uint8"
        problems.append(InputError(f"the run writes up to {need:,.1f} GB, {who} {gb:,.1f}", where, remedy))
    inodes = free_inodes(folder) if folder and site.quota_files is None else site.quota_files
    if inodes is not None and files > inodes:
        who, where = _of_whom(folder, site.quota_files, "--quota-files")
        what = f"the run makes {files:,} files and folders, {who} {inodes:,}"
        problems.append(InputError(what, where, "ask for more, or ingest.form: zip, one file a plate"))
    return problems


def _of_whom(folder: Path | None, quota: float | None, option: str) -> tuple[str, str]:
    """Return who limits what is left, and where: a quota that was given, else the disk."""
    return ("the disk has", str(folder)) if quota is None else ("the quota leaves", option)


def short_intervals(
    work: Iterable[Work], profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float
) -> Iterator[PlatemaeError]:
    """Yield trainings whose walltime ends before their first checkpoint: no number of retries would finish them.

    On a GPU whose kind is not named, a training is judged by the fastest that is known.
    """
    for each in work:
        if not each.step_flops:
            continue
        unnamed = gpu is None and profile.asked[each.stage].gpus
        minutes = profile.asked[each.stage].runtime_minutes
        seconds = _interval(each, profile, rates, FASTEST if unnamed else gpu, mfu)
        if minutes * 60 < seconds:
            what = (
                f"the walltime of train_model, {minutes} minutes, is shorter than one checkpoint interval of "
                f"{each.name}: {seconds / 60:,.0f} minutes with the start"
                + (f", even on the fastest GPU known ({FASTEST.name})" if unnamed else "")
            )
            where = "profile: set-resources.train_model.runtime"
            yield ConfigError(what, where, "ask for more time, or lower train.checkpoint_steps")


def _is_judged(each: Work, profile: Profile, gpu: Gpu | None) -> bool:
    return not (each.flops and profile.asked[each.stage].gpus and gpu is None)


def _interval(each: Work, profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float) -> float:
    """Return the seconds of a training's job until its first checkpoint."""
    asked, slurm = profile.asked[each.stage], profile.executor == "slurm"
    start = job_time(Work(each.stage, 1), asked, rates, gpu, mfu, slurm).clock
    one = job_time(Work(each.stage, 1, flops=each.step_flops), asked, rates, gpu, mfu, slurm).clock - start
    return start + max(one, min(CHECKPOINT_SECONDS, one * each.checkpoint_steps))


def _walltimes(
    work: Sequence[Work], profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float
) -> Iterator[PlatemaeError]:
    """Yield jobs longer than their walltime, the longest of a stage; trainings longer than their retries allow."""
    longest: dict[str, float] = {}
    for each in work:
        if not _is_judged(each, profile, gpu):
            continue
        seconds = job_time(each, profile.asked[each.stage], rates, gpu, mfu, profile.executor == "slurm").clock
        if not each.step_flops:
            if not each.flops and "runtime" in profile.asked[each.stage].follows_data:
                continue  # the rule asks for three times the time of its pixels
            longest[each.stage] = max(longest.get(each.stage, 0.0), seconds)
            continue
        minutes = profile.asked[each.stage].runtime_minutes
        slices, attempts = walltime_slices(seconds, minutes, END_MARGIN), 1 + profile.training_retries
        if slices > attempts and minutes * 60 >= _interval(each, profile, rates, gpu, mfu):
            what = f"the training of {each.name} takes {slices} jobs of {minutes} minutes, retries allow {attempts}"
            where, more = "profile: set-resources.train_model.runtime", "or ask for more GPUs or time"
            yield ConfigError(what, where, f"set preemptible-retries: {slices - 1} in the profile, {more}")
    for stage, seconds in longest.items():
        minutes = profile.asked[stage].runtime_minutes
        if seconds > 60 * minutes:
            what = f"a job of {stage} takes about {seconds / 60:,.0f} minutes, its walltime is {minutes}"
            yield ConfigError(what, f"profile: set-resources.{stage}.runtime", "ask for more time, threads or a GPU")


def _memory(costs: Mapping[str, StageCost], profile: Profile) -> Iterator[PlatemaeError]:
    """Yield stages whose jobs need more memory than they ask for at their last attempt."""
    for stage, cost in costs.items():
        asked = profile.asked[stage]
        most = asked.memory_at(profile.retries)
        if cost.pending and cost.memory_mb > most and "mem_mb" not in asked.follows_data:
            tries = ", with all retries" if asked.memory_grows else ""
            what = f"{stage} needs about {cost.memory_mb:,.0f} MB and asks for {most:,}{tries}"
            remedy = f"ask for {_hundreds(cost.memory_mb):,}"
            yield ConfigError(what, f"profile: set-resources.{stage}.mem_mb", remedy)


def node_refusals(stages: Mapping[str, int], profile: Profile, site: Site) -> Iterator[PlatemaeError]:
    """Yield what SLURM would not take: unknown partitions and accounts, and jobs that no node has room for.

    Parameters
    ----------
    stages
        Those with jobs to do, and how many of them one submission runs one after another: their walltimes add up.
    profile
        What they ask for.
    site
        Where they are to fit.
    """
    known, accounts = site.known, site.accounts
    whole = minutes_in_turn(profile, stages)
    for stage, together in stages.items():
        asked, where = profile.asked[stage], f"profile: set-resources.{stage}"
        for account in asked.accounts if accounts else ():
            if account.lower() not in accounts:
                what = f"{stage} asks for the account {account}, which SLURM does not let this user name"
                yield ConfigError(what, f"{where}.slurm_account", f"known: {', '.join(sorted(accounts))}")
        if asked.partition and known and asked.partition not in known:
            what = f"{stage} asks for the partition {asked.partition}, which SLURM does not have"
            yield ConfigError(what, f"{where}.slurm_partition", f"known: {', '.join(sorted(known))}")
            continue
        partition = partition_of(asked.partition, known)
        yield from _of_node(stage, asked, profile, partition, site.nodes)
        minutes = whole[stage]
        if partition and partition.minutes and minutes > partition.minutes:
            limit = f"partition {partition.name} allows {partition.minutes}"
            jobs, fewer = "", ""
            if minutes > asked.runtime_minutes:
                others = " and others of their group" if minutes > together * asked.runtime_minutes else ""
                jobs = f" for {together} jobs in turn, {asked.runtime_minutes} each{others}"
                fewer = f"fewer jobs of {profile.groups[stage]} (group-components), "
            what = f"{stage} asks for {minutes} minutes{jobs}, {limit}"
            yield ConfigError(what, f"{where}.runtime", f"ask for {fewer}less, or another partition")


def _of_node(
    stage: str, asked: Asked, profile: Profile, partition: Partition | None, nodes: Nodes
) -> Iterator[PlatemaeError]:
    """Yield what a job asks for and no node has, or no node has together; what is not known of nodes is not judged."""
    kinds = partition.kinds if partition else (nodes,)
    where, another = f"profile: set-resources.{stage}", "ask for fewer, or another partition"
    memory = nodes.memory_mb or max(kind.memory_mb for kind in kinds)
    gpus, cores = max(kind.gpus for kind in kinds), max(kind.cores for kind in kinds)
    count = sum(kind.count for kind in kinds)
    found: list[PlatemaeError] = []
    if memory and asked.memory_mb > memory:
        what = f"{stage} asks for {asked.memory_mb:,} MB, a node has {memory:,}"
        found.append(ConfigError(what, f"{where}.mem_mb", "ask for less, or another partition"))
    if (partition or gpus) and asked.gpus_per_node > gpus:
        what = f"{stage} asks for {asked.gpus_per_node} GPUs of a node, a node has {gpus}"
        found.append(ConfigError(what, where, f"{another}, or for more nodes"))
    if profile.executor and asked.threads > cores:
        what = f"{stage} asks for {asked.threads} threads, a node has {cores} cores"
        found.append(ConfigError(what, f"profile: set-threads.{stage}", another))
    if partition and asked.nodes > count:
        what = f"{stage} asks for {asked.nodes} nodes, partition {partition.name} has {count}"
        found.append(ConfigError(what, f"{where}.nodes", another))
    if partition and not found and not any(_has_room(kind, asked) for kind in kinds):
        what = (
            f"{stage} asks for {asked.threads} threads, {asked.memory_mb:,} MB and {asked.gpus_per_node} GPUs, "
            f"which no node of partition {partition.name} has together"
        )
        found.append(ConfigError(what, where, another))
    yield from found


def _has_room(kind: Nodes, asked: Asked) -> bool:
    fits = asked.threads <= kind.cores and asked.gpus_per_node <= kind.gpus
    return fits and (not kind.memory_mb or asked.memory_mb <= kind.memory_mb)


def _hundreds(value: float) -> int:
    """Return a number of megabytes, rounded up to hundreds."""
    return int(-(-value // 100) * 100)
