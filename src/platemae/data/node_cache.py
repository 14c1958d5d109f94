"""Copies of plate stores on a disk of the node, so that crops are not read over the network in every pass.

A copy belongs to the store's content, so another ingest of the plate is another copy. Processes that use a copy share
its lock; what nobody uses is removed, longest unused first, when room is needed. Where a copy cannot be had, the store
itself is read: the cache changes the speed of a training and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from platemae.errors import MachineError
from platemae.store.plate_reader import PlateStore

GIGABYTE = 10**9
SPARE_SHARE = 0.05
"""Share of the disk that copies leave free: others write there, too."""
LIST = "files.json"
_BLOCK = 2**20
_logger = logging.getLogger(__name__)


class NodeCache:
    """A folder of copies, shared by all processes of the node.

    Parameters
    ----------
    folder
        Copies lie below it, in ``platemae-plates``; environment variables such as ``$TMPDIR`` are replaced.
    limit_gb
        What all copies together may take, in 10^9 bytes.

    Raises
    ------
    MachineError
        When a variable is not set here, or the folder cannot be made. The cache is no part of a training's key, so that
        a lasting error would outlive its correction.
    """

    def __init__(self, folder: str, limit_gb: float) -> None:
        path = os.path.expanduser(os.path.expandvars(folder))
        unset = re.findall(r"\$\{?\w+\}?", path)
        if unset:
            what = f"the environment has no {', '.join(unset)} here"
            raise MachineError(what, "train.cache", "Set it where jobs start, or name a folder.")
        # A folder of our own: what lies in it may be removed.
        self.folder, self.limit = Path(path).absolute() / "platemae-plates", int(limit_gb * GIGABYTE)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"the folder for copies of plates cannot be made: {error.strerror}"
            raise MachineError(what, f"train.cache: {path}", "Name a folder on a disk of the node.") from None
        self._held: list[IO[str]] = []

    def path_of(self, store: Path) -> Path:
        """Return where to read a plate: its copy, made now if need be, else the store itself.

        The copy stays locked for as long as this object lives.
        """
        source = PlateStore(store)
        entry = self.folder / source.digest[:32]
        try:
            return entry / source.path.name if self._have(source.path, entry) else store
        except OSError as error:  # such as a folder of somebody else
            _logger.warning("%s is read where it lies: %s cannot be used (%s)", store, self.folder, error)
            return store

    def _have(self, source: Path, entry: Path) -> bool:
        """Hold the copy of a store, made now if need be; False where it cannot be had."""
        if self._hold(entry):
            return True
        with self._alone():
            # Another process may have made it while this one waited.
            return self._hold(entry) or (self._make(source, entry) and self._hold(entry))

    def _hold(self, entry: Path) -> bool:
        """Share the lock of a complete copy; False when there is none."""
        lock = _lock_file(entry)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if not _is_whole(entry):
            lock.close()
            return False
        os.utime(lock.name)
        self._held.append(lock)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the one process of the node that makes and removes copies."""
        with (self.folder / ".making").open("w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            for torn in self.folder.glob(".*.copying"):
                shutil.rmtree(torn)  # of a process that was killed: its guard is free
            yield

    def _make(self, source: Path, entry: Path) -> bool:
        """Copy a store; False, with a warning, where it finds no room or the copy fails."""
        files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
        temporary = entry.with_name(f".{entry.name}.copying")
        try:
            if not self._make_room(sum(p.stat().st_size for p in files), entry):
                return False
            names = [p.relative_to(source.parent) for p in files]
            listed = {str(name): _copy(source.parent / name, temporary / name) for name in names}
            (temporary / LIST).write_text(json.dumps(listed))
            temporary.replace(entry)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            _logger.warning("%s is read where it lies: it could not be copied to %s (%s)", source, self.folder, error)
            return False
        _logger.info("%s was copied to %s", source, entry)
        return True

    def _make_room(self, size: int, entry: Path) -> bool:
        """Remove copies that nobody uses until ``size`` bytes fit, the longest unused first."""
        if entry.is_dir() and not self._remove(entry):  # damaged, and in use
            return False
        used = {path: _size(path) for path in self._copies()}
        while not self._fits(sum(used.values()), size):
            removed = next((path for path in sorted(used, key=_last_use) if self._remove(path)), None)
            if removed is None:
                needed = (sum(used.values()) + size) / GIGABYTE
                _logger.warning("a plate is read where it lies: %s would have to hold %.3g GB", self.folder, needed)
                return False
            del used[removed]
        return True

    def _copies(self) -> list[Path]:
        return [lock.with_suffix("") for lock in self.folder.glob("*.lock") if lock.with_suffix("").is_dir()]

    def _fits(self, used: int, size: int) -> bool:
        disk = shutil.disk_usage(self.folder)
        return used + size <= self.limit and size <= disk.free - SPARE_SHARE * disk.total

    def _remove(self, entry: Path) -> bool:
        """Remove a copy; False when a process uses it."""
        with _lock_file(entry) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            shutil.rmtree(entry)
            return True


def _lock_file(entry: Path) -> IO[str]:
    return entry.with_name(f"{entry.name}.lock").open("a")


def _last_use(entry: Path) -> float:
    return entry.with_name(f"{entry.name}.lock").stat().st_mtime


def _is_whole(entry: Path) -> bool:
    """Tell whether every file is there in the size that it was verified with."""
    try:
        listed = json.loads((entry / LIST).read_text())
        return all((entry / name).stat().st_size == size for name, (size, _) in listed.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def _copy(source: Path, target: Path) -> tuple[int, int]:
    """Copy a file and read the copy back; return its size and check sum.

    Raises
    ------
    OSError
        When the copy differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    expected, found = _check_sum(source), _check_sum(target)
    if found != expected:
        raise OSError(f"{target.name} differs from what was copied")
    return found


def _check_sum(path: Path) -> tuple[int, int]:
    size = check = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, check = size + len(block), zlib.crc32(block, check)
    return size, check
