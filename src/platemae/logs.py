"""Logging: a human line on stderr, JSON lines in the rule's log file; progress as a bar on a terminal, or as lines."""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

LINES_APART_S = 30.0
"""Seconds between two plain lines of progress: short work says nothing."""

T = TypeVar("T")


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, name, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "name": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def start(stage: str, log: Path | None = None) -> logging.Logger:
    """Set up logging for one stage.

    Parameters
    ----------
    stage
        Name in front of each line.
    log
        File that gets JSON lines; its folder is made when missing.
    """
    logging.raiseExceptions = False  # a log that cannot be written must not bury the error under a traceback
    root = logging.getLogger("platemae")
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.INFO)
    root.propagate = False
    human = logging.StreamHandler(sys.stderr)
    human.setFormatter(logging.Formatter(f"%(asctime)s {stage}: %(message)s", datefmt="%H:%M:%S"))
    root.addHandler(human)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = logging.FileHandler(log)
        lines.setFormatter(JsonLines())
        root.addHandler(lines)
    return root


def track(things: Iterable[T], total: int, unit: str) -> Iterator[T]:
    """Yield ``things``, and show how many of ``total`` are done; see :func:`progress`."""
    with progress(total, unit) as advance:
        for thing in things:
            yield thing
            advance()


@contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[], object]]:
    """Show how far a long piece of work is.

    A bar where stderr is a terminal and no log file is written; else a line twice a minute, which also reaches the log
    file. Jobs of one run share a terminal and all have log files, so no two bars write over each other.

    Parameters
    ----------
    total
        How many things there are to do.
    unit
        What they are, in the plural.

    Yields
    ------
    A function to call when one more is done, from any thread.
    """
    if multiprocessing.parent_process() is not None:  # the first process speaks for all
        yield lambda: None
    elif sys.stderr.isatty() and not _writes_a_file():
        from tqdm import tqdm

        guard = threading.Lock()
        with tqdm(total=total, unit=f" {unit}", leave=False, dynamic_ncols=True) as bar:

            def one_more() -> None:
                with guard:
                    bar.update()

            yield one_more
    else:
        yield _Lines(total, unit).advance


def _writes_a_file() -> bool:
    return any(isinstance(handler, logging.FileHandler) for handler in logging.getLogger("platemae").handlers)


class _Lines:
    """Progress as plain lines."""

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self.said, self.guard = time.monotonic(), threading.Lock()

    def advance(self) -> None:
        """Count one more, and say so where the last line is old."""
        with self.guard:
            self.done += 1
            if time.monotonic() - self.said < LINES_APART_S or self.done == self.total:
                return
            self.said = time.monotonic()
            text = f"{self.done:,} of {self.total:,} {self.unit} ({100 * self.done // self.total} %)"
        log = logging.getLogger("platemae")
        if log.handlers:
            log.info("%s", text)
        else:  # a command that people type
            print(text, file=sys.stderr)
