"""``platemae plan``: the cost of a run before it is submitted, what cannot fit, and afterwards plan beside fact."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platemae.config.checks import check_cells, check_images
from platemae.errors import MachineError, PlatemaeError
from platemae.inputs import find_project, named_plate_problems
from platemae.layout import Results
from platemae.planning.asked import CONTROL_SHARE
from platemae.planning.calibrate import calibrate
from platemae.planning.compare import Compared, compare
from platemae.planning.estimate import StageCost, estimate, wall_seconds
from platemae.planning.largest import with_largest
from platemae.planning.rates import MFU, Gpu, Rates, find_gpu, gpu_of_model, known_rates
from platemae.planning.refusals import Site, refusals
from platemae.planning.resources import Profile, jobs_in_turn, read_profile, sbatch_calls
from platemae.planning.sizes import PlateSize, sizes_of, total
from platemae.planning.workload import STANDS_FOR_FILE_NOTE, count_jobs, count_sets, pending_work
from platemae.preflight.cluster import Nodes, Partition, accounts, partitions
from platemae.preflight.doctor import read_project
from platemae.snakemake_call import profile_folder

NOWHERE = Results(Path("/nonexistent/platemae"))
"""A results folder in which nothing is done yet."""


@dataclass(frozen=True)
class Options:
    """What the command line says; None: as the profile, SLURM or this machine has it.

    Parameters
    ----------
    profile
        ``local``, ``slurm`` or a folder.
    nodes, cores, gpus, memory_gb
        Machines that may be used, and what each has.
    gpu, mfu
        Name of the target GPU, and the share of its peak that is reached.
    calibrate_seconds
        Measure this machine for so long, and keep the figures.
    quota_gb, quota_files
        Space and inodes that a quota leaves.
    """

    profile: str = "local"
    nodes: int = 1
    cores: int | None = None
    gpus: int | None = None
    memory_gb: float | None = None
    gpu: str | None = None
    mfu: float = MFU
    calibrate_seconds: float | None = None
    quota_gb: float | None = None
    quota_files: int | None = None


@dataclass(frozen=True)
class Plan:
    """What a run will cost.

    Parameters
    ----------
    costs
        Stage by stage.
    wall_seconds
        Of the whole run.
    sbatch
        Calls of sbatch.
    assumptions
        Sentences.
    problems
        What cannot fit.
    compared
        Plan beside fact, of finished jobs.
    not_counted
        Plates whose size is not known, as they cannot be read: what their pixels cost is in none of the figures.
    """

    costs: list[StageCost]
    wall_seconds: float
    sbatch: int
    assumptions: list[str]
    problems: list[PlatemaeError]
    compared: list[Compared]
    not_counted: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, as JSON takes it."""
        return {
            "stages": [cost.to_dict() for cost in self.costs],
            "total": self.totals(),
            "not_counted": self.not_counted,
            "assumptions": self.assumptions,
            "problems": [{"what": p.what, "where": p.where, "remedy": p.remedy} for p in self.problems],
            "compared": [row.to_dict() for row in self.compared],
        }

    def totals(self) -> dict[str, Any]:
        """Return the sums over all stages."""
        keys = ("jobs", "pending", "core_hours", "gpu_hours", "gb", "inodes")
        summed = {key: sum(getattr(cost, key) for cost in self.costs) for key in keys}
        return summed | {"wall_seconds": self.wall_seconds, "sbatch_calls": self.sbatch}


def make_plan(configfile: Path | None, options: Options) -> Plan:
    """Plan a run; finished jobs are those with a manifest, stale or not.

    Raises
    ------
    PlatemaeError
        When configuration, plates.tsv or the profile cannot be read.
    """
    config, plates, base, results = read_project(configfile)
    project = find_project()
    check_images(config, plates)
    check_cells(config, plates)
    profile = read_profile(profile_folder(project, options.profile), project / "rules")
    sizes, problems = sizes_of(config, plates, base, results)
    profile = with_largest(profile, config, plates, results, sizes)
    problems += named_plate_problems(config, plates, "the configuration")
    rates = _rates(results, options)
    gpu = find_gpu(options.gpu) if options.gpu else gpu_of_model(profile.gpu_model)
    known: dict[str, Partition] = {}
    try:
        known = partitions() if profile.executor == "slurm" else {}
    except MachineError as error:  # the figures of the command line are enough for a plan
        problems.append(error)
    nodes = _nodes(options, known)
    given = profile.without_gpu() if gpu else []
    if gpu:
        profile = profile.with_gpus()
    work = list(pending_work(config, plates, sizes, results))
    jobs = count_jobs(config, plates)
    costs = estimate(work, jobs, profile, rates, gpu, nodes, options.mfu)
    site = Site(nodes, known, accounts() if known else (), results.root, options.quota_gb, options.quota_files)
    sets = count_sets(config)
    pending = {stage: cost.pending for stage, cost in costs.items()}
    together = jobs_in_turn(profile, jobs, sets)
    problems += refusals(work, costs, profile, rates, gpu, options.mfu, site, together)
    whole = list(pending_work(config, plates, sizes, NOWHERE))
    listed = list(costs.values())
    return Plan(
        listed,
        wall_seconds(listed),
        sbatch_calls(profile, pending, sets),
        _assumptions(options, profile, rates, gpu, nodes, list(sizes.values()), config.rows, given),
        problems,
        compare(whole, results, profile, rates, gpu, options.mfu),
        [name for name in plates.names if name not in sizes],
    )


def _rates(results: Results, options: Options) -> Rates:
    """Return what was measured here, now or before, else the reference machine's."""
    if options.calibrate_seconds is not None:
        found = calibrate(options.calibrate_seconds)
        found.write(results.calibration())
        return found
    return known_rates(results)


def _nodes(options: Options, known: dict[str, Partition]) -> Nodes:
    default = next((p.nodes for p in known.values() if p.is_default), Nodes(1, os.cpu_count() or 1, 0, 0))
    gpus = max((p.nodes.gpus for p in known.values()), default=0)
    memory = int(options.memory_gb * 1000) if options.memory_gb else 0
    return Nodes(options.nodes, options.cores or default.cores, gpus if options.gpus is None else options.gpus, memory)


def _assumptions(
    options: Options, profile: Profile, rates: Rates, gpu: Gpu | None, nodes: Nodes, sizes: Sequence[PlateSize],
    rows: Sequence[Any], given: Sequence[str],
) -> list[str]:  # fmt: skip
    """Return in words what the figures rest on; ``given``: rules that get a GPU the profile does not ask for."""
    known = sum(size.known for size in sizes)
    found = [
        f"{len(sizes)} plates, {total(sizes) / 1e9:,.1f} GB of source pixels without compression; {known} by their "
        "ingest, the others by their reader",
        f"cores: {rates.origin}; {rates.flops / 1e9:.0f} GFLOP/s of training a core",
        f"{nodes.count} node{'s' if nodes.count > 1 else ''} of {nodes.cores} cores"
        + (f" and {nodes.gpus} GPUs" if nodes.gpus else ""),
        "a training step is 3 forward passes, 4 with activation_checkpointing; loader and network overlap on a GPU",
        f"intensity maps read {CONTROL_SHARE:.0%} of their plates' pixels (control wells)",
        "classical features cost 100 times QC; a benchmark takes 2 s and 1 ms a well",
        "disk: stores without compression; a trained model with two checkpoints",
        "finished jobs are those with a manifest; what is stale is not counted (`platemae explain` says it)",
    ]
    if gpu:
        found.insert(2, f"GPU: {gpu.source}; {options.mfu:.0%} of it is reached (MFU, assumed)")
    elif any(asked.gpus for asked in profile.asked.values()):
        kind = "the profile asks for GPUs, whose kind is not named: networks are counted on cores, and their walltimes"
        found.insert(2, f"{kind} are not judged; name the GPU: --gpu")
    if given:
        rules = ", ".join(given)
        found.insert(3, f"the profile asks for no GPU for {rules}: counted with one a job, so let set-resources ask")
    if gpu and not nodes.gpus:
        found.append("GPUs of a node are not known (--gpus): as many as one job asks for")
    if any(row.kind == "checkpoint" for row in rows):
        found.append(STANDS_FOR_FILE_NOTE)
    return found
