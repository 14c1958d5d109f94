"""build_map: corrected rows of all plates -> wells -> guides -> genes, and how far plates still stand apart.

Shapes: G rows of the map, D features.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.shift import plate_shifts
from platemae.config.plates import resolve
from platemae.contracts import Manifest
from platemae.data.seen import held_out_rows
from platemae.fingerprint import digest_anndata, digest_bytes, digest_table
from platemae.layout import Results
from platemae.neighbors import LEAST_ROWS, leiden, neighbor_graph, umap
from platemae.store.parquet import write_parquet
from platemae.tables import read_replicates, write_anndata

_NAMED = {
    "not_finite": "wells left out of the map as not finite",
    "left_out": "rows left out of the map as not consistent",
    "arms_left": "chromosome arms not corrected",
    "without_arm": "genes without a chromosome arm, not corrected",
}
"""Lists in a map's notes, and what the manifest says of them."""


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str, base: Path = Path()) -> Manifest:
    """Aggregate the wells of all plates to one row a gene, compound or perturbation.

    Finer rows become replicates first, one plate after another: of a pooled screen one a well and guide. Beside the map
    lies how far each plate stands from the others; that is of all wells, also where a map is of held-out ones alone.

    Raises
    ------
    InputError
        When no treated well names the wanted entity, a guide belongs to two genes, or nothing is held out.
    """
    method = cfg["map"]["aggregate"]
    parts = [read_replicates(results.corrected(model, correction, plate), method) for plate in cfg["plates"]]
    wells = anndata.concat(parts, join="inner")
    shifts = plate_shifts(wells.X, wells.obs)
    if "held_out" in cfg["map"]:
        wells = wells[held_out_rows(results, wells.obs, cfg["map"]["held_out"])].copy()
    gene_map = build_gene_map(wells.X, wells.obs, AggregateSettings.of(cfg["map"], partial(resolve, base=base)))
    warnings = _embed(gene_map, cfg["map"].get("embed"))
    notes = dict(gene_map.uns["notes"])
    if "n_rows" in wells.obs:  # then a "well" is a guide in a well
        notes["n_cells"] = int(wells.obs["n_rows"].sum())
    write_anndata(gene_map, results.map(model, correction))
    write_parquet(shifts, results.plate_shifts(model, correction))
    named = {words: notes.pop(key, []) for key, words in _NAMED.items()}
    warnings += [f"{words}: {', '.join(map(str, names))}" for words, names in named.items() if len(names)]
    counts = {"rows": gene_map.n_obs, "dims": gene_map.n_vars, "entity": cfg["map"]["entity"], **notes}
    return Manifest("build_map", map_digest(gene_map, shifts), counts, warnings)


def map_digest(gene_map: anndata.AnnData, shifts: pd.DataFrame) -> str:
    """Return the digest of a map and of the shifts of its plates."""
    return digest_bytes(digest_anndata(gene_map).encode(), digest_table(shifts).encode())


def _embed(gene_map: anndata.AnnData, settings: dict[str, Any] | None) -> list[str]:
    """Put UMAP coordinates and Leiden clusters into the map; return why not, if so."""
    if settings is None:
        return []
    if gene_map.n_obs < LEAST_ROWS:
        return [f"no UMAP and no clusters: the map has {gene_map.n_obs} rows, fewer than {LEAST_ROWS}"]
    seed = settings["seed"]
    graph = neighbor_graph(gene_map.X, settings["neighbors"], seed, metric="cosine")
    gene_map.obsm["X_umap"] = umap(graph, seed).astype("float32")
    gene_map.obs["leiden"] = leiden(graph, settings["resolution"], seed)
    gene_map.obs["leiden"] = gene_map.obs["leiden"].astype("category")
    return []
