"""The files of a model: written whole, and copied out of the state folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from platemae.contracts import Manifest
from platemae.fingerprint import digest_array, digest_json
from platemae.making.model import Model
from platemae.models.export import FACTS, WEIGHTS, load_model, save_model
from platemae.store.swap import replaced_folder
from platemae.training.monitor import WALL_CLOCK

HISTORY, RECONSTRUCTIONS = "history.parquet", "reconstructions.npz"
FILES = (WEIGHTS, FACTS, HISTORY, RECONSTRUCTIONS)
LOSSES = ("loss", "mse", "fourier", "val_loss", "val_mse", "val_fourier")
_OF_THE_RUN = ("seconds", "gpu_hours", "core_hours", "attempts")
"""Training facts that a manifest does not hold: equal weights have equal manifests."""
COLUMNS = ("step", "crops", "lr", "grad_norm", "grad_norm_max", "loss_max", *LOSSES, *WALL_CLOCK)


def write_files(made: Path, model: Model, facts: dict[str, Any], shown: dict[str, np.ndarray]) -> None:
    """Write a model's files into a folder that appears whole."""
    # A name of its own: where SLURM lost a node that works on, the same training runs twice for a while.
    with replaced_folder(made) as temporary:
        save_model(temporary, model.module.cpu(), facts)
        kinds = dict.fromkeys(COLUMNS, "float64") | {"step": "int64", "crops": "int64"}
        table = pd.DataFrame(model.history, columns=list(COLUMNS)).astype(kinds)
        table.to_parquet(temporary / HISTORY, index=False)
        np.savez(temporary / RECONSTRUCTIONS, allow_pickle=False, **shown)


def export(finished: Path, target: Path, accepted: Sequence[dict[str, str]]) -> Manifest:
    """Copy the finished files out, each in one step, and return the manifest."""
    module, facts = load_model(finished)
    target.mkdir(parents=True, exist_ok=True)
    for torn in target.glob(".*.tmp-*"):
        torn.unlink()
    for name in FILES:
        temporary = target / f".{name}.tmp-{os.getpid()}"
        shutil.copyfile(finished / name, temporary)
        temporary.replace(target / name)
    counts = {k: _short(v) for k, v in facts["training"].items() if k not in _OF_THE_RUN}
    counts |= {"kind": facts["kind"], "channels": [c["name"] for c in facts["channels"]]}
    counts["crop_px"] = facts["architecture"]["crop_px"]
    warnings = [f"code {c['to'][:12]} went on from what {str(c['from'])[:12]} made: accepted" for c in accepted]
    if "diverged_at" in counts:
        warnings.append(f"the training diverged at step {counts['diverged_at']}; the model is what it was before")
    return Manifest("train_model", model_digest(module, facts), counts, warnings)


def model_digest(module: nn.Module, facts: dict[str, Any]) -> str:
    """Return the digest of a network: weights, architecture, and what of its input it expects."""
    weights = {name: digest_array(value.numpy()) for name, value in module.state_dict().items()}
    content = {key: facts[key] for key in ("kind", "architecture", "channels", "pixel_size_um", "intensity")}
    return digest_json(content | {"weights": weights})


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
