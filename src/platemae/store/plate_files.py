"""The files of a plate store, whether they lie in a folder or in one ZIP; both are read by offset, without a lock."""

from __future__ import annotations

import os
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from platemae.errors import ContractError, InputError

ZIP_SUFFIX = ".zip"
"""What a store's path ends with where the plate is one file: ``P1.zarr.zip``."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True)
class Span:
    """Some bytes of a file: all of it where ``size`` is None."""

    path: str  # to join a Path takes longer than to open the file
    start: int = 0
    size: int | None = None

    def read(self) -> bytes:
        """Return the bytes; a file of its own may be gone."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read() if self.size is None else file.read(self.size)


class PlateFiles(Protocol):
    """The files of a store by their names below its root."""

    @property
    def path(self) -> Path:
        """The folder or archive."""
        ...

    def span(self, name: str) -> Span:
        """Return where the bytes of a file lie; of a folder without looking."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """A store that is a folder."""

    path: Path

    def span(self, name: str) -> Span:
        """Return the whole file of this name."""
        return Span(f"{self.path}/{name}")


@dataclass(frozen=True)
class ZipFiles:
    """A store that is one ZIP; its members must be stored, not deflated, so that crops are read in place."""

    path: Path
    members: dict[str, tuple[int, int]]
    spans: dict[str, Span] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> ZipFiles:
        """Read the directory of the archive.

        Raises
        ------
        ContractError
            When it is no whole ZIP, or its members are compressed.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                found = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as error:
            raise ContractError(
                f"the plate store is no whole ZIP: {error}", str(path), "ingest the plate again"
            ) from None
        packed = [member.filename for member in found if member.compress_type != zipfile.ZIP_STORED]
        if packed:
            what = f"the plate store is a ZIP with {len(packed)} compressed members, such as {packed[0]}"
            raise ContractError(what, str(path), "ingest the plate again, or pack it without compression (`zip -0`)")
        # Metadata below the root are for other tools; leaving them out keeps many open plates small.
        wanted = (member for member in found if not member.filename.endswith("/zarr.json"))
        return cls(path, {member.filename: (member.header_offset, member.file_size) for member in wanted})

    def span(self, name: str) -> Span:
        """Return where the bytes of a member lie; found once, then remembered.

        Raises
        ------
        FileNotFoundError
            When there is no such member.
        InputError
            When the archive is damaged there.
        """
        if name not in self.spans:
            if name not in self.members:
                raise FileNotFoundError(name)
            self.spans[name] = self._find(name, *self.members[name])
        return self.spans[name]

    def _find(self, name: str, offset: int, size: int) -> Span:
        # The directory states the header's place; name and extra field of the header may differ in length from its own.
        with self.path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            file.seek(min(max(offset, 0), length))
            header = file.read(_LOCAL_HEADER.size)
        if offset < 0 or len(header) < _LOCAL_HEADER.size or not header.startswith(_SIGNATURE):
            raise self._damaged(name)
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = offset + _LOCAL_HEADER.size + name_length + extra_length
        if start + size > length:
            raise self._damaged(name)
        return Span(str(self.path), start, size)

    def _damaged(self, name: str) -> InputError:
        return InputError(f"the plate store is damaged at {name}", str(self.path), "ingest the plate again")


def open_files(path: Path) -> PlateFiles:
    """Return the files of a store: of the folder ``path``, or of the ZIP beside it; see :func:`find_store`."""
    found = find_store(path)
    return ZipFiles.open(found) if found.is_file() else FolderFiles(found)


def find_store(path: Path) -> Path:
    """Return where a store lies: ``path``, or ``path`` with ``.zip`` where there is just that."""
    zipped = path.with_name(path.name + ZIP_SUFFIX)
    return zipped if not path.exists() and zipped.is_file() else path
