"""train_model: train a network, or go on with its training, or export again what is finished.

The training lives in a state folder outside the declared outputs, keyed by architecture, optimisation and data. Several
processes work on it under torchrun; the first of them leaves the finished model in the state folder.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from platemae.contracts import Manifest, is_optimised
from platemae.data.lease import lease
from platemae.data.training_state import TrainingState, lasts
from platemae.errors import PlatemaeError
from platemae.fingerprint import digest_json
from platemae.layout import Results
from platemae.live import page
from platemae.making.files import export
from platemae.making.key import training_key
from platemae.making.make import make
from platemae.making.process import Machines, train_in_processes
from platemae.making.snapshots import ask, asked, check_parent, kept
from platemae.making.take import take
from platemae.models.sources import reader_of
from platemae.sharing.training import training_folder
from platemae.training.checkpoint import CheckpointStore
from platemae.training.preempt import ask_this_process, ends_at

_logger = logging.getLogger(__name__)
WAIT_SECONDS = 600.0
"""How long a job waits for another that trains the same network: two models may differ in how they embed alone."""


def run(
    results: Results,
    cfg: dict[str, Any],
    *,
    model: str,
    threads: int,
    processes: int = 1,
    nodes: int = 1,
    end_time: str | None = None,
    snapshots: Sequence[int] | None = None,
    base: Path = Path(),
    code: str = "",
    run_id: str = "",
    retrain: bool = False,
    accept_code: bool = False,
) -> Manifest:
    """Make one model's files.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``model`` (name, kind, preset, architecture, dataset, intensity, and what its kind needs besides) and ``train``;
        for a snapshot those of the model it is of, and ``snapshot``, its step.
    model
        Name of the model.
    threads
        Threads of all processes of a node together.
    processes
        Processes of the data-parallel training on each node.
    nodes
        Nodes of the SLURM job.
    end_time
        When this job is ended from outside; None: what SLURM says of it.
    snapshots
        Steps at which the network is kept for its snapshots, beside those asked for before.
    base
        Where a relative path of a weights file starts.
    code
        Code digest of this stage.
    run_id
        Run that this job is of: the same error is not tried again and again in one run.
    retrain
        Throw an earlier training of the same settings away, and what it failed of; one that other projects share is
        left alone, and this one trains in the results folder.
    accept_code
        Go on with, or export, what other code made; recorded.

    Raises
    ------
    Interrupted
        When training was asked to stop, or the job ends soon: the same call goes on.
    MissingError
        When a snapshot's training is gone, or went past its step before anybody asked for it.
    TrainingError
        When other code began the training, another process works on it, or training fails.
    PlatemaeError
        When model, data and machine do not fit together, now or in an earlier attempt under the same code.
    """
    target = results.model(model)
    if not is_optimised(cfg["model"]["kind"], cfg["train"]["steps"]):
        return _make_at_once(results, cfg, model, target, base, threads)
    key = training_key(results, cfg)
    folder = training_folder(results.training_state(digest_json(key)[:32]), apart=retrain)
    state = TrainingState(folder, code, run_id)
    if "snapshot" in cfg:
        check_parent(state.finished, model, retrain=retrain)
    if state.may_be_taken(retrain=retrain):
        # No lease, nothing written: it may be another user's.
        if "snapshot" not in cfg:
            _link_page(results, model, state.folder)
        return _export(state, cfg, model, target)
    with lease(state.folder, WAIT_SECONDS, lost=ask_this_process), ends_at(end_time):
        started = state.finished.is_dir() or bool(CheckpointStore(state.folder, {}).files())
        wanted = [*asked(state.folder), *(snapshots or ())]  # what another model asked for outlives --retrain
        state.enter(key, started=started, retrain=retrain, accept_code=accept_code)
        if "snapshot" in cfg:
            return _export(state, cfg, model, target)
        ask(state.folder, wanted)
        _link_page(results, model, state.folder)
        if not state.finished.is_dir():
            state.raise_if_failed(records=cfg["train"]["on_divergence"] == "record")
            _attempt(results, cfg, state, Machines(threads, processes, nodes))
        return _export(state, cfg, model, target)


def _make_at_once(
    results: Results, cfg: dict[str, Any], model: str, target: Path, base: Path, threads: int
) -> Manifest:
    """Make a model that has no optimiser, and so no state that another job could go on from."""
    made = target.with_name(f".{model}.making")
    shutil.rmtree(made, ignore_errors=True)  # of a job that was killed
    if reader_of(cfg["model"]["kind"]):
        take(results, cfg, made, base, threads)
    else:
        make(results, cfg, made, made, threads, base)
    manifest = export(made, target, [])
    shutil.rmtree(made)
    return manifest


def _export(state: TrainingState, cfg: dict[str, Any], model: str, target: Path) -> Manifest:
    """Copy the finished model out of its training, or the snapshot that is asked for."""
    found = kept(state.folder, model, cfg["snapshot"]) if "snapshot" in cfg else state.finished
    return export(found, target, state.accepted())


def _attempt(results: Results, cfg: dict[str, Any], state: TrainingState, machines: Machines) -> None:
    """Train, and note what came of it; a killed attempt leaves the note that it can be continued."""
    state.note("training")
    try:
        train_in_processes(results, cfg, state.folder, machines)
    except PlatemaeError as error:
        with suppress(OSError):  # a full disk must not hide the error
            state.note(error)
        page.close(state.folder, "failed" if lasts(error) else "continue", error.what)
        raise
    except Exception as error:
        with suppress(OSError):
            state.note(error)
        page.close(state.folder, "continue", f"{type(error).__name__}: {error}")
        raise
    state.note("finished")
    page.close(state.folder, "finished", "The weights are exported.")


def _link_page(results: Results, model: str, folder: Path) -> None:
    """Put a name that people find beside the log: ``logs/train_model/{model}.html``.

    The page itself lies in the state folder, as what is in a declared output may be deleted before a job.
    """
    link = results.training_page(model)
    with suppress(OSError):  # some file systems have no links; the log names the page itself
        link.parent.mkdir(parents=True, exist_ok=True)
        half = link.with_name(f".{link.name}.{os.getpid()}")
        half.symlink_to(os.path.relpath(folder / page.PAGE, link.parent))
        half.replace(link)
    _logger.info("page of the training: %s", link)
