"""What a model is keyed by: its architecture, its optimisation, and the data it learns from."""

from __future__ import annotations

from typing import Any

from platemae.contracts import Manifest
from platemae.data.groups import SAMPLING_KEYS, sampling_key
from platemae.data.labels import labels_key
from platemae.layout import Results
from platemae.models.registry import resolve
from platemae.models.settings import PRESETS, architecture
from platemae.training.settings import TrainSettings

LOADER_KEYS = (*SAMPLING_KEYS, "cache", "cache_gb")
"""Keys of the section ``train`` that the training loop does not read: which crops a step has, and from which disk."""
NOT_OF_THE_LOOP = (*LOADER_KEYS, "on_divergence")


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
    key = {
        "kind": entry["kind"],
        "architecture": architecture_of(entry),
        "optimisation": settings_of(cfg["train"]).identity(),
        "sampling": sampling_key(results, entry["dataset"], cfg["train"]),
        "dataset": data.digest,
        "intensity": intensity.digest,
    }
    if is_labelled(entry):
        key["labels"] = labels_key(results, entry["dataset"], entry["label"], entry["domain"])
    return key


def is_labelled(entry: dict[str, Any]) -> bool:
    """Tell whether a model learns from labels beside pixels."""
    return "label" in entry


def architecture_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of an entry's network: those of its preset, and its own above them."""
    described = getattr(resolve(entry["kind"]), "describe", None)
    if described is not None:
        return dict(described(entry))
    if entry["kind"] != "tile_pca":
        return architecture(entry["preset"], **entry["architecture"]).to_dict()
    # Of a preset, a tile PCA takes the crop alone: the networks beside it then see the same fields in the same pieces.
    return {"crop_px": PRESETS[entry["preset"]].crop_px if entry["preset"] in PRESETS else 128} | entry["architecture"]


def settings_of(section: dict[str, Any]) -> TrainSettings:
    """Return what the loop reads of the section ``train``; the rest is the sampler's."""
    return TrainSettings(**{key: value for key, value in section.items() if key not in NOT_OF_THE_LOOP})
