"""Follow a training: log its events, keep its page, and count what it costs."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from platemae.contracts import write_text
from platemae.live import page

COST = "cost.json"
EVERY_SECONDS = 10.0
"""The page is not written more often than this, but for its first and last time."""
_logger = logging.getLogger(__name__)


class Watch:
    """What ``training.loop.train`` calls at each event.

    Parameters
    ----------
    folder
        State folder: the page and the cost lie there.
    about
        Words for the page, see ``page.render``.
    threads
        Of one process.
    log
        Called with each event first.
    pictures
        Returns crops for the page, (K, 3, C, H, W) or None; called at validations.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        threads: int,
        log: Callable[[dict[str, Any]], None],
        pictures: Callable[[], np.ndarray | None],
    ) -> None:
        self.folder, self.about, self.threads, self.log, self.pictures = folder, about, threads, log, pictures
        self.history: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.crops_KRCHW: np.ndarray | None = None
        self._attempts: list[dict[str, Any]] = []
        self._begun = self._written = time.monotonic()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take up an event."""
        self.log(event)
        if event["event"] == "start":
            self._start(event)
        elif event["event"] == "row":
            self.history.append(event)
            last = event["step"] >= self.state["steps"]
            if last or time.monotonic() - self._written >= EVERY_SECONDS:
                self._show(pictures=last or event.get("val_loss") is not None)
        elif event["event"] == "checkpoint":
            self._count()

    def _start(self, event: dict[str, Any]) -> None:
        self.history = list(event["history"])
        self._attempts = attempts(self.folder)
        self._attempts.append(
            {"device": event["device"], "world_size": event["world_size"], "threads": self.threads, "seconds": 0.0}
            | {"host": os.uname().nodename, "from_step": event["step"], "started": int(time.time())}
        )
        self._begun = time.monotonic()
        self.state = {key: value for key, value in event.items() if key != "history"} | {"attempt": len(self._attempts)}
        self._show(pictures=True)
        _logger.info("the page of this training is %s", (self.folder / page.PAGE).resolve())

    def _show(self, *, pictures: bool) -> None:
        if pictures:
            self.crops_KRCHW = self.pictures()
        self._count()
        page.write(self.folder / page.PAGE, page.render(self.about, self.state, self.history, self.crops_KRCHW))
        self._written = time.monotonic()

    def _count(self) -> None:
        self._attempts[-1]["seconds"] = round(time.monotonic() - self._begun, 3)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / COST, json.dumps(self._attempts, indent=1) + "\n")

    def cost(self) -> dict[str, float | int]:
        """Return ``gpu_hours``, ``core_hours`` and the number of attempts, so far."""
        self._count()
        return cost(self._attempts)


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Return what each attempt at a training used, the first one first; empty where nothing is known."""
    try:
        found = json.loads((folder / COST).read_text())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def cost(used: list[dict[str, Any]]) -> dict[str, float | int]:
    """Add up attempts: hours of all GPUs, and of all threads beside or instead of them.

    Steps that a killed attempt took after its last checkpoint count too: they were paid for.
    """
    hours = [(one["seconds"] * one["world_size"] / 3600, one) for one in used]
    gpu = sum(spent for spent, one in hours if one["device"].startswith("cuda"))
    return {"gpu_hours": gpu, "core_hours": sum(spent * one["threads"] for spent, one in hours), "attempts": len(used)}
