"""How many jobs SLURM takes of this user at once: it refuses what is beyond, which Snakemake counts as failed jobs."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from platemae.slurm import ask

ENFORCING = {"limits", "safe", "all"}
"""Words of ``AccountingStorageEnforce`` under which SLURM holds users to their limits."""
USUAL_QOS = "normal"
ALL_USERS = "all users together"


@dataclass(frozen=True)
class SubmitLimit:
    """Jobs in the queue at once, waiting and running, and who says so.

    Parameters
    ----------
    jobs
        How many.
    of
        The QOS, or the account.
    whose
        Whose jobs count: this user's, or those of all users.
    counted
        How ``squeue`` is asked for the jobs that count.
    """

    jobs: int
    of: str
    whose: str = "this user"
    counted: str = "--me"


@dataclass(frozen=True)
class _Account:
    """An account of SLURM: the one that it is part of, and how many jobs all its users may have; empty: not limited."""

    parent: str
    most: str


def submit_limits(wished: Iterable[tuple[str, str, str]]) -> list[SubmitLimit]:
    """Return the limits that hold for this user's jobs: of association and QOS, also that of the partition.

    These are ``MaxSubmitJobs`` of the association, ``MaxSubmitJobsPerUser`` and ``GrpSubmitJobs`` of a QOS, and
    ``GrpSubmitJobs`` of the account and of those above it. Not seen are limits of an account within a QOS.

    Parameters
    ----------
    wished
        Account, QOS and partition that jobs name; empty: the user's own, and the default partition.
    """
    config = _cluster_settings()
    if not ENFORCING & {word.strip().lower() for word in config.get("AccountingStorageEnforce", "").split(",")}:
        return []
    of_qos = {name: (own, together) for name, own, together in _rows("qos", "Name,MaxSubmitJobsPerUser,GrpSubmitJobs")}
    known = _accounts(config.get("ClusterName", ""))
    of_partition = _qos_of_partitions()
    rows = _rows("associations", "Account,MaxSubmitJobs,DefaultQOS,QOS", f"user={getpass.getuser()}")
    found: list[SubmitLimit] = []
    for account, qos, partition in wished:
        name, used = of_partition.get(partition, ("", ""))
        found += _of_qos(used, of_qos, f"--partition={name}")
        for own, most, default, allowed in rows:
            if account and own.lower() != account.lower():
                continue
            found += [SubmitLimit(int(most), f"account {own}")] if most else []
            used = qos or default or (USUAL_QOS if "," in allowed else allowed)
            found += _of_qos(used, of_qos, f"--qos={used}")
            found += _of_accounts(own, known)
    return list(dict.fromkeys(found))


def _of_qos(name: str, known: Mapping[str, tuple[str, str]], counted: str) -> Iterator[SubmitLimit]:
    own, together = known.get(name, ("", ""))
    if own:
        yield SubmitLimit(int(own), f"QOS {name}")
    if together:
        yield SubmitLimit(int(together), f"QOS {name}", ALL_USERS, counted)


def _of_accounts(name: str, known: Mapping[str, _Account]) -> Iterator[SubmitLimit]:
    """Yield the limits of an account and of those that it is part of; jobs of all their parts count there."""
    lineage = _lineage(name, known)
    for account in lineage:
        if known[account].most:
            parts = sorted(part for part in known if account in _lineage(part, known))
            yield SubmitLimit(int(known[account].most), f"account {account}", ALL_USERS, f"--account={','.join(parts)}")


def _lineage(name: str, known: Mapping[str, _Account]) -> list[str]:
    found: list[str] = []
    while name in known and name not in found:
        found.append(name)
        name = known[name].parent
    return found


def _accounts(cluster: str) -> dict[str, _Account]:
    rows = _rows("associations", "Cluster,Account,User,ParentName,GrpSubmitJobs", "user=")
    return {name: _Account(parent, most) for at, name, user, parent, most in rows if at == cluster and not user}


def _qos_of_partitions() -> dict[str, tuple[str, str]]:
    """Return name and QOS of each partition, by its name, and by no name that of the default one."""
    found = {}
    _, out, _ = ask("scontrol", "show", "partition", "--oneliner")
    for line in out.splitlines():
        said = dict(word.partition("=")[::2] for word in line.split())
        name, qos = said.get("PartitionName", ""), said.get("QoS", "")
        if name and qos != "N/A":
            found[name] = (name, qos)
            if said.get("Default") == "YES":
                found[""] = (name, qos)
    return found


def others_in_queue(prefix: str, counted: str = "--me") -> int:
    """Return how many jobs are in the queue beside this user's own whose name begins with ``prefix``.

    Parameters
    ----------
    prefix
        What the names of runs' jobs begin with.
    counted
        Which jobs ``squeue`` is asked for; a site may show nobody those of others.
    """
    code, out, _ = ask("squeue", counted, "--array", "--noheader", "--format=%u|%j")
    own = f"{getpass.getuser()}|{prefix}"
    return sum(not line.startswith(own) for line in out.splitlines()) if code == 0 else 0


def _cluster_settings() -> dict[str, str]:
    _, out, _ = ask("scontrol", "show", "config")
    lines = [line.partition("=") for line in out.splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}


def _rows(what: str, columns: str, *which: str) -> list[list[str]]:
    """Return the rows of a table of sacctmgr; none where it tells nothing."""
    code, out, _ = ask("sacctmgr", "--noheader", "--parsable2", "show", what, *which, f"format={columns}")
    rows = [line.split("|") for line in out.splitlines()] if code == 0 else []
    return [row for row in rows if len(row) == columns.count(",") + 1]
