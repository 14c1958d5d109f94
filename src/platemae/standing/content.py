"""The content digest of what lies in the results folder, taken by the functions that the stages take it with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anndata

from platemae.contracts import CELLS_COLUMNS, FIELDS_COLUMNS, QC_COLUMNS, SCORE_COLUMNS, SHIFT_COLUMNS, Manifest
from platemae.fingerprint import digest_anndata, digest_json, digest_table
from platemae.layout import Results
from platemae.store.parquet import read_parquet

Digest = Callable[..., str]


def content_digest(results: Results, manifest: Manifest, wildcards: dict[str, str]) -> str | None:
    """Return the digest of a job's outputs as they lie there.

    Returns
    -------
    What the manifest must say, or None for stages whose digest is of more than their files: of inputs, or of a page
    without its date. The record of the job holds the bytes of those.

    Raises
    ------
    PlatemaeError, OSError, ValueError, KeyError
        When a file cannot be read.
    """
    take = _DIGESTS.get(manifest.stage)
    return take(results, manifest, **wildcards) if take else None


def _plate(results: Results, manifest: Manifest, plate: str) -> str:
    from platemae.stages.ingest_plate import plate_digest
    from platemae.store.content import digest_store
    from platemae.store.plate_reader import PlateStore

    fields = read_parquet(results.fields(plate), FIELDS_COLUMNS)
    if not manifest.counts["channels"]:
        return digest_json({"fields": digest_table(fields)})
    store = PlateStore(results.store(plate))
    stains = {channel.name: channel.stain for channel in store.channels}
    cells = read_parquet(results.cells(plate), CELLS_COLUMNS) if "cells" in manifest.counts else None
    return plate_digest(digest_store(store), stains, fields, cells, store.source_ranges)


def _qc(results: Results, manifest: Manifest, plate: str) -> str:
    from platemae.stages.qc_plate import qc_digest
    from platemae.store.illumination import read_illumination

    light = read_illumination(results.illumination(plate)) if "illumination" in manifest.counts else None
    return qc_digest(read_parquet(results.qc(plate), QC_COLUMNS), light.digest if light else None)


def _intensity(results: Results, manifest: Manifest, intensity: str) -> str:
    from platemae.stages.fit_intensity import map_digest

    return map_digest(json.loads(results.intensity(intensity).read_text()))


def _model(results: Results, manifest: Manifest, model: str) -> str:
    from platemae.making.files import model_digest
    from platemae.models.export import load_model

    return model_digest(*load_model(results.model(model)))


def _controls(results: Results, manifest: Manifest, **wildcards: str) -> str:
    from platemae.correction.control_stats import ControlStats
    from platemae.stages.summarize_controls import stats_digest

    return stats_digest(ControlStats.load(results.control_stats(**wildcards)))


def _map(results: Results, manifest: Manifest, **wildcards: str) -> str:
    from platemae.stages.build_map import map_digest

    shifts = read_parquet(results.plate_shifts(**wildcards), SHIFT_COLUMNS)
    return map_digest(anndata.read_h5ad(results.map(**wildcards)), shifts)


def _scores(results: Results, manifest: Manifest, **wildcards: str) -> str:
    return digest_table(read_parquet(results.scores(**wildcards), SCORE_COLUMNS))


def _rows(path: Callable[..., Any]) -> Digest:
    """Return how the digest of a table of AnnData is taken, whose path is a method of `Results`."""
    return lambda results, manifest, **wildcards: digest_anndata(anndata.read_h5ad(path(results, **wildcards)))


_DIGESTS: dict[str, Digest] = {
    "ingest_plate": _plate,
    "qc_plate": _qc,
    "measure_plate": _rows(Results.measured),
    "fit_intensity": _intensity,
    "train_model": _model,
    "embed_plate": _rows(Results.embedding),
    "import_profiles": _rows(Results.embedding),
    "summarize_controls": _controls,
    "correct_plate": _rows(Results.corrected),
    "build_map": _map,
    "score_map": _scores,
}
