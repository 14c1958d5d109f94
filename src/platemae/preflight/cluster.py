"""What SLURM says of itself: partitions, their nodes and limits, accounts, and whether it keeps accounts of jobs."""

from __future__ import annotations

import getpass
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from platemae.errors import MachineError
from platemae.slurm import ask

SINFO = "%P|%D|%c|%m|%G|%l"


@dataclass(frozen=True)
class Nodes:
    """The machines that a run may use.

    Parameters
    ----------
    count
        How many.
    cores, gpus
        Of each.
    memory_mb
        Of each; 0: not known.
    """

    count: int = 1
    cores: int = 1
    gpus: int = 0
    memory_mb: int = 0


@dataclass(frozen=True)
class Partition:
    """What SLURM says of a partition.

    Parameters
    ----------
    name
        As ``slurm_partition`` names it.
    kinds
        Its kinds of nodes, and how many there are of each.
    minutes
        Its time limit; 0: none.
    is_default
        Whether jobs that name none go there.
    """

    name: str
    kinds: tuple[Nodes, ...]
    minutes: int
    is_default: bool

    @property
    def nodes(self) -> Nodes:
        """All its nodes, each as large as the largest of them in cores, memory and GPUs."""
        kinds = self.kinds
        count, cores = sum(kind.count for kind in kinds), max(kind.cores for kind in kinds)
        return Nodes(count, cores, max(kind.gpus for kind in kinds), max(kind.memory_mb for kind in kinds))

    def __str__(self) -> str:
        """Return the partition in words."""
        words = []
        for kind in self.kinds:
            gpus = f", {kind.gpus} GPUs" if kind.gpus else ""
            words.append(f"{kind.count} nodes of {kind.cores} cores, {kind.memory_mb:,} MB{gpus}")
        limit = f"at most {self.minutes:,} minutes a job" if self.minutes else "no time limit"
        return f"{self.name}{' (default)' if self.is_default else ''}: {'; '.join(words)}; {limit}"


def has_slurm() -> bool:
    """Return whether jobs can be submitted from here."""
    return shutil.which("sbatch") is not None


def partitions() -> dict[str, Partition]:
    """Return SLURM's partitions, by ``sinfo``; none where there is no SLURM.

    Raises
    ------
    MachineError
        When SLURM does not answer.
    """
    if shutil.which("sinfo") is None:
        return {}
    code, out, said = ask("sinfo", "--noheader", f"--format={SINFO}")
    if code:
        raise MachineError(f"SLURM does not answer: {said}", "sinfo", "wait for its controller, or ask its operators")
    return read_sinfo(out)


def read_sinfo(text: str) -> dict[str, Partition]:
    """Return the partitions of what ``sinfo --noheader --format='%P|%D|%c|%m|%G|%l'`` prints."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        parts = line.strip().split("|")
        if len(parts) != 6:
            continue
        name, (count, cores, memory) = parts[0].rstrip("*"), (int(re.sub(r"\D", "", p) or 0) for p in parts[1:4])
        before = found[name].kinds if name in found else ()
        kind = Nodes(count, cores, count_gpus(parts[4]), memory)
        found[name] = Partition(name, (*before, kind), _minutes(parts[5]), parts[0].endswith("*"))
    return found


def partition_of(name: str, known: Mapping[str, Partition]) -> Partition | None:
    """Return the partition that jobs go to which name this one, or none; None where SLURM tells of no such one."""
    if name:
        return known.get(name)
    return next((partition for partition in known.values() if partition.is_default), None)


def count_gpus(gres: str) -> int:
    """Return the GPUs of ``gpu:4`` or ``gpu:a100:4(S:0-1)``; 0 where there is none."""
    return sum(int(count) for count in re.findall(r"gpu(?::[A-Za-z][\w.-]*)?:(\d+)", gres))


def _minutes(text: str) -> int:
    """Return minutes of ``2-00:00:00``, ``04:00:00``, ``30:00`` or ``infinite`` (0)."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not match:
        return 0
    days, hours, minutes, _ = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + minutes


def keeps_accounts() -> bool:
    """Return whether ``sacct`` knows ended jobs; without, Snakemake would ask it for ever and never see a job end."""
    return shutil.which("sacct") is not None and ask("sacct", "--noheader", "--starttime=now")[0] == 0


def accounts() -> frozenset[str]:
    """Return the accounts that this user may name, in lower case; none where SLURM tells none.

    The executor of Snakemake asks the same two commands, and refuses any other account.
    """
    user = getpass.getuser()
    for command in (
        ("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account"),
        ("sshare", "-U", "--noheader", "--parsable2", "--format=Account"),
    ):
        code, out, _ = ask(*command)
        names = frozenset(line.strip().lower() for line in out.splitlines() if line.strip())
        if code == 0 and names:
            return names
    return frozenset()


def cluster_lines() -> list[str]:
    """Return what there is of SLURM in words, no line where there is none."""
    if not has_slurm():
        return []
    try:
        known = partitions()
    except MachineError as error:
        return [error.what]
    jobs = "sacct tells how jobs ended"
    if not keeps_accounts():
        jobs = "it keeps no accounts of jobs (sacct), so Snakemake asks squeue how they ended"
    return [f"SLURM: {jobs}", *(f"SLURM partition {partition}" for partition in known.values())]
