"""Make a model: train it, fit it, take the weights of its backbone, or leave it as it was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from platemae.config.plates import resolve as resolve_path
from platemae.contracts import is_optimised
from platemae.data.crops import default_cache_bytes, training_batches
from platemae.data.dataset import open_training_set
from platemae.data.groups import groups_of, read_groups
from platemae.data.labels import domain_sampler, labelled_validation, read_labels
from platemae.data.node_cache import NodeCache
from platemae.data.sampler import Sampler
from platemae.errors import DivergedError
from platemae.layout import Results
from platemae.live.watch import Watch
from platemae.making.facts import facts_of, step_flops
from platemae.making.files import write_files
from platemae.making.gallery import gallery
from platemae.making.key import architecture_of, is_labelled, settings_of
from platemae.making.model import VALIDATION_CROPS, Model, device
from platemae.making.shown import accuracy, crops_so_far, untrained_row
from platemae.making.snapshots import Keeper, asked
from platemae.models.registry import build
from platemae.training import distributed
from platemae.training.loop import log_event, train


def make(results: Results, cfg: dict[str, Any], state: Path, made: Path, threads: int, base: Path = Path()) -> None:
    """Fit a model and write its files into the folder ``made``, which appears complete; rank 0 writes."""
    torch.set_num_threads(threads)
    entry = cfg["model"]
    model = _drawn(results, cfg)
    batches = _batches(results, model, cfg["train"], threads)
    checked = model.validation if model.labels is None else _labelled_validation(model)
    if is_optimised(entry["kind"], model.settings.steps):
        _optimise(results, cfg, model, batches, checked, state, threads)
        if not distributed.ranks().is_main:
            return
    elif entry["kind"] == "tile_pca":
        _fit_tile_pca(model, batches(0))
    elif entry["kind"] == "pretrained":
        model.module.take_weights(None if entry["file"] is None else resolve_path(entry["file"], base), entry["sha256"])
    else:
        model.module.to(device(model.settings))
        model.history = [untrained_row(model, checked)]
    write_files(made, model, facts_of(results, model), gallery(model))


def _drawn(results: Results, cfg: dict[str, Any]) -> Model:
    """Return the network as it was drawn, with what it learns from."""
    entry, settings, spec = cfg["model"], settings_of(cfg["train"]), architecture_of(cfg["model"])
    memory = default_cache_bytes(distributed.ranks().neighbours)
    data = open_training_set(
        results, entry["dataset"], entry["intensity"], spec["crop_px"], memory, cache=_cache(cfg["train"])
    )
    labels = read_labels(results, entry["dataset"], entry["label"], entry["domain"]) if is_labelled(entry) else None
    spec |= {} if labels is None else {"n_classes": len(labels.classes)}
    module = build(entry["kind"], spec, len(data.channels), settings.seed)
    validation = data.validation_batches(VALIDATION_CROPS, min(64, settings.global_batch), settings.seed)
    return Model(entry, settings, data, module, validation, labels)


def _batches(results: Results, model: Model, train: dict[str, Any], threads: int) -> Callable[[int], Iterator[Any]]:
    """Return the batches of this process from a step on."""
    mine = distributed.ranks()
    here = distributed.choose_device(model.settings.device, mine)
    # On a CPU the step needs the cores itself; beside a GPU all of them decode.
    readers = threads if here.type == "cuda" else max(1, threads // 4)
    return training_batches(
        model.data.train,
        _sampler(results, model, train),
        rank=mine.rank,
        world=mine.world_size,
        threads=readers,
        labels=None if model.labels is None else model.labels.of_F["train"],
        device=here,
    )


def _optimise(
    results: Results,
    cfg: dict[str, Any],
    model: Model,
    batches: Callable[[int], Iterator[Any]],
    checked: list[Any],
    state: Path,
    threads: int,
) -> None:
    """Train step by step, and note on the main process what it cost; a divergence is noted where that is asked for."""
    watch = Watch(state, _about(model), threads, log_event, lambda: crops_so_far(model))
    keep = Keeper(results, model, checked, state, watch)
    try:
        flops = step_flops(model)
        model.history = list(train(model.module, batches, checked, model.settings, state, keep, flops, asked(state)))
    except DivergedError as error:
        if cfg["train"]["on_divergence"] == "stop":
            raise
        model.history, model.diverged_at = list(error.history), error.step
    if distributed.ranks().is_main:
        model.extra = watch.cost() | ({} if model.labels is None else accuracy(model, checked))


def _about(model: Model) -> dict[str, str]:
    """Return what the page of a training says of it."""
    data = model.data
    return {
        "model": model.entry["name"],
        "kind": model.entry["kind"],
        "parameters": f"{sum(weights.numel() for weights in model.module.parameters()):,}",
        "dataset": f"{model.entry['dataset']}: {len(data.train.fields):,} fields of {', '.join(data.plates)}",
        "channels": ", ".join(channel.name for channel in data.channels),
    }


def _cache(train: dict[str, Any]) -> NodeCache | None:
    return NodeCache(train["cache"], train["cache_gb"]) if train.get("cache") else None


def _sampler(results: Results, model: Model, train: dict[str, Any]) -> Sampler:
    source, per_field = model.data.train, train["crops_per_field"]
    how = (model.settings.global_batch, model.settings.seed, train["flip"])
    group_F = read_groups(results, model.entry["dataset"], train["sampling"])
    if model.labels is not None:
        return domain_sampler(source, model.labels, *how, group_F, per_field)
    return source.sampler(*how, () if group_F is None else groups_of(group_F, np.arange(len(group_F))), per_field)


def _labelled_validation(model: Model) -> list[Any]:
    assert model.labels is not None
    batch = min(64, model.settings.global_batch)
    return labelled_validation(model.data.validation, model.labels, VALIDATION_CROPS, batch, model.settings.seed)


def _fit_tile_pca(model: Model, batches: Any) -> None:
    """Fit on as many crops as ``train.steps`` allows and 20 tiles a covariance row need; more change little."""
    module, batch = model.module.to(device(model.settings)), model.settings.global_batch
    tiles = (module.spec.crop_px // module.spec.tile_px) ** 2 * batch
    steps = min(model.settings.steps, -(-20 * len(module.tile_mean) // tiles))
    count = module.fit(islice(batches, steps))
    batches.close()
    model.extra = {"crops": steps * batch, "tiles": count, "variance_share": float(module.variance_share)}
