"""Make a model of a file: weights from elsewhere, in the channels and with the intensity map of this screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from platemae.config.plates import resolve as resolve_path
from platemae.data.channels import channels_of_model
from platemae.data.dataset import Channels, open_training_set
from platemae.errors import ConfigError
from platemae.layout import Results
from platemae.making.facts import facts_of
from platemae.making.files import write_files
from platemae.making.gallery import gallery
from platemae.making.key import settings_of
from platemae.making.model import VALIDATION_CROPS, Model, device
from platemae.making.shown import SHOWN, untrained_row
from platemae.models.sources import reader_of
from platemae.store.plate_reader import StoreChannel


def take(results: Results, cfg: dict[str, Any], made: Path, base: Path, threads: int) -> None:
    """Write the files of a model whose weights come from a file, and what it makes of crops of its dataset."""
    torch.set_num_threads(threads)
    entry, settings = cfg["model"], settings_of(cfg["train"])
    taken = reader_of(entry["kind"])(resolve_path(entry["file"], base), entry["sha256"])
    if taken.kind == "wsl":
        what = "a classifier is not taken from a file: its batch statistics belong to the plates it is trained with"
        raise ConfigError(what, f"models.{entry['name']}.file", "Train it here, kind wsl.")

    def choose(found: Channels) -> Channels:
        wanted = [StoreChannel(c["name"], c["stain"]) for c in taken.facts.get("channels", [])]
        some = getattr(taken.module, "any_channels", False)
        return channels_of_model(found, wanted, some, f"model {entry['name']}") if wanted else found

    crop = taken.module.spec.crop_px
    data = open_training_set(results, entry["dataset"], entry["intensity"], crop, 0, choose)
    validation = data.validation_batches(VALIDATION_CROPS, min(64, settings.global_batch), settings.seed)
    model = Model(entry, settings, data, taken.module.to(device(settings)), validation)
    # A network for any channels has a decoder for those of its training alone.
    whole = len(data.channels) == taken.module.n_channels
    if model.masks:
        model.history = [untrained_row(model, validation) if whole else {"step": 0, "crops": 0}]
    shown = gallery(model) if whole else dict.fromkeys(SHOWN, validation[0][:0])
    here = facts_of(results, model)
    write_files(made, model, here | _taken_facts(taken, here), shown)


def _taken_facts(taken: Any, here: dict[str, Any]) -> dict[str, Any]:
    """Return what ``model.json`` says of the training that a file comes from, where the file says it."""
    own = taken.facts.get("training", {})
    of_training = ("steps", "crops", "flops", "seconds", "train_fields", "validation_fields")
    return {
        "kind": taken.kind,
        "pixel_size_um": taken.facts.get("pixel_size_um"),  # null where its file does not say: nobody knows
        "dataset": taken.facts.get("dataset", ""),
        "plates": taken.facts.get("plates", []),
        "settings": taken.facts.get("settings", {}),
        "training": here["training"] | {key: own[key] for key in of_training if key in own},
        "imported": taken.source,
    }
