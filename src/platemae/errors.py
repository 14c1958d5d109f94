"""Errors that a user can act on: what went wrong, where, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable


class PlatemaeError(Exception):
    """An error with three parts, printed as three lines; the command line ends with exit code 2.

    Parameters
    ----------
    what
        What went wrong, one sentence.
    where
        The file, plate, row, column or config key.
    remedy
        What the user can do about it.
    """

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


class InputError(PlatemaeError, ValueError):
    """A raw image, folder, table or relation file is wrong."""


class MissingError(PlatemaeError, FileNotFoundError):
    """Something that should be there is gone: a store, a training state, a file."""

    def __str__(self) -> str:
        return PlatemaeError.__str__(self)


class ContractError(PlatemaeError, ValueError):
    """A file between stages does not keep its contract."""


class TrainingError(PlatemaeError, RuntimeError):
    """Training cannot go on: non-finite loss, foreign state, too few fields."""


def raise_all(problems: Iterable[PlatemaeError]) -> None:
    """Raise one error that holds all ``problems``; return quietly when there is none.

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
    what = f"{len(found)} problems\n" + "\n".join(f"  {i}. {p.what} [{p.where}]" for i, p in enumerate(found, 1))
    remedies = dict.fromkeys(p.remedy for p in found if p.remedy)
    raise type(found[0])(what, "see the list above", " ".join(remedies))
