"""Write a plate as one ZIP: Zarr metadata in front, then the shards, nothing deflated.

The form is the recommended variant of OME-NGFF RFC-9: ZIP64, members stored, the root's ``zarr.json`` first and the
others behind it, in the file as in its directory. Metadata are known when all shards are written, so their places are
kept free beforehand and the texts padded with spaces, which JSON allows.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from platemae.store.ngff import NGFF_VERSION

# APPNOTE.TXT 6.3 of PKWARE: sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, and 4.5.3 for the ZIP64 extra field.
_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_64 = struct.Struct("<2H2Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_ENTRY_64 = struct.Struct("<2H3Q")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_VERSION, _DATE, _FULL, _FULL_16 = 45, 0x21, 0xFFFFFFFF, 0xFFFF  # ZIP64; 1980-01-01: equal plates, equal files
_MODE = 0o100644 << 16
COMMENT = {"ome": {"version": NGFF_VERSION, "zipFile": {"centralDirectory": {"jsonFirst": True}}}}


@dataclass(frozen=True)
class _Member:
    name: bytes
    offset: int
    size: int
    crc: int


class ZipWriter:
    """A ZIP being written; :meth:`put` is safe in threads.

    Parameters
    ----------
    path
        File to make; on an error it is left as it is, for the caller to remove.
    slots
        Bytes kept free for each metadata file, in the order in which they will stand in front.
    """

    def __init__(self, path: Path, slots: Mapping[str, int]) -> None:
        self.slots = dict(slots)
        self._shards: list[_Member] = []
        self._lock = threading.Lock()
        self._end = sum(_header_size(name) + size for name, size in slots.items())
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def __enter__(self) -> ZipWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Append a member."""
        size, crc = sum(map(len, parts)), 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        with self._lock:
            member = _Member(name.encode(), self._end, size, crc)
            self._end += _header_size(name) + size
        self._write(b"".join([_local_header(member), *parts]), member.offset)
        with self._lock:
            self._shards.append(member)

    def finish(self, documents: Iterable[tuple[str, str]]) -> None:
        """Write the metadata into their slots, and the archive's directory.

        Raises
        ------
        ValueError
            When they are not the ones that places were kept for.
        """
        front, offset = [], 0
        for name, text in documents:
            content = text.encode().ljust(self.slots[name])
            if len(content) != self.slots[name]:
                raise ValueError(f"{name} outgrows the {self.slots[name]} bytes kept for it")
            front.append(_Member(name.encode(), offset, len(content), zlib.crc32(content)))
            self._write(_local_header(front[-1]) + content, offset)
            offset += _header_size(name) + len(content)
        if [member.name.decode() for member in front] != list(self.slots):
            raise ValueError("the metadata are not the ones that places were kept for")
        self._write(_directory([*front, *sorted(self._shards, key=lambda m: m.offset)], self._end), self._end)
        os.fsync(self._handle)

    def _write(self, content: bytes, offset: int) -> None:
        rest = memoryview(content)
        while rest:  # one call writes 2 GiB at most
            done = os.pwrite(self._handle, rest, offset)
            rest, offset = rest[done:], offset + done


def _header_size(name: str) -> int:
    return _LOCAL.size + len(name.encode()) + _LOCAL_64.size


def _local_header(member: _Member) -> bytes:
    sizes = _LOCAL_64.pack(1, _LOCAL_64.size - 4, member.size, member.size)
    fixed = (b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, member.crc, _FULL, _FULL, len(member.name), len(sizes))
    return _LOCAL.pack(*fixed) + member.name + sizes


def _directory(members: Sequence[_Member], start: int) -> bytes:
    """Return what stands at the end of the archive, from its byte ``start`` on."""
    entries = b"".join(_entry(member) for member in members)
    end = start + len(entries)
    comment = json.dumps(COMMENT, separators=(",", ":")).encode()
    return b"".join(
        [
            entries,
            _END_64.pack(
                b"PK\x06\x06", _END_64.size - 12, _VERSION, _VERSION, 0, 0, *[len(members)] * 2, len(entries), start
            ),
            _LOCATOR.pack(b"PK\x06\x07", 0, end, 1),
            _END.pack(b"PK\x05\x06", 0, 0, _FULL_16, _FULL_16, _FULL, _FULL, len(comment)),
            comment,
        ]
    )


def _entry(member: _Member) -> bytes:
    extra = _ENTRY_64.pack(1, _ENTRY_64.size - 4, member.size, member.size, member.offset)
    made_by = 3 << 8 | _VERSION  # Unix
    fixed = (b"PK\x01\x02", made_by, _VERSION, 0, 0, 0, _DATE, member.crc, _FULL, _FULL)
    return _ENTRY.pack(*fixed, len(member.name), len(extra), 0, 0, 0, _MODE, _FULL) + member.name + extra
