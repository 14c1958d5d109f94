"""``platemae accept``: keep results after a change judged harmless, and write down who judged so, and why.

Snakemake's ``--touch`` takes the present parameters and code into its records; no result is changed.
"""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from platemae.config import Config, stage_config, stage_entries
from platemae.config.plates import Plate
from platemae.contracts import Manifest
from platemae.errors import ConfigError, PlatemaeError, raise_all
from platemae.fingerprint import code_digest, digest_json
from platemae.holding.hold import hold
from platemae.inputs import find_config, find_project
from platemae.layout import MANIFESTS, Results
from platemae.ledger import Accepted, append
from platemae.preflight.doctor import read_project
from platemae.snakemake_call import in_calls
from platemae.standing.code import note_code
from platemae.standing.explain import LOST, own_reasons
from platemae.standing.jobs import Job, pending_jobs
from platemae.standing.record import made_with, snakemake_record
from platemae.standing.touch import touch
from platemae.standing.verify import verify_job


def accept(
    stage: str, wildcards: Mapping[str, str], why: str, configfile: Path | None, profile: str = "local"
) -> list[str]:
    """Keep the results of a stage's stale jobs, and record it.

    Parameters
    ----------
    stage
        Name of the stage, with ``_`` or ``-``.
    wildcards
        What the jobs must be of, such as ``{"model": "mae"}``; all stale jobs of the stage without.
    why
        A sentence for the ledger.
    configfile, profile
        As of ``platemae run``.

    Returns
    -------
    A line a job that is kept, and where that is recorded.

    Raises
    ------
    PlatemaeError
        When there is no such stage, no reason is given, a result is not there, torn or edited, or a run is at work.
    """
    stage = stage.replace("-", "_")
    _check(stage, wildcards, why)
    project = find_project()
    configfile = find_config(configfile, project)
    config, plates, _, results = read_project(configfile)
    with hold(results):
        jobs = pending_jobs(project, configfile, profile, ["all"])
        asked = [j for j in jobs if j.stage == stage and wildcards.items() <= j.wildcards.items()]
        stale = {number: own_reasons(config, plates, results, job) for number, job in enumerate(asked)}
        kept = [(asked[number], reasons) for number, reasons in stale.items() if reasons]
        if not kept:
            return [_nothing(stage, asked)]
        raise_all(_unkeepable(results, kept))
        entries = [_entry(config, plates, results, job, reasons, why) for job, reasons in kept]
        note_code(config, plates, results)
        for few in in_calls(entries):
            with _recorded(results, few):
                touch(project, configfile, profile, stage, [entry.wildcards for entry in few])
    lines = [f"kept: {entry.stage} {entry.label}: {'; '.join(entry.reasons)}" for entry in entries]
    shown = "the report shows it when it is made next; platemae explain says what is still stale"
    return [*lines, f"recorded in {results.accepted()}; {shown}"]


def _check(stage: str, wildcards: Mapping[str, str], why: str) -> None:
    if stage not in MANIFESTS:
        raise ConfigError(f"there is no stage {stage}", "platemae accept", f"use {', '.join(MANIFESTS)}")
    if not why.strip():
        raise ConfigError("results are kept for a reason", "platemae accept --why", "say why the change is harmless")
    foreign = [name for name in wildcards if f"{{{name}}}" not in MANIFESTS[stage]]
    if foreign:
        raise ConfigError(f"{stage} is not of a {foreign[0]}", "platemae accept", f"its jobs: {MANIFESTS[stage]}")


def _nothing(stage: str, asked: Sequence[Job]) -> str:
    if asked:
        return f"no job of {stage} is stale of itself: {len(asked)} follow from others; accept those (platemae explain)"
    return f"no such job of {stage} is stale; nothing to keep"


def _unkeepable(results: Results, kept: Sequence[tuple[Job, list[str]]]) -> Iterator[PlatemaeError]:
    """Yield why results cannot be kept: an accepted result that is not what its job left would be vouched for."""
    for job, reasons in kept:
        where = f"{job.stage} {job.label}"
        lost = [reason for reason in reasons if reason.startswith(LOST)]
        if lost:
            yield PlatemaeError(f"there is nothing to keep: {lost[0]}", where, "platemae run")
            continue
        for finding in verify_job(results, job.stage, job.wildcards):
            yield PlatemaeError(f"{finding.kind}: {finding.what}", finding.where, finding.remedy)


def _entry(
    config: Config, plates: Sequence[Plate], results: Results, job: Job, reasons: Sequence[str], why: str
) -> Accepted:
    made = made_with(results, job.stage, job.wildcards)
    cfg = stage_config(config, plates, job.stage, **job.wildcards)
    code = code_digest(job.stage, stage_entries(config, plates, job.stage, **job.wildcards))
    return Accepted(
        stage=job.stage,
        wildcards=dict(job.wildcards),
        who=getpass.getuser(),
        host=platform.node(),
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=why.strip(),
        reasons=tuple(reasons),
        code={"from": made.code, "to": code},
        parameters={"from": None if made.cfg is None else digest_json(made.cfg), "to": digest_json(cfg)},
        content_digest=Manifest.read(results.manifest(job.stage, **job.wildcards)).digest,
    )


@contextmanager
def _recorded(results: Results, entries: Sequence[Accepted]) -> Iterator[None]:
    """Write the entries before their results are kept: none may be kept and not recorded.

    Where the block fails, the entries of results that it did not come to are taken back.
    """
    path = results.accepted()
    size = path.stat().st_size if path.is_file() else 0
    before = [_times(results, entry) for entry in entries]
    append(results, entries)
    try:
        yield
    except BaseException:
        taken = [entry for entry, times in zip(entries, before, strict=True) if _times(results, entry) != times]
        os.truncate(path, size)
        append(results, taken)
        raise


def _times(results: Results, entry: Accepted) -> list[int]:
    """Return when a job's manifest and Snakemake's record of it were written; both change where it is kept."""
    manifest = results.manifest(entry.stage, **entry.wildcards)
    record = snakemake_record(results.root, manifest.relative_to(results.root).as_posix())
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in (manifest, record)]
