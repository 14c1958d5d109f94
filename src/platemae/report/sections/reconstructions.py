"""Crops as a model saw them, masked and rebuilt; at several mask ratios; and the fields that it rebuilds worst."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from platemae.errors import ContractError
from platemae.report.blocks import Block, Figure, Heading, Section, Table, Text, grid
from platemae.report.mosaic import crop
from platemae.report.origin import Cell, cell
from platemae.report.source import Source
from platemae.report.takeaway import file_name

ARRAYS = ("target", "masked", "reconstruction")
ROWS = ("original", "masked", "reconstructed")
MAX_TILES = 480
"""Pictures on the whole page (at most 20 kB each), so that many models still fit into an e-mail."""
WORST_SHOWN = 2

INTRO = (
    "Crops of validation wells, standardised per channel as the model sees them. Rows: the original, the part "
    "that the model was shown (hidden patches are flat grey), and its reconstruction. The grey range of a "
    "channel is that of the original."
)
RATIOS = "The same crop with ever more patches hidden; each mask holds the smaller ones."
WORST = (
    "Of all validation crops, those with the largest mean squared error of hidden pixels, in variances of the channel. "
    "Look here for debris, focus and other stains before looking for biology."
)

Arrays = Mapping[str, np.ndarray]


def build(source: Source) -> Section:
    """Return the galleries of all models that have one."""
    paths = {m: source.results.model(m) / "reconstructions.npz" for m in source.trainings}
    found = {m: arrays for m, path in paths.items() if path.is_file() and len((arrays := _read(path))["target"])}
    blocks: list[Block] = [Text(INTRO)] if found else []
    share = MAX_TILES // max(len(found), 1)
    for model, arrays in found.items():
        blocks += [Heading(model), *_model(source, model, arrays, share)]
    without = [model for model in source.models if model not in found]
    if without:
        blocks.append(Text(f"Without reconstructions: {', '.join(without)}.", "note"))
    return Section("reconstructions", "Reconstructions", blocks)


def _model(source: Source, model: str, arrays: Arrays, tiles: int) -> Iterator[Block]:
    """Yield a model's pictures while they are within ``tiles``; what is left out is said."""
    channels = _channels(source.results.model(model) / "model.json", arrays["target"].shape[1])
    most = max(1, min(source.cfg["report"]["reconstructions"], len(arrays["target"])))
    pictures = [("crop", index, len(ROWS)) for index in range(most)]
    if "ratios" in arrays:
        pictures.insert(1, ("ratios", 0, 1 + 2 * len(arrays["ratios"])))
        pictures[2:2] = [("worst", index, len(ROWS)) for index in range(min(WORST_SHOWN, len(arrays["worst"])))]
    left, dropped, kinds = tiles, 0, set[str]()
    for kind, index, rows in pictures:
        left -= rows * len(channels)
        if left < 0 and kinds:
            dropped += 1
            continue
        if kind not in kinds:
            yield from _before(kind, model, arrays)
        kinds.add(kind)
        yield _picture(kind, index, model, arrays, channels)
    if dropped:
        yield Text(f"{dropped} more pictures of {model} are left out, so that the page stays small.", "note")


def _before(kind: str, model: str, arrays: Arrays) -> Iterator[Block]:
    if kind == "ratios":
        yield Text(RATIOS)
    if kind == "worst":
        yield from (Text(WORST), _worst_table(model, arrays))


def _picture(kind: str, index: int, model: str, arrays: Arrays, channels: list[str]) -> Figure:
    names: tuple[str, ...] = ROWS
    if kind == "crop":
        images = np.stack([arrays[name][index] for name in ARRAYS])
        what = f"crop {index + 1} of {len(arrays['target'])} kept"
    elif kind == "ratios":
        pairs = zip(arrays["ratio_masked"][:, index], arrays["ratio_reconstruction"][:, index], strict=True)
        images = np.stack([arrays["target"][index], *(image for pair in pairs for image in pair)])
        names = ("original", *(f"{word}{ratio:.0%}" for ratio in arrays["ratios"] for word in ("", "rebuilt, ")))
        what = f"crop {index + 1} at {', '.join(f'{ratio:.0%}' for ratio in arrays['ratios'])} hidden"
    else:
        plate, well, site = _place(arrays, index)
        images, what = arrays["worst"][index], f"{plate}, {well}, field {site}, among the worst"
    drawing = crop(images.astype(np.float32), names, channels)
    alt = f"{what} of {model} in {len(channels)} channels ({', '.join(channels)}): {', '.join(names)}, downwards."
    width, name = 165 * len(channels) + 35, file_name(kind, model, str(index + 1))
    return Figure(drawing, alt, f"{model}, {what}", width, len(channels) > 2, name=name)


def _worst_table(model: str, arrays: Arrays) -> Table:
    path, median = f"models/{model}/reconstructions.npz", float(arrays["median_error"])
    rows = [
        [
            *_place(arrays, index),
            cell(f"{error:.3f}", path, ["worst_error"], [index]),
            cell(f"{error / median:.2f}", path, ["worst_error", "median_error"], [index], how="ratio"),
        ]
        for index, error in enumerate(arrays["worst_error"])
    ]
    columns = ("plate", "well", "field", "error", "times the median")
    caption = _of_how_many(model, arrays, path)
    return grid(rows, columns, caption, columns[3:], name=file_name("worst", model))


def _of_how_many(model: str, arrays: Arrays, path: str) -> str | Cell:
    """Say of how many validation crops they are the worst; a training of an earlier version did not keep the count."""
    if "validation_crops" not in arrays:
        return f"Worst-reconstructed crops of {model}"
    worst, of = len(arrays["worst_error"]), int(arrays["validation_crops"])
    text = f"Worst-reconstructed crops of {model}: the worst {worst} of {of} validation crops"
    return cell(text, path, ["validation_crops"])


def _place(arrays: Arrays, index: int) -> tuple[str, str, str]:
    """Return plate, well and field of one of the worst crops; a group of a plate store is row/column/field."""
    plate, group = str(arrays["worst_plate"][index]), str(arrays["worst_group"][index])
    row, column, site = group.split("/")
    return plate, f"{row}{int(column):02d}", site


def _read(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            read = {name: arrays[name] for name in arrays.files}
            np.stack([read[name] for name in ARRAYS])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ContractError(f"reconstructions cannot be read: {error}", str(path), "train the model again") from None
    return read


def _channels(path: Path, count: int) -> list[str]:
    facts = json.loads(path.read_text()) if path.is_file() else {}
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in facts.get("channels", [])]
    return names if len(names) == count else [f"channel {i + 1}" for i in range(count)]
