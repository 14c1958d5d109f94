"""Results that jobs finished after their run was killed: kept, where they are what the present run would make.

Snakemake writes its record of a job when it hears of its end. A job whose Snakemake was killed leaves whole results
without such a record, or beside an older one, and often a mark that they are incomplete: all of them would be made
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from platemae.config import Config, stage_config, stage_entries
from platemae.config.plates import Plate
from platemae.contracts import Manifest, canonical
from platemae.errors import PlatemaeError
from platemae.fingerprint import code_digest
from platemae.inputs import find_project
from platemae.job_record import read_record
from platemae.layout import MANIFESTS, Results
from platemae.preflight.doctor import read_project
from platemae.snakemake_call import in_calls
from platemae.standing.jobs import pending_jobs
from platemae.standing.record import snakemake_record
from platemae.standing.touch import touch
from platemae.standing.verify import manifests, verify_job

BY_TIME = ("--ignore-incomplete", "--rerun-triggers", "mtime")
"""Snakemake asked for inputs that are newer or gone alone: its own records are what is missing."""


def keep_finished(configfile: Path, profile: str) -> list[str]:
    """Have Snakemake take as done what a killed run's jobs finished, and return it in words.

    A result is kept when its manifest is newer than Snakemake's record of it, its job's own record says that it was
    made with the parameters and the code of today, its files are those of that record, and no input is newer. Whether
    the present run asks for it does not matter: a later one may.

    Raises
    ------
    PlatemaeError
        When configuration or tables are wrong, or Snakemake cannot plan or touch.
    """
    config, plates, _, results = read_project(configfile)
    found = list(_unrecorded(config, plates, results))
    if not found:
        return []
    project = find_project()
    paths = [results.manifest(stage, **of).relative_to(results.root).as_posix() for stage, of in found]
    stale = {
        path
        for targets in in_calls(paths)
        for job in pending_jobs(project, configfile, profile, targets, BY_TIME)
        for path in job.outputs
    }
    kept = [one for one, path in zip(found, paths, strict=True) if path not in stale]
    for stage in MANIFESTS:  # in the order of the data: what is touched later is newer
        for wildcards in in_calls([of for name, of in kept if name == stage]):
            touch(project, configfile, profile, stage, wildcards, force=True)
    return [f"{stage} {' '.join(of.values()) or 'all'}" for stage, of in kept]


def _unrecorded(config: Config, plates: Sequence[Plate], results: Results) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the whole results of today's parameters and code that Snakemake has no record of."""
    for _, wildcards, path in manifests(results):
        record = snakemake_record(results.root, path.relative_to(results.root).as_posix())
        if record.exists() and record.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            continue
        try:
            stage = Manifest.read(path).stage  # two stages write embeddings
            if _is_of_today(config, plates, results, stage, wildcards) and not verify_job(
                results, stage, wildcards, quick=True
            ):
                yield stage, wildcards
        except (PlatemaeError, KeyError, TypeError):  # torn, or of an entry that is no longer there
            continue


def _is_of_today(
    config: Config, plates: Sequence[Plate], results: Results, stage: str, wildcards: Mapping[str, str]
) -> bool:
    own = read_record(results, stage, wildcards)
    cfg = stage_config(config, plates, stage, **wildcards)
    code = code_digest(stage, stage_entries(config, plates, stage, **wildcards))
    return "parameters" in own and canonical(own["parameters"]) == canonical(cfg) and own.get("code_digest") == code
