"""What ``platemae run`` checks before it submits a first job to SLURM: what would fail hours later, in the queue."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from platemae.config import Config
from platemae.config.plate_table import PlateTable
from platemae.errors import MachineError, PlatemaeError, raise_all
from platemae.layout import Results
from platemae.planning.estimate import estimate
from platemae.planning.rates import MFU, gpu_of_model, known_rates
from platemae.planning.refusals import node_refusals, quota_refusals, short_intervals
from platemae.planning.resources import read_profile
from platemae.planning.sizes import sampled_sizes
from platemae.planning.workload import count_jobs, free_bytes, free_inodes, pending_work
from platemae.preflight.cluster import Nodes, accounts, has_slurm, keeps_accounts, partitions

PLUGIN = "snakemake_executor_plugin_slurm"
BY_SQUEUE = ("--slurm-status-command", "squeue")
"""Without, Snakemake asks a sacct that knows nothing, and waits for ever."""


def prepare_submission(
    config: Config, plates: PlateTable, base: Path, results: Results, profile: Path, rules: Path,
    quota_gb: float | None = None, quota_files: int | None = None,
) -> list[str]:  # fmt: skip
    """Check that SLURM can take the jobs of a run; no image is opened but one a kind of plate that is new.

    Times and memory are no reason to refuse, as they are estimated: ``platemae plan`` judges them.

    Parameters
    ----------
    config, plates, base, results
        What is run.
    profile, rules
        Folders of the Snakemake profile and of the rules.
    quota_gb, quota_files
        Space and inodes that are left; None: as much as the disk has free.

    Returns
    -------
    Arguments for Snakemake that this cluster needs; none where the profile does not submit to SLURM.

    Raises
    ------
    PlatemaeError
        With all problems.
    """
    asked = read_profile(profile, rules)
    if asked.executor != "slurm":
        return []
    _check_programs(profile)
    known = partitions()
    jobs = count_jobs(config, plates)
    rates, gpu = known_rates(results), gpu_of_model(asked.gpu_model)
    work = list(pending_work(config, plates, sampled_sizes(config, plates, base, results), results))
    costs = estimate(work, jobs, asked, rates, gpu, Nodes())
    problems = [
        *node_refusals([stage for stage, n in jobs.items() if n], asked, Nodes(), known, accounts()),
        *short_intervals(work, asked, rates, gpu, MFU),
        *quota_refusals(
            costs.values(),
            free_bytes(results.root) / 1e9 if quota_gb is None else quota_gb,
            free_inodes(results.root) if quota_files is None else quota_files,
        ),
    ]
    raise_all(problems)
    if keeps_accounts():
        return []
    print("this cluster keeps no accounts of jobs (sacct): squeue is asked how they ended", file=sys.stderr)
    return list(BY_SQUEUE)


def _check_programs(profile: Path) -> None:
    problems: list[PlatemaeError] = []
    if not has_slurm():
        what, remedy = "there is no sbatch here, so no job can be submitted", "run on a login node, or --profile local"
        problems.append(MachineError(what, f"profile {profile}, PATH {os.environ.get('PATH', '')}", remedy))
    if find_spec(PLUGIN) is None:
        what = "Snakemake's executor for SLURM is not installed"
        problems.append(MachineError(what, sys.prefix, "pip install 'platemae[slurm]'"))
    raise_all(problems)
