"""Methods: plates, their quality, the intensity map, the training sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from platemae.errors import number_of
from platemae.methods.numbers import Quoted

Paragraph = tuple[str, str]
NAMED = 6
"""Units that the text names."""


def image_paragraphs(quoted: Quoted, cfg: Mapping[str, Any]) -> list[Paragraph]:
    """Return what is said of images: `methods_text` has the parameters."""
    found = [("Plates", _plates(quoted, cfg["plates"]))]
    manifests = [f"plates/{plate}.manifest.json" for plate in cfg["plates"]]
    imaged = [
        plate for plate, file in zip(cfg["plates"], manifests, strict=True) if quoted.value(file, "counts.channels")
    ]
    if imaged:
        found.append(("Quality control", _quality(quoted, imaged, cfg["exclude_failed"])))
    maps = dict.fromkeys(model["intensity"] for model in cfg["models"] if model.get("intensity"))
    found += [("Intensity", " ".join(_intensity(quoted, name) for name in maps))] if maps else []
    sets = dict.fromkeys(model["dataset"] for model in cfg["models"] if model.get("dataset"))
    found += [("Training images", " ".join(_dataset(quoted, name) for name in sets))] if sets else []
    return found


def _plates(quoted: Quoted, plates: Sequence[str]) -> str:
    manifests = [f"plates/{plate}.manifest.json" for plate in plates]
    fields = tuple(f"plates/{plate}.fields.parquet" for plate in plates)
    columns = ["plate", "batch", "well", "control_type"]
    rows = pd.concat([quoted.table(name, columns) for name in fields])
    wells = rows.drop_duplicates(["plate", "well"])
    batches = quoted.of(int(rows["batch"].nunique()), fields, "batch")
    negative = quoted.of(int((wells["control_type"] == "negcon").sum()), fields, "control_type=negcon")
    channels = {name: file for file in reversed(manifests) for name in quoted.value(file, "counts.channels") or []}
    text = (
        f"The screen has {number_of(quoted.of(len(plates), (), 'plates'), 'plate')} in {number_of(batches, 'batch')}: "
        f"{quoted.counted(manifests, 'counts.wells', 'well')}, of which {negative} with negative controls, and "
        f"{quoted.counted(manifests, 'counts.fields', 'field')}."
    )
    if not channels:
        return text
    named = ", ".join(quoted.words(name, file, "counts.channels") for name, file in channels.items())
    text += f" Channels: {named}. "
    sizes = {quoted.value(file, "counts.pixel_size_um"): file for file in manifests}
    known = [quoted.number(file, "counts.pixel_size_um") for size, file in sizes.items() if size]
    text += f"Pixel size: {', '.join(known)} micrometres. " if known else ""
    return text + "Pixels were kept in OME-Zarr plate stores [@moore2021]."


def _quality(quoted: Quoted, plates: Sequence[str], excluded: bool) -> str:
    files = [f"qc/{plate}.manifest.json" for plate in plates]
    reasons: dict[str, int] = {}
    for file in files:
        for reason, count in (quoted.value(file, "counts.failed_by") or {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
    why = ", ".join(
        f"{reason} {quoted.of(n, tuple(files), f'counts.failed_by.{reason}')}" for reason, n in reasons.items()
    )
    end = "were left out" if excluded else "were kept in embeddings"
    return (
        f"Focus, saturation, background and foreground of each field and channel were measured on source pixels; "
        f"{quoted.number(files, 'counts.failed')} of {quoted.counted(files, 'counts.fields', 'field')} failed"
        + (f" (by reason, of which a field may have several: {why})" if why else "")
        + f" and {end}."
    )


def _intensity(quoted: Quoted, name: str) -> str:
    file = f"intensity/{name}.manifest.json"
    if not quoted.value(file, "counts.units"):
        return (
            f"The intensity map {quoted.words(name)} takes fixed limits of each channel to {quoted.words('0..255')}, "
            "as networks expect; they are the same for all plates, and fitted on none."
        )
    fields = quoted.value(file, "counts.fields")
    total = sum(fields.values()) if isinstance(fields, dict) else fields or 0
    count = number_of(quoted.of(total, (file,), "counts.fields"), "field")
    return (
        f"The intensity map {quoted.words(name)} takes each channel to {quoted.words('0..255')}, as networks expect; "
        f"it was fitted on {count}, with {quoted.counted(file, 'counts.units', 'map')}{_of_units(quoted, file)}."
    )


def _of_units(quoted: Quoted, file: str) -> str:
    """Say of which plates or batches the maps are, where these are few."""
    units = quoted.value(file, "counts.units") or []
    if units == ["all"]:
        return " for all plates"
    named = ", ".join(quoted.words(str(unit), file, "counts.units") for unit in units[:NAMED])
    return f": {named}" + (" and so on" if len(units) > NAMED else "") if named else ""


def _dataset(quoted: Quoted, name: str) -> str:
    file = f"datasets/{name}.manifest.json"
    return (
        f"Training set {quoted.words(name)}: {quoted.counted(file, 'counts.fields', 'field')} of "
        f"{quoted.counted(file, 'counts.wells', 'well')} on {quoted.counted(file, 'counts.plates', 'plate')}, of which "
        f"{quoted.counted(file, 'counts.validation_fields', 'field')} of "
        f"{quoted.counted(file, 'counts.validation_wells', 'well')} only measure the validation loss."
    )
