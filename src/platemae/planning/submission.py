"""What ``platemae run`` checks before it submits a first job to SLURM: what would fail hours later, in the queue."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from platemae.config.slices import map_plates
from platemae.errors import MachineError, PlatemaeError, raise_all
from platemae.planning.estimate import estimate
from platemae.planning.rates import MFU, gpu_of_model, known_rates
from platemae.planning.refusals import node_refusals, quota_refusals, short_intervals
from platemae.planning.resources import jobs_in_turn, read_profile
from platemae.planning.sizes import sampled_sizes
from platemae.planning.workload import count_jobs, free_bytes, free_inodes, pending_work
from platemae.preflight.cluster import Nodes, accounts, has_slurm, keeps_accounts, partitions
from platemae.preflight.doctor import read_project
from platemae.run import find_project

PLUGIN = "snakemake_executor_plugin_slurm"
BY_SQUEUE = ("--slurm-status-command", "squeue")
"""Without, Snakemake asks a sacct that knows nothing, and waits for ever."""


def cluster_arguments() -> list[str]:
    """Return what Snakemake must be told of this cluster beside its profile."""
    if keeps_accounts():
        return []
    print("this cluster keeps no accounts of jobs (sacct): squeue is asked how they ended", file=sys.stderr)
    return list(BY_SQUEUE)


def check_submission(
    configfile: Path,
    profile: Path,
    quota_gb: float | None = None,
    quota_files: int | None = None,
    words: Sequence[str] = (),
) -> None:
    """Check that SLURM can take the jobs of a run; no image is opened but one a kind of plate that is new.

    Times and memory are no reason to refuse, as they are estimated: ``platemae plan`` judges them.

    Parameters
    ----------
    configfile
        Configuration.
    profile
        Folder of the Snakemake profile.
    quota_gb, quota_files
        Space and inodes that are left; None: as much as the disk has free.
    words
        Arguments of Snakemake beside the profile.

    Raises
    ------
    PlatemaeError
        With all problems.
    """
    _check_programs(profile)
    known = partitions()
    config, plates, base, results = read_project(configfile)
    asked = replace(read_profile(profile, find_project() / "rules", words), executor="slurm")
    jobs = count_jobs(config, plates)
    mapped = max(len(map_plates(config, plates)), 1)
    sets = {stage: count // mapped for stage, count in jobs.items()}
    rates, gpu = known_rates(results), gpu_of_model(asked.gpu_model)
    work = list(pending_work(config, plates, sampled_sizes(config, plates, base, results), results))
    costs = estimate(work, jobs, asked, rates, gpu, Nodes())
    problems = [
        *node_refusals(jobs_in_turn(asked, jobs, sets), asked, Nodes(), known, accounts()),
        *short_intervals(work, asked, rates, gpu, MFU),
        *quota_refusals(
            costs.values(),
            free_bytes(results.root) / 1e9 if quota_gb is None else quota_gb,
            free_inodes(results.root) if quota_files is None else quota_files,
        ),
    ]
    raise_all(problems)


def _check_programs(profile: Path) -> None:
    problems: list[PlatemaeError] = []
    if not has_slurm():
        what, remedy = "there is no sbatch here, so no job can be submitted", "run on a login node, or --profile local"
        problems.append(MachineError(what, f"profile {profile}, PATH {os.environ.get('PATH', '')}", remedy))
    if find_spec(PLUGIN) is None:
        what = "Snakemake's executor for SLURM is not installed"
        problems.append(MachineError(what, sys.prefix, "pip install 'platemae[slurm]'"))
    raise_all(problems)
