"""Methods: the models, their training, and how wells were embedded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from platemae.contracts import TABLE_KINDS, TRAINED_KINDS
from platemae.methods.numbers import Quoted

KINDS = {
    "mae": "a masked autoencoder [@he2022] with a vision transformer as encoder [@dosovitskiy2021], as of [@kraus2024]",
    "camae": "a channel-agnostic masked autoencoder [@kraus2024], a token a patch and channel",
    "munet": "a masked U-Net, as of [@kraus2023]",
    "wsl": "a weakly supervised classifier of perturbations, as of [@sypetkowski2023]",
    "pretrained": "a vision transformer pretrained on natural images, from timm [@wightman2019]",
    "checkpoint": "a network trained elsewhere",
    "untrained": "the same network with random weights, the floor",
    "tile_pca": "a principal component analysis of small tiles",
    "classical": "features of segmented cells in CellProfiler's definitions [@stirling2021], averaged over a well",
    "profiles": "a table of profiles, no network",
}
"""What a kind of model is, in words."""


def model_paragraphs(quoted: Quoted, cfg: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is said of models and embeddings: `methods_text` has the parameters."""
    own = [model for model in cfg["models"] if not model.get("parent")]
    found = [("Models", " ".join(_model(quoted, model) for model in own))]
    later = [model for model in cfg["models"] if model.get("parent")]
    if later:
        found[0] = ("Models", f"{found[0][1]} {' '.join(_snapshot(quoted, model) for model in later)}")
    return [*found, ("Embeddings", " ".join(_embedding(quoted, m, cfg["map_plates"]) for m in cfg["models"]))]


def _model(quoted: Quoted, model: Mapping[str, Any]) -> str:
    name, kind = model["name"], model["kind"]
    start = f"Model {quoted.words(name)} is {KINDS[kind]}"
    if kind in TABLE_KINDS:
        return f"{start}."
    file = f"models/{name}/model.json"
    shape = _listed(quoted, file, "architecture", quoted.value(file, "architecture") or {})
    text = f"{start}, with {quoted.counted(file, 'training.parameters', 'parameter')} ({shape})."
    if kind in TRAINED_KINDS and quoted.value(file, "training.steps"):
        text += " " + _training(quoted, file, model)
    source = quoted.value(file, "imported.file")
    return text + (f" Its weights come from {quoted.words(str(source), file, 'imported.file')}." if source else "")


def _training(quoted: Quoted, file: str, model: Mapping[str, Any]) -> str:
    betas = ", ".join(quoted.of(b, (file,), "settings.betas") for b in quoted.value(file, "settings.betas") or [])
    text = (
        f"It was trained on {quoted.words(str(model['dataset']))}: {quoted.counted(file, 'training.steps', 'step')} of "
        f"{quoted.counted(file, 'settings.global_batch', 'crop')}, {quoted.number(file, 'training.crops')} in all, by "
        f"Lion [@chen2023], peak learning rate {quoted.number(file, 'settings.lr')}, weight decay "
        f"{quoted.number(file, 'settings.weight_decay')}, betas {betas}, a one-cycle schedule that rises over "
        f"{quoted.number(file, 'settings.warmup_fraction')} of the steps, gradients clipped at norm "
        f"{quoted.number(file, 'settings.clip_norm')}, and seed {quoted.number(file, 'settings.seed')}."
    )
    if model["kind"] == "wsl":
        classes = quoted.number(file, "labels.classes")
        domain = quoted.value(file, "labels.domain")
        return f"{text} It tells {classes} classes apart; batch statistics are shared by {domain}."
    text += f" Share of masked patches: {quoted.number(file, 'settings.mask_ratio')}."
    if quoted.value(file, "settings.fourier_weight"):
        text += (
            f" Loss: mean squared error, and a Fourier term of weight {quoted.number(file, 'settings.fourier_weight')}."
        )
    return text


def _snapshot(quoted: Quoted, model: Mapping[str, Any]) -> str:
    file = f"models/{model['name']}/model.json"
    return (
        f"Model {quoted.words(model['name'])} is {quoted.words(model['parent'])} after "
        f"{quoted.counted(file, 'training.steps', 'step')}."
    )


def _embedding(quoted: Quoted, model: Mapping[str, Any], plates: Sequence[str]) -> str:
    files = [f"embeddings/{model['name']}/{plate}.manifest.json" for plate in plates]
    row = quoted.value(files[0], "counts.rows") or "well"
    rows = f"{quoted.counted(files, 'counts.n_rows', row)} in " if row != "well" else ""
    text = (
        f"{quoted.words(model['name'])} gives {rows}{quoted.counted(files, 'counts.wells', 'well')}, of "
        f"{quoted.counted(files[0], 'counts.dimensions', 'dimension')}"
    )
    tiles = any(quoted.value(file, "counts.tiles") for file in files)
    return text + (f", from {quoted.counted(files, 'counts.tiles', 'crop')}." if tiles else ".")


def _listed(quoted: Quoted, file: str, section: str, values: Mapping[str, Any]) -> str:
    words = []
    for key, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        where = f"{section}.{key}"
        words.append(f"{key} {quoted.number(file, where) if number else quoted.words(str(value), file, where)}")
    return ", ".join(words)
