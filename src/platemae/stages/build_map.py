"""build_map: corrected rows of all plates -> wells -> guides -> genes, with replicate counts and consistency."""

from __future__ import annotations

from typing import Any

import anndata

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.contracts import Manifest
from platemae.data.seen import held_out_rows
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.tables import read_replicates, write_anndata


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str) -> Manifest:
    """Aggregate the wells of all plates to one row a gene, compound or perturbation.

    Finer rows become replicates first, one plate after another: of a pooled screen one a well and guide.

    Raises
    ------
    InputError
        When no treated well names the wanted entity, a guide belongs to two genes, or nothing is held out.
    """
    method = cfg["map"]["aggregate"]
    parts = [read_replicates(results.corrected(model, correction, plate), method) for plate in cfg["plates"]]
    wells = anndata.concat(parts, join="inner")
    if "held_out" in cfg["map"]:
        wells = wells[held_out_rows(results, wells.obs, cfg["map"]["held_out"])].copy()
    gene_map = build_gene_map(wells.X, wells.obs, AggregateSettings.of(cfg["map"]))
    notes = dict(gene_map.uns["notes"])
    write_anndata(gene_map, results.map(model, correction))
    bad = notes.pop("not_finite")
    warnings = [f"wells left out of the map as not finite: {', '.join(bad)}"] if len(bad) else []
    counts = {"rows": gene_map.n_obs, "dims": gene_map.n_vars, "entity": cfg["map"]["entity"], **notes}
    return Manifest("build_map", digest_anndata(gene_map), counts, warnings)
