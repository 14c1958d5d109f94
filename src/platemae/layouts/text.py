"""Text tables from outside: encoding, separator and quotes told apart, nothing guessed in silence."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from platemae.errors import ConfigError
from platemae.layouts.columns import ALIASES, plain

MAX_BYTES = 2**28
"""Largest table, unpacked: RxRx3's 2.2 million images have metadata of a tenth of it."""

_SEPARATORS = "\t,;"
_KNOWN = {alias for aliases in ALIASES.values() for alias in aliases}


@dataclass(frozen=True)
class Table:
    """A table of text; ``rows`` may be walked once a call, row 1 is the header."""

    path: Path
    header: tuple[str, ...]
    text: str
    separator: str

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line number and cells of each row that is not blank, short rows filled up.

        Raises
        ------
        ConfigError
            When a row has more cells than the header, or a quote is not closed.
        """
        numbered = _numbered(self.path, self.text, self.separator)
        next(numbered, None)
        for line, cells in numbered:
            yield line, self._fit(cells, line)

    def _fit(self, cells: list[str], line: int) -> list[str]:
        width = len(self.header)
        if any(cell.strip() for cell in cells[width:]):
            what = f"a row has {len(cells)} cells, the header {width}"
            raise ConfigError(what, f"{self.path}, row {line}", "put quotes around cells that hold the separator")
        return cells[:width] + [""] * (width - len(cells))


def read_table(path: Path, remedy: str = "correct the path") -> Table:
    """Read a table separated by tab, comma or ``;``, UTF-8 with or without byte order mark, maybe gzipped.

    Parameters
    ----------
    path
        The file.
    remedy
        What to do when it is missing.

    Raises
    ------
    ConfigError
        When it is missing, no UTF-8 text, too large, or has no header.
    """
    text = _decode(path, _bytes(path, remedy))
    head = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    separator = _sniff(head)
    _, header = next(_numbered(path, text, separator), (1, []))
    if not header:
        raise ConfigError("a table has no header", f"{path}, row 1", "name the columns in its first row")
    return Table(path, tuple(name.strip() for name in header), text, separator)


def _bytes(path: Path, remedy: str) -> bytes:
    if not os.path.isfile(path):
        raise ConfigError("a table is missing", str(path), remedy)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"a table cannot be read: {error}", str(path), "copy it again") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"a table is larger than {MAX_BYTES >> 20} MiB", str(path), "split it")
    return content


def _decode(path: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        what = f"a table is not UTF-8 text: byte 0x{content[error.start]:02x} in line {line}"
        raise ConfigError(what, str(path), "save it as UTF-8 (in Excel: CSV UTF-8)") from None
    if "\0" in text:
        raise ConfigError("a table holds zero bytes: it is no text", str(path), "save it as UTF-8 text")
    return text


def _sniff(head: str) -> str:
    """Return the separator that finds most known names in the header, then most names at all."""

    def merit(separator: str) -> tuple[int, int]:
        names = _split(head, separator)
        return sum(plain(name) in _KNOWN for name in names), len(names)

    return max(_SEPARATORS, key=merit)


def _split(head: str, separator: str) -> Sequence[str]:
    try:
        return next(csv.reader([head], delimiter=separator, skipinitialspace=True, strict=True), [])
    except csv.Error:
        return []


def _numbered(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        what, remedy = f"a table cannot be split into cells: {error}", "close the quote, or double quotes inside a cell"
        raise ConfigError(what, f"{path}, row {reader.line_num}", remedy) from None
