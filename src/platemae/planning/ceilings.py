"""What SLURM takes at most of a rule's jobs.

Each attempt of a job asks for more. One that asks for more than its partition gives is not refused by every SLURM: it
waits for ever. So `platemae run` asks SLURM once, and tells the rules where to stop, by a variable of the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from platemae.planning.resources import Profile, minutes_in_turn
from platemae.preflight.cluster import Partition, partition_of

VARIABLE = "PLATEMAE_CEILINGS"
"""JSON: rule -> resource of Snakemake -> its largest value; what is not limited is not there."""


def ceilings(
    profile: Profile, together: Mapping[str, int], known: Mapping[str, Partition]
) -> dict[str, dict[str, int]]:
    """Return the largest ``runtime`` (minutes) and ``mem_mb`` of a job of each rule.

    Jobs that one submission runs in turn share the time of the partition, by what each of them asks for at first.

    Parameters
    ----------
    profile, together
        What jobs ask for, and how many of a rule are one submission (`jobs_in_turn`).
    known
        SLURM's partitions.
    """
    found: dict[str, dict[str, int]] = {}
    whole = minutes_in_turn(profile, together)
    for stage in together:
        asked, partition = profile.asked[stage], partition_of(profile.asked[stage].partition, known)
        if partition is None:
            continue
        fitting = [k for k in partition.kinds if k.cores >= asked.threads and k.gpus >= asked.gpus_per_node]
        most = {
            "runtime": partition.minutes * asked.runtime_minutes // whole[stage],
            "mem_mb": max((kind.memory_mb for kind in fitting), default=0),
        }
        found[stage] = {resource: value for resource, value in most.items() if value}
    return found


def as_variable(found: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """Return the ceilings as a variable of the environment."""
    return {VARIABLE: json.dumps(found)}


def at_attempt(stage: str, resource: str, first: int, attempt: int) -> int:
    """Return what a job asks for: as much again at each attempt, and never more than SLURM has.

    Parameters
    ----------
    stage, resource
        Rule, and ``runtime`` or ``mem_mb``.
    first, attempt
        What it asks for at its first attempt, and which one it is, from 1.
    """
    most = _told(os.environ.get(VARIABLE, "{}")).get(stage, {}).get(resource)
    return min(first * attempt, most) if most else first * attempt


@cache
def _told(text: str) -> dict[str, dict[str, Any]]:
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
