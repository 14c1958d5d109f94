"""``platemae explain``: what is stale and why, in words; nothing is run.

Which jobs would run is Snakemake's own answer. Why is said here: what each job was made with, from the records, is
held against what it would be made with now.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from platemae.config import Config, stage_config, stage_entries
from platemae.config.plates import Plate
from platemae.contracts import canonical
from platemae.errors import few
from platemae.fingerprint import code_digest, module_digests
from platemae.inputs import find_config, find_project
from platemae.layout import MANIFESTS, Results
from platemae.ledger import Accepted, in_force
from platemae.preflight.doctor import read_project
from platemae.standing.code import code_change
from platemae.standing.jobs import Job, pending_jobs
from platemae.standing.record import libraries, made_with
from platemae.standing.words import differences

SHOWN = 4
"""Jobs that are named before they are only counted."""
NOT_MADE = "not made yet"
LOST = (NOT_MADE, "gone: ", "stopped before it was done: ")
"""What the reasons of jobs begin with that have no whole result."""


@dataclass(frozen=True)
class Cause:
    """Jobs of one stage that are stale for the same reasons of their own.

    Parameters
    ----------
    stage
        Their rule.
    jobs
        Which they are.
    reasons
        Why, in words.
    follow
        Stage -> how many jobs would run after them, and through them.
    """

    stage: str
    jobs: tuple[Job, ...]
    reasons: tuple[str, ...]
    follow: dict[str, int]

    def __str__(self) -> str:
        labels = few([job.label for job in self.jobs], SHOWN)
        many = f" ({len(self.jobs)} jobs)" if len(self.jobs) > 1 else ""
        after = ", ".join(f"{stage} {count}" for stage, count in self.follow.items())
        count = sum(self.follow.values())
        follow = f"\n  {count} job{'s follow' if count > 1 else ' follows'}: {after}" if count else ""
        return f"{self.stage} {labels}{many}: {'; '.join(self.reasons)}{follow}"


@dataclass(frozen=True)
class Explanation:
    """What would run, and why."""

    jobs: list[Job]
    causes: list[Cause]
    changed_libraries: list[str]
    kept: list[Accepted]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        causes = [
            {
                "stage": cause.stage,
                "jobs": [job.wildcards for job in cause.jobs],
                "reasons": list(cause.reasons),
                "follow": cause.follow,
            }
            for cause in self.causes
        ]
        counts = dict(Counter(job.stage for job in self.jobs))
        kept = [asdict(entry) for entry in self.kept]
        return {"jobs": counts, "causes": causes, "libraries": self.changed_libraries, "accepted": kept}

    def lines(self) -> list[str]:
        """Return the causes, what follows from each, and the sum."""
        count = Counter(job.stage for job in self.jobs)
        total = ", ".join(f"{stage} {n}" for stage, n in count.items())
        end = f"{len(self.jobs)} jobs would run: {total}" if self.jobs else "nothing is stale"
        return [*map(str, self.causes), *self.changed_libraries, *_kept_lines(self.kept), end]


def explain(configfile: Path | None, target: str = "all", profile: str = "local") -> Explanation:
    """Say what a run would do to reach a target, and why.

    Raises
    ------
    PlatemaeError
        When configuration or tables are wrong, or Snakemake cannot plan.
    """
    project = find_project()
    configfile = find_config(configfile, project)
    config, plates, _, results = read_project(configfile)
    jobs = pending_jobs(project, configfile, profile, [target])
    found = causes(config, plates, results, jobs)
    return Explanation(jobs, found, changed_libraries(results), in_force(results))


def _kept_lines(kept: Sequence[Accepted]) -> list[str]:
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    for entry in kept:
        groups.setdefault((entry.stage, entry.who, entry.when, entry.why), []).append(entry.label)
    return [
        f"kept by {who} on {when[:10]}: {stage} {_few(labels)}: {why}"
        for (stage, who, when, why), labels in groups.items()
    ]


def causes(config: Config, plates: Sequence[Plate], results: Results, jobs: Sequence[Job]) -> list[Cause]:
    """Return why jobs are stale: those with reasons of their own, joined where stage and reasons are equal."""
    made_by = {path: number for number, job in enumerate(jobs) for path in job.outputs}
    after: dict[int, set[int]] = {number: set() for number in range(len(jobs))}
    for number, job in enumerate(jobs):
        for path in job.inputs:
            if path in made_by:
                after[made_by[path]].add(number)
    waiting = {number for numbers in after.values() for number in numbers}
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for number, job in enumerate(jobs):
        own = own_reasons(config, plates, results, job)
        if own and not (own == [NOT_MADE] and number in waiting):
            groups.setdefault((job.stage, tuple(own)), []).append(number)
    return [
        Cause(stage, tuple(jobs[n] for n in numbers), reasons, _follow(numbers, after, jobs))
        for (stage, reasons), numbers in groups.items()
    ]


def _follow(start: Sequence[int], after: dict[int, set[int]], jobs: Sequence[Job]) -> dict[str, int]:
    found, queue = set(start), list(start)
    while queue:
        fresh = after[queue.pop()] - found
        found |= fresh
        queue += fresh
    return dict(Counter(jobs[number].stage for number in sorted(found - set(start))))


def own_reasons(config: Config, plates: Sequence[Plate], results: Results, job: Job) -> list[str]:
    """Return why a job is stale, without what follows from other jobs."""
    made = made_with(results, job.stage, job.wildcards)
    if made.code is None:
        return [NOT_MADE]
    cfg = json.loads(canonical(stage_config(config, plates, job.stage, **job.wildcards)))
    found = differences(made.cfg or {}, cfg)
    entries = tuple(stage_entries(config, plates, job.stage, **job.wildcards))
    if made.code != _code(job.stage, entries):
        found.append(code_change(results, made.code, module_digests(job.stage, entries)))
    if made.inputs is not None:
        found += _inputs(made.inputs, job.inputs)
    return found + _snakemakes(job.reason)


@cache
def _code(stage: str, entries: tuple[str, ...]) -> str:
    return code_digest(stage, entries)


def _inputs(before: Sequence[str], now: Sequence[str]) -> list[str]:
    came, went = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    words = [f"{word} {_few(paths)}" for word, paths in (("also reads", came), ("no longer reads", went)) if paths]
    return ["; ".join(words)] if words else []


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:SHOWN]) + (f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else "")


_WORDS = {
    "Missing output files": "gone: {}",
    "Incomplete output files": "stopped before it was done: {}",
    "Updated input files": "changed: {}",
    "Code has changed": "the command of its rule changed",
    "Software environment definition": "its environment file changed",
    "Forced execution": "forced",
}
"""Snakemake's reasons that are not found in the records, in our words."""
_PARAMS = re.compile(r"Params have changed since last execution: .*?(?=; Software environment definition|$)", re.DOTALL)


def _snakemakes(reason: str) -> list[str]:
    """Return what only Snakemake knows; params and sets of inputs were compared, and other jobs are told as causes."""
    found = []
    for part in re.split(r"; (?=[A-Z])", _PARAMS.sub("", reason)):
        head, _, files = part.partition(": ")
        found += [words.format(files.strip(" ;")) for start, words in _WORDS.items() if head.startswith(start)]
    return found


def changed_libraries(results: Results) -> list[str]:
    """Return in words which libraries are others than those that finished jobs ran with; that reruns nothing."""
    now, counts = libraries(), Counter[tuple[str, str]]()
    for path in sorted(p for stage in MANIFESTS for p in (results.root / "provenance" / stage).glob("*.json")):
        try:
            then = json.loads(path.read_text())["libraries"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        counts.update((name, old) for name, old in then.items() if name in now and old != now[name])
    return [
        f"a library changed: {name} {old} -> {now[name]}; {count} jobs ran with the old one, nothing reruns for it"
        for (name, old), count in counts.items()
    ]
