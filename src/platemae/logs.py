"""Logging: a human line on stderr, JSON lines in the rule's log file."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path


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
