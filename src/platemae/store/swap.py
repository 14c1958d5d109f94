"""A folder or file that appears whole or not at all: built in a temporary sibling, swapped in by renaming.

A writer holds a lock on its temporary folder, so that the next start can tell the leftovers of a killed writer from the
work of a live one, on any host that shares the file system.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platemae.locks import lock

NEW, OLD, LOCK = "new", "old", "lock"
STALE_AFTER = 24 * 3600.0
"""Seconds after which a temporary folder counts as left over where locks cannot tell."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def replaced(path: Path, before_swap: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield a path where nothing is; what the block makes there takes the place of ``path`` when it ends without error.

    A kill at any moment leaves the old one, the new one, or (where the file system cannot exchange two folders in
    one step) the old one under its temporary name, from which the next start brings it back.

    Parameters
    ----------
    path
        Folder or file to write or replace.
    before_swap
        Called when the new one is complete, just before the swap.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    temporary.mkdir()
    with (temporary / LOCK).open("w") as held:
        lock(held)
        try:
            yield temporary / NEW
            before_swap()
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replaced_folder(path: Path, before_swap: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``path``, as :func:`replaced` does."""
    with replaced(path, before_swap) as new:
        new.mkdir()
        yield new


def clear_leftovers(path: Path) -> list[Path]:
    """Remove the temporary folders of ``path`` whose writers are dead, and return them.

    A writer that was killed between the two renames of a swap has left the old one inside: it is put back first.
    """
    removed = []
    for temporary in sorted(path.parent.glob(f".{path.name}.tmp-*")):
        if _is_alive(temporary):
            continue
        if not path.exists() and (temporary / OLD).exists():
            (temporary / OLD).rename(path)
        shutil.rmtree(temporary, ignore_errors=True)
        removed.append(temporary)
    return removed


def _is_alive(temporary: Path) -> bool:
    try:
        with (temporary / LOCK).open("a") as held:
            free = lock(held)
            age = time.time() - os.fstat(held.fileno()).st_mtime
    except FileNotFoundError:
        return False
    return age < STALE_AFTER if free is None else not free


def _swap(temporary: Path, path: Path) -> None:
    if path.is_symlink() and not path.exists():
        path.unlink()  # it led into a shared folder that is gone
    if path.exists() and not _exchange(temporary / NEW, path):
        path.rename(temporary / OLD)
    if (temporary / OLD).exists() or not path.exists():
        (temporary / NEW).rename(path)


def _exchange(one: Path, two: Path) -> bool:
    """Exchange two paths in one step (Linux renameat2); False where kernel or file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(two), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(one))
