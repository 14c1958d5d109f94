"""embed_plate: a plate as vectors, a row a well, field, crop or cell, of the fields that passed quality control."""

from __future__ import annotations

from typing import Any

import anndata
import pandas as pd
import torch

from platemae.contracts import CELLS_COLUMNS, FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.embedding.look import Look, look_at
from platemae.embedding.plate import Domain, Job, Part, embed_plate
from platemae.embedding.resample import size_warnings
from platemae.embedding.rows import choose_cells, in_order, table_of
from platemae.embedding.settings import EmbedSettings
from platemae.errors import ConfigError, InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.qc.gate import kept_fields
from platemae.store.parquet import read_parquet
from platemae.store.plate_reader import StoreChannel
from platemae.tables import write_anndata

STAGE = "embed_plate"


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str, threads: int, processes: int = 1) -> Manifest:
    """Embed one plate.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``embed``, see `EmbedSettings`; ``exclude_failed``, whether the gate leaves out fields that failed QC; for a
        model with statistics of a domain, ``domain`` (plates, exact, fields).
    model, plate
        Names.
    threads
        Threads of this job, over all its processes.
    processes
        Processes that share the fields, each with a GPU of its own where there are GPUs.

    Raises
    ------
    ConfigError
        When the plate's channels do not match the model's by name and stain, its fields are too small, a pixel size is
        not known, or rows are cells and the plate lists none. A model for any channels takes those that the plate has.
    InputError
        When no field passed quality control, or no cell is left.
    """
    own_threads = max(1, threads // max(1, processes))
    torch.set_num_threads(own_threads)
    settings = EmbedSettings.from_config(cfg["embed"])
    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    kept = in_order(_kept(results, plate, fields, cfg["exclude_failed"]))
    if kept.empty:
        raise InputError("no field of the plate passed quality control", f"plate {plate}", "see the QC report")
    look = look_at(results, model, plate, str(kept["batch"].iloc[0]), settings)
    counts: dict[str, Any] = {"rows": settings.rows}
    cells = None
    if settings.rows == "cell":
        chosen = choose_cells(_cells(results, plate), kept, look, settings.cell_border, plate)
        cells, counts = chosen.cells, counts | chosen.counts
    job = Job(results, model, plate, settings, kept, cells, _domain(results, cfg), own_threads)
    part = embed_plate(job, look, processes)

    first = settings.poolings[0]
    dims = _dimensions(model, part.width(first), look.channels if first == "channelwise" else ())
    data = table_of(job, look, part, fields, dims)
    write_anndata(data, results.embedding(model, plate))
    counts |= _counts(data, fields, kept, look, part)
    return Manifest(STAGE, digest_anndata(data), counts, _warnings(plate, fields, data, look, settings, counts))


def _cells(results: Results, plate: str) -> pd.DataFrame:
    path = results.cells(plate)
    if not path.is_file():
        what, remedy = (
            f"plate {plate} has no table of its cells",
            "name one in column cells of plates.tsv, or other rows",
        )
        raise ConfigError(what, "embed.rows: cell", remedy)
    return read_parquet(path, CELLS_COLUMNS)


def _domain(results: Results, cfg: dict[str, Any]) -> Domain | None:
    """Return the fields of the domain: those of this plate, or of all plates of its batch."""
    if "domain" not in cfg:
        return None
    places: list[tuple[str, str, str]] = []
    for plate in cfg["domain"]["plates"]:
        kept = _kept(results, plate, read_parquet(results.fields(plate), FIELDS_COLUMNS), cfg["exclude_failed"])
        places += [(plate, str(batch), group) for batch, group in zip(kept["batch"], kept["group"], strict=True)]
    return Domain(tuple(places), cfg["domain"]["exact"], cfg["domain"]["fields"])


def _dimensions(model: str, count: int, channels: tuple[StoreChannel, ...]) -> list[str]:
    """Return the names of the dimensions; ``channels`` where each has a part of its own."""
    if not channels:
        return [f"{model}_{i:04d}" for i in range(count)]
    return [f"{model}_{channel.name}_{i:04d}" for channel in channels for i in range(count // len(channels))]


def _counts(data: anndata.AnnData, fields: pd.DataFrame, kept: pd.DataFrame, look: Look, part: Part) -> dict[str, Any]:
    wells = data.obs["Metadata_Well"].nunique()
    counts: dict[str, Any] = {
        "wells": int(wells),
        "wells_dropped": int(fields["well"].nunique() - wells),
        "fields": len(kept),
        "fields_excluded": len(fields) - len(kept),
        "n_rows": data.n_obs,
        "tiles": part.n_crops,
        "dimensions": data.n_vars,
    }
    missing = [channel.name for channel in look.expected if channel not in look.channels]
    if missing:
        counts["channels_missing"] = missing
    if look.sizes.resampled:
        counts["resampled"] = {"from_um": look.sizes.plate_um, "to_um": look.sizes.model_um, "shape": list(look.shape)}
    return counts


def _warnings(
    plate: str, fields: pd.DataFrame, data: anndata.AnnData, look: Look, settings: EmbedSettings, counts: dict[str, Any]
) -> list[str]:
    warnings = []
    lost = sorted(set(fields["well"]) - set(data.obs["Metadata_Well"]))
    if lost:
        why = "no field that passed QC" if settings.rows != "cell" else "no cell that is embedded"
        warnings.append(f"plate {plate}: {len(lost)} wells have {why}: {', '.join(lost[:8])}")
    if counts.get("cells_dropped"):
        warnings.append(f"plate {plate}: {counts['cells_dropped']} cells at the border are left out")
    warnings += size_warnings(look.sizes, plate)
    extra = [c.name for i, c in enumerate(look.source.store.channels) if i not in look.source.order]
    if extra:
        warnings.append(f"plate {plate}: the model does not look at {', '.join(extra)}")
    if "channels_missing" in counts:
        missing = ", ".join(counts["channels_missing"])
        warnings.append(f"plate {plate} lacks {missing}: its rows are seen in the other channels alone")
    return warnings


def _kept(results: Results, plate: str, fields: pd.DataFrame, exclude_failed: bool) -> pd.DataFrame:
    return fields[kept_fields(fields, read_parquet(results.qc(plate), QC_COLUMNS), exclude_failed)]
