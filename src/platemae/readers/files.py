"""The files below a plate's folder; no path leaves it."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from platemae.errors import InputError, MissingError, raise_all
from platemae.readers.base import RawFile

_DRIVE = re.compile(r"[A-Za-z]:")


def list_files(folder: Path) -> list[RawFile]:
    """Return all files below ``folder``, sorted by name; hidden files and linked folders are passed over.

    Raises
    ------
    MissingError
        When there is no such folder.
    InputError
        When a link leads out of the folder, or a folder cannot be looked into.
    """
    if not folder.is_dir():
        raise MissingError(
            "the folder of a plate is missing", str(folder), "correct column `path` of plates.tsv, or PLATEMAE_DATA"
        )
    root = folder.resolve()
    found: list[RawFile] = []
    problems: list[InputError] = []
    try:
        for entry, name in _walk(root, ""):
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                remedy = "copy the file into the folder, or let `path` name the folder that holds it"
                problems.append(InputError("a link leads out of the plate's folder", entry.path, remedy))
            elif entry.is_file():
                status = entry.stat()
                found.append(RawFile(name, status.st_size, status.st_mtime))
    except OSError as error:
        what = f"the folder of a plate cannot be looked into: {error.strerror}"
        raise InputError(what, str(error.filename or root), "mend its permissions, or have its disk checked") from None
    raise_all(problems)
    return sorted(found, key=lambda file: file.name)


def below(folder: Path, name: str, where: str) -> Path:
    r"""Return the path that metadata names, which must lie below ``folder``.

    Parameters
    ----------
    folder
        Root that the path must not leave.
    name
        Relative path as written, with ``/`` or, by instruments under Windows, ``\``.
    where
        The metadata file, and the row or image in it, which the error names.

    Raises
    ------
    InputError
        When ``name`` is empty, absolute, or climbs out of ``folder``. Links are not followed here:
        :func:`list_files` refuses those that lead out.
    """
    return folder / inside(name, where)


def inside(name: str, where: str) -> str:
    """Return the path that metadata names as :class:`RawFile` names it, relative and with ``/``.

    Raises
    ------
    InputError
        As :func:`below`.
    """
    plain = posixpath.normpath(name.strip().replace("\\", "/"))
    if plain in (".", "..") or plain.startswith(("/", "../")) or "\0" in plain or _DRIVE.match(plain):
        what = f"metadata names a file that lies not below the plate's folder: {name[:200]!r}"
        raise InputError(what, where, "keep the files as the instrument wrote them, with relative names")
    return plain


def _walk(folder: Path, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield entry, prefix + entry.name
