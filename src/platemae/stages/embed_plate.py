"""embed_plate: a plate's wells as vectors, the mean over all tiles of the fields that passed quality control."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch

from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.data.channels import shared_channels
from platemae.data.crops import PlateSource
from platemae.data.dataset import PIXEL_SIZE_TOLERANCE, open_plate
from platemae.embedding.domain import adapt_to_domain
from platemae.embedding.infer import FieldSums, embed_fields
from platemae.embedding.table import assemble, wells_of
from platemae.errors import ConfigError, InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.models.export import load_model
from platemae.qc.gate import kept_fields
from platemae.store.intensity_map import IntensityMap
from platemae.store.parquet import read_parquet
from platemae.store.plate_reader import PlateStore, StoreChannel
from platemae.tables import write_anndata
from platemae.training import distributed

STAGE = "embed_plate"


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str, threads: int) -> Manifest:
    """Embed one plate.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``embed`` (tiling, pooling, batch) and ``kind`` of the model; ``exclude_failed``, whether the gate leaves out
        fields that failed QC; for a model with statistics of a domain, ``domain`` (plates, exact, fields).
    model, plate
        Names.
    threads
        Threads of this job.

    Raises
    ------
    ConfigError
        When the plate's channels do not match the model's by name and stain, or its fields are too small. A model for
        any channels takes those that the plate has.
    InputError
        When no field passed quality control.
    """
    torch.set_num_threads(threads)
    module, facts = load_model(results.model(model))
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    kept = _kept(results, plate, fields, cfg["exclude_failed"])
    if kept.empty:
        raise InputError("no field of the plate passed quality control", f"plate {plate}", "see the QC report")
    expected = tuple(StoreChannel(c["name"], c["stain"]) for c in facts["channels"])
    channels = _channels(results, plate, module, expected, cfg["embed"]["pooling"])
    intensity = IntensityMap.from_json(facts["intensity"])
    source = open_plate(results, plate, str(kept["batch"].iloc[0]), channels, intensity, f"model {model}")
    if "domain" in cfg:
        _adapt(results, module, channels, intensity, cfg, facts["architecture"]["crop_px"], threads)
    sums = _embed(module, source, list(kept["group"]), facts["architecture"]["crop_px"], cfg["embed"], threads)

    names, x_WD, n_fields_W, n_tiles_W = sums.well_means(list(kept["well"]))
    wells = wells_of(fields).loc[names]
    dims = _dimensions(model, x_WD.shape[1], channels if cfg["embed"]["pooling"] == "channelwise" else ())
    data = assemble(x_WD, dims, wells, n_fields_W, n_tiles_W)
    write_anndata(data, results.embedding(model, plate))
    counts = {
        "wells": len(names),
        "wells_dropped": int(fields["well"].nunique()) - len(names),
        "fields": len(kept),
        "fields_excluded": len(fields) - len(kept),
        "tiles": int(n_tiles_W.sum()),
        "dimensions": x_WD.shape[1],
    }
    warnings = _warnings(plate, fields, names, facts, source)
    missing = [channel.name for channel in expected if channel not in channels]
    if missing:
        counts["channels_missing"] = missing
        warnings.append(f"plate {plate} lacks {', '.join(missing)}: its wells are seen in the other channels alone")
    return Manifest(STAGE, digest_anndata(data), counts, warnings)


def _kept(results: Results, plate: str, fields: pd.DataFrame, exclude_failed: bool) -> pd.DataFrame:
    return fields[kept_fields(fields, read_parquet(results.qc(plate), QC_COLUMNS), exclude_failed)]


def _adapt(
    results: Results,
    module: Any,
    channels: tuple[StoreChannel, ...],
    intensity: IntensityMap,
    cfg: dict[str, Any],
    size: int,
    threads: int,
) -> None:
    """Give the model the statistics of its domain: this plate, or all plates of its batch."""
    places: list[tuple[PlateSource, str]] = []
    for plate in cfg["domain"]["plates"]:
        kept = _kept(results, plate, read_parquet(results.fields(plate), FIELDS_COLUMNS), cfg["exclude_failed"])
        if len(kept):
            source = open_plate(results, plate, str(kept["batch"].iloc[0]), channels, intensity, "its domain")
            places += [(source, group) for group in kept["group"]]
    device = distributed.choose_device("auto", distributed.Ranks())
    adapt_to_domain(
        module.to(device),
        lambda field: places[field][0].read_field(places[field][1]),
        len(places),
        size=size,
        tiling=cfg["embed"]["tiling"],
        exact=cfg["domain"]["exact"],
        most=cfg["domain"]["fields"],
        device=str(device),
        threads=max(1, min(4, threads // 2)),
    )


def _channels(
    results: Results, plate: str, module: Any, expected: tuple[StoreChannel, ...], pooling: str
) -> tuple[StoreChannel, ...]:
    """Return the channels to look at: all that the model trained on, or, where it takes any, those of the plate."""
    if not getattr(module, "any_channels", False):
        return expected
    channels = shared_channels(PlateStore(results.store(plate)).channels, expected)
    if pooling == "channelwise" and len(channels) < len(expected):
        lacking = ", ".join(c.name for c in expected if c not in channels)
        problem = f"plate {plate} lacks {lacking}: its vectors, one part a channel, would be shorter than the others"
        raise ConfigError(problem, "embed.pooling", "use pooling mean, or leave the plate out")
    return channels


def _dimensions(model: str, count: int, channels: tuple[StoreChannel, ...]) -> list[str]:
    """Return the names of the dimensions; ``channels`` where each has a part of its own."""
    if not channels:
        return [f"{model}_{i:04d}" for i in range(count)]
    return [f"{model}_{channel.name}_{i:04d}" for channel in channels for i in range(count // len(channels))]


def _embed(
    module: Any, source: PlateSource, groups: list[str], size: int, embed: dict[str, Any], threads: int
) -> FieldSums:
    device = distributed.choose_device("auto", distributed.Ranks())
    return embed_fields(
        module.to(device),
        lambda field: source.read_field(groups[field]),
        len(groups),
        size=size,
        tiling=embed["tiling"],
        pooling=embed["pooling"],
        batch=embed["batch"],
        device=str(device),
        threads=max(1, min(4, threads // 2)),
    )


def _warnings(
    plate: str, fields: pd.DataFrame, names: list[str], facts: dict[str, Any], source: PlateSource
) -> list[str]:
    warnings = []
    lost = sorted(set(fields["well"]) - set(names))
    if lost:
        warnings.append(f"plate {plate}: {len(lost)} wells have no field that passed QC: {', '.join(lost[:8])}")
    expected, found = facts["pixel_size_um"], source.store.pixel_size_um
    if abs(found - expected) > PIXEL_SIZE_TOLERANCE * expected:
        warnings.append(f"plate {plate} has pixels of {found} µm, the model was trained on {expected} µm")
    extra = [c.name for i, c in enumerate(source.store.channels) if i not in source.order]
    if extra:
        warnings.append(f"plate {plate}: the model does not look at {', '.join(extra)}")
    return warnings
