"""The ledger of results that were kept after a change: who, why, and the digests before and after."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from platemae.errors import ContractError
from platemae.job_record import read_record
from platemae.layout import Results


@dataclass(frozen=True)
class Accepted:
    """One job whose results were kept.

    Parameters
    ----------
    stage, wildcards
        The job.
    who, host, when
        Who kept them, where, and when (ISO 8601, UTC).
    why
        In their own words.
    reasons
        Why the job was stale.
    code, parameters
        ``from`` and ``to``: digests that the results were made with, and those they now count as made with.
    content_digest
        Of the manifest that was kept.
    """

    stage: str
    wildcards: Mapping[str, str]
    who: str
    host: str
    when: str
    why: str
    reasons: tuple[str, ...]
    code: Mapping[str, str | None]
    parameters: Mapping[str, str | None]
    content_digest: str

    @property
    def label(self) -> str:
        """The job in words: its wildcards."""
        return " / ".join(self.wildcards.values()) or "all"


def append(results: Results, entries: Iterable[Accepted]) -> None:
    """Write entries at the end of the ledger, in one write."""
    path = results.accepted()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(json.dumps(asdict(entry), sort_keys=True) + "\n" for entry in entries))


def read(results: Results) -> list[Accepted]:
    """Return all entries, oldest first.

    Raises
    ------
    ContractError
        When a line cannot be read.
    """
    path = results.accepted()
    lines = path.read_text().splitlines() if path.is_file() else []
    return [_entry(line, number, path) for number, line in enumerate(lines, start=1)]


def in_force(results: Results) -> list[Accepted]:
    """Return the last entry of each job that has not run again since."""
    last = {(entry.stage, *entry.wildcards.values()): entry for entry in read(results)}
    return [entry for entry in last.values() if not _ran_since(results, entry)]


def _entry(line: str, number: int, path: Path) -> Accepted:
    try:
        values = json.loads(line)
        return Accepted(**values | {"reasons": tuple(values["reasons"])})
    except (ValueError, TypeError, KeyError) as error:
        raise ContractError(
            f"line {number} of the ledger cannot be read: {error}", str(path), "mend it by hand; no job reads it"
        ) from None


def _ran_since(results: Results, entry: Accepted) -> bool:
    try:
        started = read_record(results, entry.stage, entry.wildcards)["started"]
        return datetime.fromisoformat(started) > datetime.fromisoformat(entry.when)
    except (ValueError, KeyError, TypeError):
        return False
