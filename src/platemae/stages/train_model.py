"""train_model: train a network, or go on with its training, or export again what is finished.

The training lives in a state folder outside the declared outputs, keyed by architecture, optimisation and data. Several
processes run this module under torchrun; the first of them leaves the finished model in the state folder.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from platemae import logs
from platemae.config.plates import resolve as resolve_path
from platemae.contracts import TRAINED_KINDS, Manifest, write_text
from platemae.data.channels import channels_of_model
from platemae.data.crops import default_cache_bytes, training_batches
from platemae.data.dataset import Channels, TrainingSet, open_training_set
from platemae.data.labels import Labels, domain_sampler, labelled_validation, labels_key, read_labels
from platemae.data.sampler import Sampler
from platemae.data.training_state import FINISHED, TrainingState, join_lease, lease
from platemae.errors import ConfigError, PlatemaeError, TrainingError
from platemae.fingerprint import digest_array, digest_json
from platemae.layout import Results
from platemae.models.export import FACTS, WEIGHTS, load_model, save_model
from platemae.models.flops import counted_flops
from platemae.models.normalise import standardise
from platemae.models.registry import build, resolve
from platemae.models.settings import PRESETS, architecture
from platemae.models.sources import reader_of
from platemae.store.intensity_map import IntensityMap
from platemae.store.plate_reader import StoreChannel
from platemae.training import distributed
from platemae.training.checkpoint import CheckpointStore
from platemae.training.launch import launch
from platemae.training.loop import train
from platemae.training.monitor import WALL_CLOCK
from platemae.training.randomness import VALIDATE, draw
from platemae.training.settings import TrainSettings

STAGE = "train_model"
HISTORY, RECONSTRUCTIONS = "history.parquet", "reconstructions.npz"
FILES = (WEIGHTS, FACTS, HISTORY, RECONSTRUCTIONS)
VALIDATION_CROPS, SHOWN_CROPS = 128, 12
WAIT_SECONDS = 600.0
"""How long a job waits for another that trains the same network: two models may differ in how they embed alone."""
LOSSES = ("loss", "mse", "fourier", "val_loss", "val_mse", "val_fourier")
SHOWN = ("target", "masked", "reconstruction")
COLUMNS = ("step", "crops", "lr", "grad_norm", *LOSSES, *WALL_CLOCK)


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
            _take(results, cfg, made, base, threads)
        else:
            _make(results, cfg, made, made, threads, base)
        manifest = _export(made, target, [])
        shutil.rmtree(made)
        return manifest
    key = training_key(results, cfg)
    state = TrainingState(results.training_state(digest_json(key)[:32]), code)
    with lease(state.folder, WAIT_SECONDS):
        started = state.finished.is_dir() or bool(CheckpointStore(state.folder, {}).files())
        state.enter(key, started=started, retrain=retrain, accept_code=accept_code)
        if not state.finished.is_dir():
            _train(results, cfg, state.folder, threads, processes)
        return _export(state.finished, target, state.accepted())


def training_key(results: Results, cfg: dict[str, Any]) -> dict[str, Any]:
    """Return what the weights depend on, code left out: architecture, optimisation and data.

    Raises
    ------
    PlatemaeError
        When an upstream manifest is missing, or the architecture is wrong.
    """
    entry = cfg["model"]
    data = Manifest.read(results.manifest("build_dataset", dataset=entry["dataset"]))
    intensity = Manifest.read(results.manifest("fit_intensity", intensity=entry["intensity"]))
    return {
        "kind": entry["kind"],
        "architecture": _architecture(entry),
        "optimisation": _settings(cfg["train"]).identity() | {"flip": cfg["train"]["flip"]},
        "dataset": data.digest,
        "intensity": intensity.digest,
    } | ({"labels": labels_key(results, entry["dataset"], entry["label"], entry["domain"])} if _labelled(entry) else {})


def _labelled(entry: dict[str, Any]) -> bool:
    return "label" in entry


def _architecture(entry: dict[str, Any]) -> dict[str, Any]:
    described = getattr(resolve(entry["kind"]), "describe", None)
    if described is not None:
        return dict(described(entry))
    if entry["kind"] != "tile_pca":
        return architecture(entry["preset"], **entry["architecture"]).to_dict()
    # Of a preset, a tile PCA takes the crop alone: the networks beside it then see the same fields in the same pieces.
    return {"crop_px": PRESETS[entry["preset"]].crop_px if entry["preset"] in PRESETS else 128} | entry["architecture"]


def _settings(section: dict[str, Any]) -> TrainSettings:
    return TrainSettings(**{key: value for key, value in section.items() if key != "flip"})


# -- making the model -------------------------------------------------------------------------------------------------


def _train(results: Results, cfg: dict[str, Any], folder: Path, threads: int, processes: int) -> None:
    """Train in this process or in several; the finished model then lies in the state folder."""
    if processes == 1:
        _make(results, cfg, folder, folder / FINISHED, threads)
        return
    job = {"results": str(results.root), "cfg": cfg, "folder": str(folder), "threads": max(1, threads // processes)}
    path, failure = folder / "job.json", folder / "error.json"
    failure.unlink(missing_ok=True)
    write_text(path, json.dumps(job))
    try:
        launch(["-m", "platemae.stages.train_model", str(path)], processes)
    except TrainingError:
        if failure.exists():
            raise TrainingError(**json.loads(failure.read_text())) from None
        raise


@dataclass
class _Model:
    """A model being made: what it is, what it learns from, and what became of it."""

    entry: dict[str, Any]
    settings: TrainSettings
    data: TrainingSet
    module: Any
    validation: list[np.ndarray]
    labels: Labels | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def masks(self) -> bool:
        """Whether the network learns from masked crops."""
        return hasattr(self.module, "noise_sizes")


def _make(results: Results, cfg: dict[str, Any], state: Path, made: Path, threads: int, base: Path = Path()) -> None:
    """Fit a model and write its files into the folder ``made``, which appears complete; rank 0 writes."""
    torch.set_num_threads(threads)
    entry, mine = cfg["model"], distributed.ranks()
    settings, spec = _settings(cfg["train"]), _architecture(entry)
    memory = default_cache_bytes(mine.world_size)
    data = open_training_set(results, entry["dataset"], entry["intensity"], spec["crop_px"], memory)
    labels = read_labels(results, entry["dataset"], entry["label"], entry["domain"]) if _labelled(entry) else None
    spec |= {} if labels is None else {"n_classes": len(labels.classes)}
    module = build(entry["kind"], spec, len(data.channels), settings.seed)
    validation = data.validation_batches(VALIDATION_CROPS, min(64, settings.global_batch), settings.seed)
    model = _Model(entry, settings, data, module, validation, labels)
    # On a CPU the step needs the cores itself; beside a GPU all of them decode.
    readers = threads if torch.cuda.is_available() else max(1, threads // 4)
    batches = training_batches(
        data.train,
        _sampler(model, cfg["train"]["flip"]),
        rank=mine.rank,
        world=mine.world_size,
        threads=readers,
        labels=None if labels is None else labels.of_F["train"],
    )
    if entry["kind"] in TRAINED_KINDS:
        checked = validation if labels is None else _labelled_validation(model)
        model.history = list(train(module, batches, checked, settings, state))
        if not mine.is_main:
            return
        model.extra = {} if labels is None else _accuracy(model, checked)
    elif entry["kind"] == "tile_pca":
        _fit_tile_pca(model, batches(0))
    elif entry["kind"] == "pretrained":
        model.module.take_weights(None if entry["file"] is None else resolve_path(entry["file"], base), entry["sha256"])
    else:
        module.to(_device())
        model.history = [_untrained_row(model)]
    _write(made, model, _facts(results, model), _reconstructions(model))


def _take(results: Results, cfg: dict[str, Any], made: Path, base: Path, threads: int) -> None:
    """Write the files of a model whose weights come from a file, and what it makes of crops of its dataset."""
    torch.set_num_threads(threads)
    entry, settings = cfg["model"], _settings(cfg["train"])
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
    model = _Model(entry, settings, data, taken.module.to(_device()), validation)
    # A network for any channels has a decoder for those of its training alone.
    whole = len(data.channels) == taken.module.n_channels
    if model.masks:
        model.history = [_untrained_row(model) if whole else {"step": 0, "crops": 0}]
    shown = _reconstructions(model) if whole else dict.fromkeys(SHOWN, validation[0][:0])
    here = _facts(results, model)
    _write(made, model, here | _taken_facts(taken, here), shown)


def _taken_facts(taken: Any, here: dict[str, Any]) -> dict[str, Any]:
    """Return what ``model.json`` says of the training that a file comes from, where the file says it."""
    own = taken.facts.get("training", {})
    of_training = ("steps", "crops", "flops", "seconds", "train_fields", "validation_fields")
    return {
        "kind": taken.kind,
        "pixel_size_um": taken.facts.get("pixel_size_um", here["pixel_size_um"]),
        "dataset": taken.facts.get("dataset", ""),
        "plates": taken.facts.get("plates", []),
        "settings": taken.facts.get("settings", {}),
        "training": here["training"] | {key: own[key] for key in of_training if key in own},
        "imported": taken.source,
    }


def _sampler(model: _Model, flip: bool) -> Sampler:
    source, batch, seed = model.data.train, model.settings.global_batch, model.settings.seed
    if model.labels is None:
        return source.sampler(batch, seed, flip)
    return domain_sampler(source, model.labels, batch, seed, flip)


def _labelled_validation(model: _Model) -> list[Any]:
    assert model.labels is not None
    batch = min(64, model.settings.global_batch)
    return labelled_validation(model.data.validation, model.labels, VALIDATION_CROPS, batch, model.settings.seed)


@torch.no_grad()
def _accuracy(model: _Model, validation: list[Any]) -> dict[str, Any]:
    """Return the number of classes, and the share of validation crops whose class is the likeliest."""
    module = model.module.eval()
    device, facts = next(module.parameters()).device, {"classes": module.head_spec.n_classes}
    right = [
        module.classify(torch.from_numpy(x_BCHW).to(device)).argmax(1).cpu().numpy() == label_B
        for x_BCHW, label_B in validation
    ]
    return facts | ({"val_accuracy": float(np.concatenate(right).mean())} if right else {})


def _device() -> torch.device:
    return distributed.choose_device("auto", distributed.Ranks())


def _fit_tile_pca(model: _Model, batches: Any) -> None:
    """Fit on as many crops as ``train.steps`` allows and 20 tiles a covariance row need; more change little."""
    module, batch = model.module.to(_device()), model.settings.global_batch
    tiles = (module.spec.crop_px // module.spec.tile_px) ** 2 * batch
    steps = min(model.settings.steps, -(-20 * len(module.tile_mean) // tiles))
    count = module.fit(torch.from_numpy(x_BCHW) for x_BCHW in islice(batches, steps))
    batches.close()
    model.extra = {"crops": steps * batch, "tiles": count, "variance_share": float(module.variance_share)}


@torch.no_grad()
def _untrained_row(model: _Model) -> dict[str, Any]:
    """Return the history of a network that was not trained: its validation loss, at step 0."""
    module, seed = model.module.eval(), model.settings.seed
    sums, count, device = np.zeros(3), 0, next(module.parameters()).device
    for index, x_BCHW in enumerate(model.validation):
        noise_BN, _ = draw(seed, VALIDATE, index, len(x_BCHW), module.noise_sizes, slice(None))
        parts = module(torch.from_numpy(x_BCHW).to(device), noise_BN.to(device), None, model.settings.objective)
        sums += len(x_BCHW) * np.array([float(part) for part in parts])
        count += len(x_BCHW)
    return {"step": 0, "crops": 0} | dict(zip(LOSSES[3:], (sums / count).tolist(), strict=True))


def _facts(results: Results, model: _Model) -> dict[str, Any]:
    """Return what ``model.json`` says beside the architecture."""
    data, module, settings = model.data, model.module, model.settings
    last = model.history[-1] if model.history else {}
    steps = int(last.get("step", 0))
    power_K = torch.cat([standardise(torch.from_numpy(x)).square().mean((1, 2, 3)) for x in model.validation])
    training: dict[str, Any] = {
        "steps": steps,
        "crops": steps * settings.global_batch,
        "parameters": sum(p.numel() for p in module.parameters()) or sum(b.numel() for b in module.buffers()),
        "flops": _step_flops(model) * steps,
        "train_fields": len(data.train.fields),
        "validation_fields": len(data.validation.fields),
        "input_variance": float(power_K.mean()),
    }
    known = {name: last[name] for name in (*LOSSES, "seconds") if last.get(name) is not None}
    training |= {name: value for name, value in known.items() if np.isfinite(value)}
    if "val_mse" in training:
        training["val_mse_share"] = training["val_mse"] / training["input_variance"]
    return {
        "kind": model.entry["kind"],
        "channels": [{"name": c.name, "stain": c.stain} for c in data.channels],
        "pixel_size_um": data.pixel_size_um,
        "intensity": IntensityMap.read(results.intensity(model.entry["intensity"])).to_json(),
        "dataset": model.entry["dataset"],
        "plates": list(data.plates),
        "settings": settings.identity(),
        **({} if model.labels is None else {"labels": _label_facts(model)}),
        "training": training | model.extra,
    }


def _label_facts(model: _Model) -> dict[str, Any]:
    assert model.labels is not None
    return {"of": model.entry["label"], "domain": model.entry["domain"], "classes": list(model.labels.classes)}


def _step_flops(model: _Model) -> int:
    """Return the operations of one step: forward, and about twice that backward."""
    if not model.masks:
        return 0
    module, settings = model.module, model.settings
    closed_form = getattr(module, "forward_flops", None)
    forward = closed_form(settings.mask_ratio) if closed_form else counted_flops(module)
    return 3 * forward * settings.global_batch


@torch.no_grad()
def _reconstructions(model: _Model) -> dict[str, np.ndarray]:
    """Return a few fixed validation crops: target, masked (NaN where hidden) and reconstruction, (K, C, H, W).

    A network that reconstructs nothing shows none, K = 0.
    """
    module, settings, crops_BCHW = model.module.eval(), model.settings, np.concatenate(model.validation)
    if not hasattr(module, "reconstruct"):
        return dict.fromkeys(SHOWN, crops_BCHW[:0])
    chosen = crops_BCHW[np.linspace(0, len(crops_BCHW) - 1, SHOWN_CROPS).round().astype(int)]
    x = torch.from_numpy(chosen).to(next(iter(module.state_dict().values())).device)
    if model.masks:
        index = len(model.validation)  # a mask that no validation batch has
        noise_BN, _ = draw(settings.seed, VALIDATE, index, len(x), module.noise_sizes, slice(None))
        images = module.reconstruct(x, noise_BN.to(x.device), settings.mask_ratio)
    else:
        target, kept = module.reconstruct(x)
        images = (target, target, kept)
    return {name: image.float().cpu().numpy() for name, image in zip(SHOWN, images, strict=True)}


def _write(made: Path, model: _Model, facts: dict[str, Any], shown: dict[str, np.ndarray]) -> None:
    """Write a model's files into a folder that appears whole."""
    temporary = made.with_name(f".{made.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_model(temporary, model.module.cpu(), facts)
    kinds = dict.fromkeys(COLUMNS, "float64") | {"step": "int64", "crops": "int64"}
    table = pd.DataFrame(model.history, columns=list(COLUMNS)).astype(kinds)
    table.to_parquet(temporary / HISTORY, index=False)
    np.savez(temporary / RECONSTRUCTIONS, allow_pickle=False, **shown)
    temporary.replace(made)


# -- export -----------------------------------------------------------------------------------------------------------


def _export(finished: Path, target: Path, accepted: Sequence[dict[str, str]]) -> Manifest:
    """Copy the finished files out, each in one step, and return the manifest."""
    module, facts = load_model(finished)
    target.mkdir(parents=True, exist_ok=True)
    for torn in target.glob(".*.tmp-*"):
        torn.unlink()
    for name in FILES:
        temporary = target / f".{name}.tmp-{os.getpid()}"
        shutil.copyfile(finished / name, temporary)
        temporary.replace(target / name)
    weights = {name: digest_array(value.numpy()) for name, value in module.state_dict().items()}
    content = {key: facts[key] for key in ("kind", "architecture", "channels", "pixel_size_um", "intensity")}
    counts = {k: _short(v) for k, v in facts["training"].items() if k != "seconds"}
    counts |= {"kind": facts["kind"], "channels": [c["name"] for c in facts["channels"]]}
    counts["crop_px"] = facts["architecture"]["crop_px"]
    warnings = [f"code {c['to'][:12]} went on from what {str(c['from'])[:12]} made: accepted" for c in accepted]
    return Manifest(STAGE, digest_json(content | {"weights": weights}), counts, warnings)


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


# -- one of several processes -----------------------------------------------------------------------------------------


def main(path: Path) -> int:
    """Run one process of a data-parallel training, as ``_train`` asked for in the job file."""
    job = json.loads(path.read_text())
    folder, mine = Path(job["folder"]), distributed.ranks()
    logs.start(STAGE)
    if mine.is_main:
        join_lease(folder)
    try:
        _make(Results(Path(job["results"])), job["cfg"], folder, folder / FINISHED, job["threads"])
    except PlatemaeError as error:
        write_text(
            folder / "error.json", json.dumps({"what": error.what, "where": error.where, "remedy": error.remedy})
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
