"""Snakemake's checks of grouped jobs, without those that cannot fail.

Snakemake 9.27 looks whether a group depends on itself once for each of its jobs, and each time walks all that lies
above every job of the group. For groups of 200 plates that grows with the square of the plates. A group of one rule
whose jobs never need each other cannot depend on itself, and is not looked at here; any other one is, by Snakemake.
A Snakemake that has no such methods is left as it is: then it checks all, as slowly as it does.
"""

from __future__ import annotations

from typing import Any

from snakemake.dag import DAG

_validate: Any = getattr(DAG, "validate_group", None)
_check: Any = getattr(DAG, "_check_groups", None)


def check_mixed_groups_only() -> None:
    """Let Snakemake check the groups of several rules alone, each once. To be called while the workflow is parsed."""
    if _validate is not None and _check is not None:
        DAG.validate_group = _validate_mixed
        DAG._check_groups = _check_mixed


def _is_mixed(group: Any) -> bool:
    return len({job.rule for job in group.jobs}) > 1


def _validate_mixed(self: Any, group: Any) -> None:
    if _is_mixed(group):
        _validate(self, group)


def _check_mixed(self: Any) -> None:
    every = self._group
    self._group = {next(iter(group.jobs)): group for group in set(every.values()) if _is_mixed(group)}
    try:
        _check(self)
    finally:
        self._group = every
