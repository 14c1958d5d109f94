"""Numbers that a text quotes, each with the file that it was read from, so that a reader or a test can look it up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from platemae.errors import ContractError, MissingError, number_of
from platemae.layout import Results


@dataclass(frozen=True)
class Quote:
    """A number of the text, or words that hold digits.

    Parameters
    ----------
    shown
        As the text spells it.
    value
        As the files hold it; the sum of their numbers, or of the lengths of their lists, where they are several.
    files
        Paths from the results folder; none: the configuration, or the installed libraries.
    key
        Where it stands in each of them, such as ``counts.wells``.
    """

    shown: str
    value: float | str
    files: tuple[str, ...]
    key: str


@dataclass
class Quoted:
    """Reads the JSON files of a results folder, and keeps a list of what was quoted of them.

    Parameters
    ----------
    results
        The results folder.
    """

    results: Results
    quotes: list[Quote] = field(default_factory=list)
    _read: dict[str, Any] = field(default_factory=dict)

    def value(self, file: str, key: str) -> Any:
        """Return what a file says at a dotted key.

        Parameters
        ----------
        file
            Path of a JSON file from the results folder.
        key
            Names of nested entries, such as ``counts.wells``.

        Returns
        -------
        Any
            A JSON value; None where the file has no such key.

        Raises
        ------
        MissingError
            When there is no such file.
        ContractError
            When it cannot be read.
        """
        found = self._json(file)
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def table(self, file: str, columns: Sequence[str]) -> pd.DataFrame:
        """Return columns of a table.

        Parameters
        ----------
        file
            Path of a Parquet file from the results folder.
        columns
            Names of the columns.

        Raises
        ------
        MissingError
            When there is no such file.
        ContractError
            When it cannot be read.
        """
        path = self.results.root / file
        if not path.is_file():
            raise _not_made(path)
        try:
            return pd.read_parquet(path, columns=list(columns))
        except (OSError, ValueError) as error:
            raise ContractError(f"it cannot be read: {error}", str(path), "delete its manifest and run again") from None

    def number(self, files: str | Sequence[str], key: str) -> str:
        """Quote a number that files hold.

        Parameters
        ----------
        files
            Path of a JSON file from the results folder, or paths of several.
        key
            Where the number stands in each; no such key counts as 0.

        Returns
        -------
        str
            The sum over the files, as `of` spells it; of a list or a mapping its length is taken.

        Raises
        ------
        MissingError
            When a file is not there.
        ContractError
            When one cannot be read.
        """
        names = (files,) if isinstance(files, str) else tuple(files)
        values = [self.value(name, key) for name in names]
        return self.of(sum(len(v) if isinstance(v, list | dict) else v or 0 for v in values), names, key)

    def words(self, text: str, file: str = "", key: str = "") -> str:
        """Quote a name, a version, or words of a file, which may hold digits.

        Parameters
        ----------
        text
            The words; they are returned as they are.
        file, key
            Where they stand; without, they are of the configuration or of an installed library.
        """
        self.quotes.append(Quote(text, text, (file,) if file else (), key))
        return text

    def of(self, value: float, files: tuple[str, ...], key: str) -> str:
        """Quote a number that was read elsewhere.

        Parameters
        ----------
        value
            The number.
        files, key
            Where it stands; of the configuration where ``files`` is empty.

        Returns
        -------
        str
            An integer with commas at its thousands, any other number to six digits.
        """
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
        self.quotes.append(Quote(shown, value, files, key))
        return shown

    def counted(self, files: str | Sequence[str], key: str, noun: str) -> str:
        """Quote a number of things: ``1 plate``, ``2 plates``.

        Parameters
        ----------
        files, key
            As in `number`.
        noun
            What is counted, in the singular.

        Raises
        ------
        MissingError, ContractError
            As in `number`.
        """
        return number_of(self.number(files, key), noun)

    def _json(self, file: str) -> Any:
        if file not in self._read:
            path = self.results.root / file
            try:
                self._read[file] = json.loads(path.read_text())
            except FileNotFoundError:
                raise _not_made(path) from None
            except ValueError as error:
                raise ContractError(f"it cannot be read: {error}", str(path), "delete it and run again") from None
        return self._read[file]


def _not_made(path: Path) -> MissingError:
    return MissingError("nothing can be said of what is not made yet", str(path), "platemae run")
