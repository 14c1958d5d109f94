"""Crops as the model saw them, masked and reconstructed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from platemae.errors import ContractError
from platemae.report.blocks import Block, Figure, Heading, Section, Text
from platemae.report.figures import crop
from platemae.report.source import Source

ARRAYS = ("target", "masked", "reconstruction")
ROWS = ("original", "masked", "reconstructed")
MAX_COLUMNS = 96
"""Crops times channels on the whole page (about 100 kB each), so that many models still fit into an e-mail."""


def build(source: Source) -> Section:
    """Return the galleries of all models that have one."""
    blocks: list[Block] = [
        Text(
            "Crops of validation wells, standardised per channel as the model sees them. Rows: the original, the part "
            "that the model was shown (hidden patches are flat grey), and its reconstruction. The grey range of a "
            "channel is that of the original."
        )
    ]
    paths = {m: source.results.model(m) / "reconstructions.npz" for m in source.trainings}
    having = [m for m, path in paths.items() if path.is_file() and _read(path).shape[1]]
    left, shown = MAX_COLUMNS, 0
    for model in having:
        most = min(source.cfg["report"]["reconstructions"], left)
        figures, width = _gallery(source, model, most, MAX_COLUMNS // len(having))
        left -= width * len(figures)
        if left < 0:
            break
        blocks += [Heading(model), *figures]
        shown += 1
    without = [model for model in source.models if model not in having]
    if without:
        blocks.append(Text(f"Without reconstructions: {', '.join(without)}.", "note"))
    if shown < len(having):
        blocks.append(Text(f"Of {len(having)} models the first {shown} are shown.", "note"))
    return Section("reconstructions", "Reconstructions", blocks if having else blocks[1:])


def _gallery(source: Source, model: str, most: int, columns: int) -> tuple[list[Block], int]:
    """Return a model's figures, within ``most`` crops and about ``columns`` panels across, and its channel count."""
    folder = source.results.model(model)
    images = _read(folder / "reconstructions.npz")
    channels = _channels(folder / "model.json", images.shape[2])
    figures: list[Block] = []
    for index in range(min(most, images.shape[1], max(1, columns // len(channels)))):
        alt = (
            f"Crop {index + 1} of {model} in {len(channels)} channels ({', '.join(channels)}): original, masked and "
            "reconstructed, one below the other."
        )
        uri = crop(images[:, index], ROWS, channels)
        figures.append(Figure(uri, alt, f"{model}, crop {index + 1}", 165 * len(channels) + 35, len(channels) > 2))
    return figures, len(channels)


def _read(path: Path) -> np.ndarray:
    """Return (3, crops, channels, height, width)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return np.stack([arrays[name].astype(np.float32) for name in ARRAYS])
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ContractError(f"reconstructions cannot be read: {error}", str(path), "train the model again") from None


def _channels(path: Path, count: int) -> list[str]:
    facts = json.loads(path.read_text()) if path.is_file() else {}
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in facts.get("channels", [])]
    return names if len(names) == count else [f"channel {i + 1}" for i in range(count)]
