"""What ``platemae run`` checks before it submits a first job to SLURM: what would fail hours later, in the queue."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from platemae.errors import MachineError, PlatemaeError, raise_all
from platemae.holding.note import JOB_NAMES
from platemae.inputs import find_project
from platemae.layout import MANIFESTS
from platemae.planning.ceilings import as_variable, ceilings
from platemae.planning.estimate import estimate
from platemae.planning.largest import with_largest
from platemae.planning.rates import MFU, gpu_of_model, known_rates
from platemae.planning.refusals import Site, node_refusals, quota_refusals, short_intervals
from platemae.planning.resources import Profile, jobs_in_turn, read_profile
from platemae.planning.sizes import sampled_sizes
from platemae.planning.workload import count_jobs, count_sets, pending_work
from platemae.preflight.cluster import Nodes, accounts, has_slurm, keeps_accounts, partitions
from platemae.preflight.doctor import read_project
from platemae.preflight.submit_limits import others_in_queue, submit_limits

PLUGIN = "snakemake_executor_plugin_slurm"
BY_SQUEUE = ("--slurm-status-command", "squeue")
"""Without, Snakemake asks a sacct that knows nothing, and waits for ever."""
_QC = ("ingest_plate", "qc_plate")
_SETS = (*_QC, "fit_intensity", "build_dataset")
BELOW = {
    "ingest_all": _QC[:1],
    "qc_all": _QC,
    "measure_all": (*_QC, "measure_plate"),
    "intensity_all": _SETS[:-1],
    "datasets_all": _SETS,
    "models_all": (*_SETS, "train_model"),
    "embeddings_all": (*_SETS, "train_model", "measure_plate", "embed_plate", "import_profiles"),
}
"""Target -> the stages that it may run; any other target may run all."""


def cluster_arguments() -> list[str]:
    """Return what Snakemake must be told of this cluster beside its profile."""
    if keeps_accounts():
        return []
    print("this cluster keeps no accounts of jobs (sacct): squeue is asked how they ended", file=sys.stderr)
    return list(BY_SQUEUE)


@dataclass(frozen=True)
class Cleared:
    """What a run that SLURM can take must tell Snakemake of this cluster.

    Parameters
    ----------
    words
        Arguments beside the profile.
    variables
        Of its environment.
    """

    words: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def check_submission(
    configfile: Path,
    profile: Path,
    quota_gb: float | None = None,
    quota_files: int | None = None,
    given: Sequence[str] = (),
    target: str = "all",
) -> Cleared:
    """Check that SLURM can take the jobs of a run; no image is opened but one a kind of plate that is new.

    Estimated times and memory are no reason to refuse: ``platemae plan`` judges them. What a job asks for is, where it
    is still to do; of a finished one it is only said, as nobody looks here whether it is stale.

    Parameters
    ----------
    configfile
        Configuration.
    profile
        Folder of the Snakemake profile.
    quota_gb, quota_files
        Space and inodes that are left; None: as much as the disk has free.
    given
        Arguments of Snakemake beside the profile.
    target
        What is to be made; jobs above it are not looked at.

    Raises
    ------
    PlatemaeError
        With all problems.
    """
    _check_programs(profile)
    known = partitions()
    config, plates, base, results = read_project(configfile)
    asked = replace(read_profile(profile, find_project() / "rules", given), executor="slurm")
    sizes = sampled_sizes(config, plates, base, results)
    asked = with_largest(asked, config, plates, results, sizes)
    jobs, wanted = count_jobs(config, plates), BELOW.get(target, MANIFESTS)
    sets = count_sets(config)
    rates, gpu = known_rates(results), gpu_of_model(asked.gpu_model)
    every = pending_work(config, plates, sizes, results)
    work = [each for each in every if each.stage in wanted]
    costs = estimate(work, jobs, asked, rates, gpu, Nodes())
    together = jobs_in_turn(asked, jobs, sets)
    site = Site(Nodes(), known, accounts(), results.root, quota_gb, quota_files)
    to_do = {stage: n for stage, n in together.items() if costs[stage].pending}
    words, crowded = _fewer_jobs(asked, to_do)
    raise_all(
        [
            *node_refusals(to_do, asked, site),
            *crowded,
            *short_intervals(work, asked, rates, gpu, MFU),
            *quota_refusals(costs.values(), site),
        ]
    )
    finished = {stage: n for stage, n in together.items() if stage in wanted and not costs[stage].pending}
    for problem in node_refusals(finished, asked, site):
        print(f"note: {problem.what}; its jobs are finished, one that runs again may wait for ever", file=sys.stderr)
    return Cleared(words, as_variable(ceilings(asked, together, known)))


def _fewer_jobs(profile: Profile, stages: Iterable[str]) -> tuple[list[str], list[PlatemaeError]]:
    """Return the ``--jobs`` that the limits of SLURM need, if any, and what is wrong where the queue is full by one."""
    asked = [profile.asked[stage] for stage in stages]
    limits = submit_limits({(next(iter(each.accounts), ""), each.qos, each.partition) for each in asked})
    there = {counted: others_in_queue(JOB_NAMES, counted) for counted in {limit.counted for limit in limits}}
    if not limits:
        return [], []
    limit = min(limits, key=lambda limit: limit.jobs - there[limit.counted])
    others = there[limit.counted]
    left = limit.jobs - others
    said = f"SLURM lets {limit.whose} have {limit.jobs} jobs in the queue ({limit.of})"
    if left < 1:
        remedy = "wait until they have ended, or name another account or qos in the profile"
        return [], [MachineError(f"{said}, and {others} of other work are there", f"squeue {limit.counted}", remedy)]
    if 0 < profile.jobs <= left:
        return [], []
    print(f"{said}, {others} of other work are there: --jobs {left}", file=sys.stderr)
    return ["--jobs", str(left)], []


def _check_programs(profile: Path) -> None:
    problems: list[PlatemaeError] = []
    if not has_slurm():
        what, remedy = "there is no sbatch here, so no job can be submitted", "run on a login node, or --profile local"
        problems.append(MachineError(what, f"profile {profile}, PATH {os.environ.get('PATH', '')}", remedy))
    if find_spec(PLUGIN) is None:
        what = "Snakemake's executor for SLURM is not installed"
        problems.append(MachineError(what, sys.prefix, "pip install 'platemae[slurm]'"))
    raise_all(problems)
