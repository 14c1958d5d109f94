"""train_model: train a network, or go on with its training, or export again what is finished.

The training lives in a state folder outside the declared outputs, keyed by architecture, optimisation and data. Several
processes work on it under torchrun; the first of them leaves the finished model in the state folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from platemae.contracts import TRAINED_KINDS, Manifest
from platemae.data.training_state import TrainingState, lease
from platemae.fingerprint import digest_json
from platemae.layout import Results
from platemae.making.files import export
from platemae.making.key import training_key
from platemae.making.make import make
from platemae.making.process import train_in_processes
from platemae.making.take import take
from platemae.models.sources import reader_of
from platemae.training.checkpoint import CheckpointStore

WAIT_SECONDS = 600.0
"""How long a job waits for another that trains the same network: two models may differ in how they embed alone."""


def run(
    results: Results,
    cfg: dict[str, Any],
    *,
    model: str,
    threads: int,
    processes: int = 1,
    base: Path = Path(),
    code: str = "",
    retrain: bool = False,
    accept_code: bool = False,
) -> Manifest:
    """Make one model's files.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``model`` (name, kind, preset, architecture, dataset, intensity, and what its kind needs besides) and ``train``.
    model
        Name of the model.
    threads
        Threads of all processes together.
    processes
        Processes of the data-parallel training.
    base
        Where a relative path of a weights file starts.
    code
        Code digest of this stage.
    retrain
        Throw an earlier training of the same settings away.
    accept_code
        Go on with, or export, what other code made; recorded.

    Raises
    ------
    TrainingError
        When other code began the training, another process works on it, or training fails.
    PlatemaeError
        When model, data and machine do not fit together.
    """
    entry = cfg["model"]
    target = results.model(model)
    if entry["kind"] not in TRAINED_KINDS:
        made = target.with_name(f".{model}.making")
        shutil.rmtree(made, ignore_errors=True)  # of a job that was killed
        if reader_of(entry["kind"]):
            take(results, cfg, made, base, threads)
        else:
            make(results, cfg, made, made, threads, base)
        manifest = export(made, target, [])
        shutil.rmtree(made)
        return manifest
    key = training_key(results, cfg)
    state = TrainingState(results.training_state(digest_json(key)[:32]), code)
    with lease(state.folder, WAIT_SECONDS):
        started = state.finished.is_dir() or bool(CheckpointStore(state.folder, {}).files())
        state.enter(key, started=started, retrain=retrain, accept_code=accept_code)
        if not state.finished.is_dir():
            train_in_processes(results, cfg, state.folder, threads, processes)
        return export(state.finished, target, state.accepted())
