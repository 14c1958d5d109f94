"""Locks of files that the kernel frees when a process dies, and what takes their place where a file system has none."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

FORGOTTEN_SECONDS = 300.0
"""A file that stands for a lock is a killed process's after so long; a block may ask SLURM, for a minute at most."""
LOOK_SECONDS = 0.05
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


def lock(file: IO[str], *, wait: bool = False) -> bool | None:
    """Return whether the lock was taken; None where the file system knows no locks (Lustre without ``-o flock``).

    Parameters
    ----------
    file
        Open file; closing it frees the lock.
    wait
        Wait for another process that has it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


@contextmanager
def alone(guard: Path) -> Iterator[None]:
    """Be the one process in the block, which is short: looking and writing are not parted by another's writing.

    Without locks a second file, which only one process can make, stands for the lock. That of a process which was
    killed within the block is removed after ``FORGOTTEN_SECONDS``; two that remove it in the same instant could both go
    on, as the price of a file system without locks.

    Parameters
    ----------
    guard
        A file for this alone, made when missing; its folder is there.
    """
    with guard.open("a") as file:
        if lock(file, wait=True) is not None:
            yield
            return
    with _made(guard.with_name(f"{guard.name}.made")):
        yield


@contextmanager
def _made(path: Path) -> Iterator[None]:
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            break
        except FileExistsError:
            if _age(path) > FORGOTTEN_SECONDS:
                path.unlink(missing_ok=True)
            else:
                time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
