"""The folder of one training: whose code made it, what became of it, and what it finished.

It lies outside every declared output, keyed by architecture, optimisation and data, so that neither a failed job nor a
change of code costs the GPU hours in it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from platemae.contracts import write_text
from platemae.data.lease import GUARD, LEASE, slurm_job
from platemae.errors import (
    ConfigError,
    DivergedError,
    MachineError,
    PlatemaeError,
    TrainingError,
    UntrainableError,
)

STATE, VERDICT, FINISHED = "state.json", "verdict.json", "finished"
CONTINUE, FAILED = "continue", "failed"
_LASTING = {error.__name__: error for error in (ConfigError, DivergedError, UntrainableError)}
"""Errors that follow from settings, data and code alone; the next attempt would end in the same."""

TIMES = 3
"""Attempts of one run that may end in the same error at the same checkpoint; then the others end at once."""


class TrainingState:
    """What is known about one training.

    Parameters
    ----------
    folder
        The state folder.
    code
        Code digest of the job that asks.
    run
        Run that the job is of; equal errors of one run are counted. Empty: of none.
    """

    def __init__(self, folder: Path, code: str, run: str = "") -> None:
        self.folder, self.code, self.run = folder, code, run

    @property
    def finished(self) -> Path:
        """Folder with the finished model's files; it is there whole or not at all."""
        return self.folder / FINISHED

    def record(self) -> dict[str, Any]:
        """Return the content of ``state.json``, empty when there is none.

        Raises
        ------
        TrainingError
            When it cannot be read.
        """
        path = self.folder / STATE
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TrainingError("the record of a training cannot be read", str(path), "train again with --retrain")
        return found

    def enter(self, key: dict[str, Any], *, started: bool, retrain: bool, accept_code: bool) -> None:
        """Settle whose code goes on here, and record it; the caller holds the lease.

        Parameters
        ----------
        key
            What the folder's name is the digest of, for people who look inside.
        started
            Whether there is anything to go on from: a checkpoint or a finished model.
        retrain
            Throw what there is away.
        accept_code
            Go on with what other code began, and record that.

        Raises
        ------
        TrainingError
            When other code began it and neither way was chosen.
        """
        record = self.record()
        if retrain:
            self._clear()
            record = {}
        elif started and record.get("code") != self.code:
            if not accept_code:
                raise self._foreign_code(record)
            change = {"from": record.get("code"), "to": self.code}
            record["accepted"] = [*record.get("accepted", []), change]
        elif not started:
            record = {}
        record |= {"code": self.code, "key": key}
        write_text(self.folder / STATE, json.dumps(record, indent=1, sort_keys=True) + "\n")

    def may_be_taken(self, *, retrain: bool) -> bool:
        """Tell whether there is a finished model that this code made or has accepted: it needs only be copied."""
        return not retrain and self.finished.is_dir() and self.record().get("code") == self.code

    def _foreign_code(self, record: dict[str, Any]) -> TrainingError:
        done = self.finished.is_dir()
        what = "a training of the same settings and data was " + ("finished" if done else "begun") + " by other code"
        keep = "export its weights" if done else "go on with it"
        return TrainingError(
            f"{what} ({str(record.get('code'))[:12]}, now {self.code[:12]})",
            str(self.folder),
            f"--accept-code to {keep}, which is recorded; or --retrain to throw it away and train again",
        )

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name not in (LEASE, GUARD):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def accepted(self) -> list[dict[str, str]]:
        """Return the changes of code that were accepted on the way."""
        changes: list[dict[str, str]] = self.record().get("accepted", [])
        return changes

    # -- verdict ------------------------------------------------------------------------------------------------------

    def verdict(self) -> dict[str, Any]:
        """Return what the last attempt left behind, empty before the first: ``verdict`` is continue or failed."""
        try:
            found = json.loads((self.folder / VERDICT).read_text())
        except (OSError, ValueError):  # it saves time and decides nothing else
            return {}
        return found if isinstance(found, dict) else {}

    def note(self, why: Exception | str) -> None:
        """Record what became of an attempt.

        Parameters
        ----------
        why
            A word on an attempt that can be continued, or the error that ended it. One that follows from settings, data
            and code is a failure; after any other, such as a signal, a missing GPU or a full disk, the next goes on,
            until ``TIMES`` attempts of one run have met the same.
        """
        again = self._again(why)
        line: dict[str, Any] = {"verdict": CONTINUE, "code": self.code, "time": int(time.time())} | slurm_job()
        if isinstance(why, PlatemaeError):
            line |= {"why": why.what, "where": why.where, "remedy": why.remedy, "error": type(why).__name__}
            line["verdict"] = FAILED if lasts(why) else CONTINUE
        else:
            line["why"] = str(why)
        if again:
            line["again"] = again
        write_text(self.folder / VERDICT, json.dumps(line, indent=1) + "\n")

    def _again(self, why: Exception | str) -> dict[str, Any]:
        """Return the error of this attempt and how often it came in a row; a killed attempt neither counts nor ends it.

        A stop that was asked for ends the row, and so does a checkpoint: the training gets on.
        """
        before = self._row()
        if isinstance(why, str):
            return before
        if not self.run or getattr(why, "exit_code", None) == os.EX_TEMPFAIL:
            return {}
        what = why.what if isinstance(why, PlatemaeError) else str(why)[:500]
        same = {"run": self.run, "error": type(why).__name__, "what": re.sub(r"\d+", "#", what)}  # sizes, addresses
        same["checkpoint"] = max((path.name for path in self.folder.glob("step-*.pt")), default="")
        times = before["times"] if before.items() >= same.items() else 0
        return same | {"why": what, "times": times + 1}

    def _row(self) -> dict[str, Any]:
        """Return the last error and how often it came in a row, empty when nothing was counted."""
        again = self.verdict().get("again")
        return again if isinstance(again, dict) and isinstance(again.get("times"), int) else {}

    def _raise_if_repeated(self) -> None:
        again = self._row()
        mine = bool(self.run) and again.get("run") == self.run and self.verdict().get("code") == self.code
        if mine and again["times"] >= TIMES:
            what = f"{again['times']} attempts of this run ended in the same error: {again.get('why', '?')}"
            raise TrainingError(what, str(self.folder), "mend its cause, then start the run again: it goes on here")

    def raise_if_failed(self, *, records: bool = False) -> None:
        """End an attempt at once whose predecessor failed, under the same code, of what it would meet again.

        Parameters
        ----------
        records
            Whether this attempt takes a divergence as its result; an earlier one is then no reason.

        Raises
        ------
        ConfigError, DivergedError
            The error of the earlier attempt, with the way out.
        TrainingError
            When the attempts of this run ended in one error ``TIMES`` times in a row.
        """
        found = self.verdict()
        self._raise_if_repeated()
        if found.get("verdict") != FAILED or found.get("code") != self.code or found.get("error") not in _LASTING:
            return
        if records and found["error"] == DivergedError.__name__:
            return
        remedy = f"{found.get('remedy', '')} Other settings or data start anew; --retrain tries this training again."
        what = f"an earlier attempt failed: {found.get('why', '?')}"
        raise _LASTING[found["error"]](what, str(found.get("where", "")), remedy.strip())


def lasts(error: PlatemaeError) -> bool:
    """Tell whether an error follows from settings, data and code alone, so that trying again is of no use."""
    return isinstance(error, tuple(_LASTING.values())) and not isinstance(error, MachineError)
