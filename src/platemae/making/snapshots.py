"""Snapshots: a network as it was after some steps, kept in the state folder of its training, exported as a model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platemae.contracts import write_text
from platemae.data.training_state import FINISHED
from platemae.errors import ConfigError, MissingError
from platemae.layout import Results
from platemae.live.watch import Watch
from platemae.making.facts import facts_of
from platemae.making.files import write_files
from platemae.making.gallery import gallery
from platemae.making.model import Model
from platemae.making.shown import accuracy
from platemae.models.export import FACTS
from platemae.models.registry import build

SNAPSHOTS, ASKED = "snapshots", "snapshots.json"


def ask(folder: Path, steps: Sequence[int]) -> None:
    """Note in a training's folder at which steps its network is to be kept, beside those asked for before.

    Two models may share one training, and each has snapshots of its own.
    """
    wanted = sorted({*asked(folder), *steps})
    if wanted:
        write_text(folder / ASKED, json.dumps(wanted) + "\n")


def asked(folder: Path) -> list[int]:
    """Return the steps at which the network is to be kept."""
    try:
        return [int(step) for step in json.loads((folder / ASKED).read_text())]
    except FileNotFoundError:
        return []


class Keeper:
    """What the loop tells of itself goes on to ``inner``; at a snapshot the network's files are written, too.

    Parameters
    ----------
    results
        Paths.
    model
        What trains; it is left alone.
    checked
        Validation batches, of a classifier with their labels.
    folder
        State folder of the training.
    inner
        Gets every event.
    """

    def __init__(self, results: Results, model: Model, checked: Sequence[Any], folder: Path, inner: Watch) -> None:
        self.results, self.model, self.checked, self.folder, self.inner = results, model, checked, folder, inner

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event of ``training.loop.train``."""
        self.inner(event)
        if event["event"] == "snapshot":
            self._keep(event["step"], event["history"])

    def _keep(self, step: int, history: list[dict[str, Any]]) -> None:
        """Write the same files as a finished model has, of a copy of the network."""
        own = self.model.module
        network: Any = build(self.model.entry["kind"], own.architecture(), own.n_channels)
        network.load_state_dict(own.state_dict())
        then = replace(self.model, module=network, history=history)
        then.extra = self.inner.cost() | ({} if then.labels is None else accuracy(then, self.checked))
        made = path_of(self.folder, step)
        shutil.rmtree(made, ignore_errors=True)  # a training that was set back to an earlier checkpoint comes by again
        made.parent.mkdir(parents=True, exist_ok=True)
        write_files(made, then, facts_of(self.results, then), gallery(then))


def path_of(folder: Path, step: int) -> Path:
    """Return where a training keeps the network of a step."""
    return folder / SNAPSHOTS / f"step-{step:09d}"


def check_parent(finished: Path, model: str, *, retrain: bool) -> None:
    """Check that a snapshot can be exported: its training is finished, and is not to be done again.

    Raises
    ------
    ConfigError
        When the snapshot alone is to be trained again.
    MissingError
        When the training is not there.
    """
    again = f"platemae train-model --model {model.rpartition('@')[0]} --retrain"
    if retrain:
        raise ConfigError("a snapshot is trained with its model, not alone", model, again)
    if not finished.is_dir():
        raise MissingError(f"the finished training that {model} is a snapshot of is gone", str(finished), again)


def kept(folder: Path, model: str, step: int) -> Path:
    """Return the folder with the files of a snapshot; of a training that diverged before it, those of its end.

    Raises
    ------
    MissingError
        When the training went past the step before anybody asked for it.
    """
    made = path_of(folder, step)
    if made.is_dir():
        return made
    finished, parent = folder / FINISHED, model.rpartition("@")[0]
    diverged = json.loads((finished / FACTS).read_text())["training"].get("diverged_at")
    if diverged is not None and diverged <= step:
        return finished
    what = f"the training of {parent} went past step {step} before a snapshot of it was asked for"
    remedy = f"leave {step} out of its snapshots, or train again: platemae train-model --model {parent} --retrain"
    raise MissingError(what, str(folder), remedy)
