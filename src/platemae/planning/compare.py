"""What finished jobs took, by the benchmark files that Snakemake wrote, beside what they were planned to take."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platemae.layout import MANIFESTS, Results
from platemae.planning.estimate import JobTime, job_time
from platemae.planning.rates import Gpu, Rates
from platemae.planning.resources import Profile
from platemae.planning.workload import Work


@dataclass(frozen=True)
class Measured:
    """What the finished jobs of a stage took.

    Parameters
    ----------
    jobs
        Jobs with a benchmark file.
    seconds
        By the clock, all together.
    cpu_seconds
        Of processors; 0 where Snakemake could not see it.
    memory_mb
        Largest resident size.
    """

    jobs: int
    seconds: float
    cpu_seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Compared:
    """One stage: planned beside measured, of a job on average."""

    stage: str
    jobs: int
    planned_seconds: float
    seconds: float
    planned_mb: float
    memory_mb: float

    @property
    def ratio(self) -> float:
        """Measured over planned time."""
        return self.seconds / self.planned_seconds if self.planned_seconds else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the ratio, as JSON takes them."""
        return asdict(self) | {"ratio": self.ratio if self.planned_seconds else None}


def measured(results: Results) -> dict[str, Measured]:
    """Return what each stage took, of those with a benchmark file; torn files are left out."""
    found = {}
    for stage in MANIFESTS:
        rows = [row for path in sorted((results.root / "benchmarks" / stage).rglob("*.tsv")) for row in _rows(path)]
        if rows:
            seconds, cpu = sum(r[0] for r in rows), sum(r[1] for r in rows)
            found[stage] = Measured(len(rows), seconds, cpu, max(r[2] for r in rows))
    return found


def _rows(path: Path) -> Iterable[tuple[float, float, float]]:
    """Yield seconds, processor seconds and MiB of resident memory of a benchmark file."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            seconds = _number(row.get("s"))
            if seconds:
                yield seconds, _number(row.get("cpu_time")), _number(row.get("max_rss"))


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:  # Snakemake writes NA and - for what it could not see
        return 0.0


def compare(
    work: Sequence[Work], results: Results, profile: Profile, rates: Rates, gpu: Gpu | None, mfu: float
) -> list[Compared]:
    """Set what finished jobs took beside the plan of the whole run.

    Parameters
    ----------
    work
        All jobs, as if none were finished.
    results
        Where the benchmark files lie.
    profile, rates, gpu, mfu
        As in `platemae.planning.estimate.estimate`; a run under Snakemake's SLURM executor is timed inside the job.
    """
    planned: Mapping[str, list[tuple[Work, JobTime]]] = {stage: [] for stage in MANIFESTS}
    for each in work:
        planned[each.stage].append((each, job_time(each, profile.asked[each.stage], rates, gpu, mfu, slurm=False)))
    found = []
    for stage, took in measured(results).items():
        jobs = sum(each.jobs for each, _ in planned[stage])
        seconds = sum(each.jobs * time.clock for each, time in planned[stage]) / max(jobs, 1)
        memory = max((each.memory_mb for each, _ in planned[stage]), default=0.0)
        found.append(Compared(stage, took.jobs, seconds, took.seconds / took.jobs, memory, took.memory_mb))
    return found
