"""Errors that a user can act on: what went wrong, where, and the remedy; and how messages count."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar


class PlatemaeError(Exception):
    """An error with three parts, printed as three lines; the command line ends with ``exit_code``.

    Parameters
    ----------
    what
        What went wrong, one sentence.
    where
        The file, plate, row, column or config key.
    remedy
        What the user can do about it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.remedy = what, str(where), remedy

    def __str__(self) -> str:
        lines = [f"error:  {self.what}"]
        if self.where:
            lines.append(f"where:  {self.where}")
        if self.remedy:
            lines.append(f"remedy: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        """Keep the three parts when the error crosses a process boundary."""
        return type(self), (self.what, self.where, self.remedy)


class ConfigError(PlatemaeError, ValueError):
    """The configuration, plates.tsv or a layout table is wrong."""


class MachineError(ConfigError):
    """The machine at hand is not what the configuration asks for; another may be."""


class InputError(PlatemaeError, ValueError):
    """A raw image, folder, table or relation file is wrong."""


class MissingError(PlatemaeError, FileNotFoundError):
    """Something that should be there is gone: a store, a training state, a file."""

    def __str__(self) -> str:
        return PlatemaeError.__str__(self)


class ContractError(PlatemaeError, ValueError):
    """A file between stages does not keep its contract."""


class DiskError(PlatemaeError, OSError):
    """The disk does not take what is written: full, over quota, read-only, not ours, or broken."""

    def __str__(self) -> str:
        return PlatemaeError.__str__(self)


class TrainingError(PlatemaeError, RuntimeError):
    """Training cannot go on: non-finite loss, foreign state, too few fields."""


class UntrainableError(TrainingError):
    """The data hold too little to train on; so they will at the next attempt."""


class DivergedError(TrainingError):
    """The loss of a training is not finite; the same settings, data and code end there again."""

    step: int = 0
    """Steps that were taken before."""
    history: Sequence[dict[str, Any]] = ()
    """Rows of these steps."""


LISTED = 10
"""Problems of one remedy that are listed before the others of it are only counted."""


def raise_all(problems: Iterable[PlatemaeError]) -> None:
    """Raise one error that holds all ``problems``; return quietly when there is none.

    Of those that have the same remedy the first are listed: one mistake may hold for three hundred plates.

    Raises
    ------
    PlatemaeError
        The problem itself when there is just one, else one of the same class that lists them all.
    """
    found = list(problems)
    if not found:
        return
    if len(found) == 1:
        raise found[0]
    remedies = Counter(p.remedy for p in found if p.remedy)
    raise type(found[0])("\n".join(_listed(found)), "see the list above", "; ".join(remedies))


def _listed(found: Sequence[PlatemaeError]) -> Iterator[str]:
    """Yield a line for each problem, and one for those beyond the first of a remedy."""
    yield f"{len(found)} problems"
    seen: Counter[str] = Counter()
    for number, problem in enumerate(found, 1):
        seen[problem.remedy] += 1
        if seen[problem.remedy] <= LISTED or not problem.remedy:
            yield f"  {number}. {problem.what} [{problem.where}]"
    for remedy, count in seen.items():
        if remedy and count > LISTED:
            yield f"  and {count - LISTED} more with the remedy: {remedy}"


_FREE = "free space, or let `results` name a folder on another disk; what was begun is removed, so run again"
_DISK = {
    errno.ENOSPC: ("the disk is full", f"{_FREE} (`df -h` counts bytes, `df -i` files)"),
    errno.EDQUOT: ("the quota is used up", f"{_FREE}; where it counts files, ingest.form: zip needs one a plate"),
    errno.EFBIG: (
        "the file grows beyond what is allowed",
        "raise the limit of file sizes (`ulimit -f`), then run again",
    ),
    errno.EROFS: ("the disk is read-only", "let `results` name a folder that can be written, then run again"),
    errno.EACCES: ("writing is not permitted", "mend the permissions of the folder, then run again"),
    errno.EPERM: ("writing is not permitted", "mend the permissions of the folder, then run again"),
    errno.EIO: ("the disk reports a fault", "have the disk checked, then run again"),
    errno.ESTALE: ("the network disk has lost the file", "run again when the file server is back"),
}
"""What the system says of a failed write -> what went wrong, and the remedy."""


def is_disk_error(error: OSError) -> bool:
    """Return whether an error of the system is the disk's, and not a mistake of ours."""
    return error.errno in _DISK and not isinstance(error, PlatemaeError)


def disk_error(error: OSError, what: str) -> DiskError:
    """Return an error of the system as one that a user can act on; ``what`` says in a sentence what failed."""
    why, remedy = _DISK.get(error.errno or 0, (error.strerror or type(error).__name__, "mend it, then run again"))
    return DiskError(f"{what}: {why}", str(error.filename or ""), remedy)


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the errors of the system within the block into a :class:`DiskError` that names ``what`` was written.

    Raises
    ------
    DiskError
        When a write fails.
    """
    try:
        yield
    except PlatemaeError:
        raise
    except OSError as error:
        raise disk_error(error, f"{what} cannot be written") from None


def number_of(n: int | str, noun: str) -> str:
    """Return a number with what is counted, for messages: ``1 batch``, ``2 batches``.

    Parameters
    ----------
    n
        The number, or as a text spells it.
    noun
        What is counted, in the singular.
    """
    if str(n) == "1":
        return f"{n} {noun}"
    return f"{n} {noun}{'es' if noun.endswith('ch') else 's'}"


def few(names: Sequence[str], shown: int = 20) -> str:
    """Return names as a list that ends where it gets long: ``P1, P2 and 7 more``."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(name[:80] for name in names[:shown]) + more
