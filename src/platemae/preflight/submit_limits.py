"""How many jobs SLURM lets this user have at once: it refuses what is beyond, which Snakemake counts as failed jobs."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from dataclasses import dataclass

from platemae.slurm import ask

ENFORCING = {"limits", "safe", "all"}
"""Words of ``AccountingStorageEnforce`` under which SLURM holds users to their limits."""
USUAL_QOS = "normal"


@dataclass(frozen=True)
class SubmitLimit:
    """Jobs in the queue at once, waiting and running, and who says so.

    Parameters
    ----------
    jobs
        How many.
    of
        The QOS, or the account.
    """

    jobs: int
    of: str


def submit_limit(wished: Iterable[tuple[str, str]]) -> SubmitLimit | None:
    """Return the smallest limit of this user's jobs, ``MaxSubmitJobs`` of association and QOS; None: not limited.

    Not seen are limits of a partition's QOS, of a whole account (``GrpSubmitJobs``), and of other users' jobs.

    Parameters
    ----------
    wished
        Account and QOS that jobs name; empty: the user's own.
    """
    if not _is_enforced():
        return None
    of_qos = {name: jobs for name, jobs in _rows("qos", "Name,MaxSubmitJobsPerUser") if jobs}
    found: list[SubmitLimit] = []
    rows = _rows("associations", "Account,MaxSubmitJobs,DefaultQOS,QOS", f"user={getpass.getuser()}")
    for account, qos in wished:
        for own, most, default, allowed in rows:
            if account and own.lower() != account.lower():
                continue
            found += [SubmitLimit(int(most), f"account {own}")] if most else []
            used = qos or default or (USUAL_QOS if "," in allowed else allowed)
            found += [SubmitLimit(int(of_qos[used]), f"QOS {used}")] if used in of_qos else []
    return min(found, key=lambda limit: limit.jobs, default=None)


def others_in_queue(prefix: str) -> int:
    """Return how many jobs this user has in the queue whose name does not begin with ``prefix``."""
    code, out, _ = ask("squeue", "--me", "--array", "--noheader", "--format=%j")
    return sum(not name.startswith(prefix) for name in out.splitlines()) if code == 0 else 0


def _is_enforced() -> bool:
    _, out, _ = ask("scontrol", "show", "config")
    lines = [line.partition("=") for line in out.splitlines()]
    said = next((value for name, _, value in lines if name.strip() == "AccountingStorageEnforce"), "")
    return bool(ENFORCING & {word.strip().lower() for word in said.split(",")})


def _rows(what: str, columns: str, *which: str) -> list[list[str]]:
    """Return the rows of a table of sacctmgr; none where it tells nothing."""
    code, out, _ = ask("sacctmgr", "--noheader", "--parsable2", "show", what, *which, f"format={columns}")
    rows = [line.split("|") for line in out.splitlines()] if code == 0 else []
    return [row for row in rows if len(row) == columns.count(",") + 1]
