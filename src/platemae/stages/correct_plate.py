"""correct_plate: align a plate's rows with the basis and the control statistics of its own batch unit."""

from __future__ import annotations

from typing import Any

from platemae.contracts import Manifest
from platemae.correction.control_stats import ControlStats
from platemae.correction.registry import resolve
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.selection import selection_name
from platemae.tables import feature_table, read_wells, write_anndata


def run(results: Results, cfg: dict[str, Any], *, model: str, correction: str, plate: str) -> Manifest:
    """Write the aligned wells of one plate, or the finer rows that were embedded.

    Raises
    ------
    PlatemaeError
        When a row is not finite, or the unit has too few controls under the policy ``error``.
    """
    wells = read_wells(results.embedding(model, plate))
    fit_on = selection_name(cfg["correction"]["fit_on"])
    parts = (ControlStats.load(results.control_stats(model, fit_on, name)) for name in cfg["unit_plates"])
    unit = ControlStats.merge(parts, unit="+".join(cfg["unit_plates"]))
    fitted = resolve(cfg["correction"]["kind"]).load(results.correction(model, correction))
    aligned = feature_table(fitted.transform(wells.X, unit, labels=list(wells.obs_names)), wells.obs, correction)
    write_anndata(aligned, results.corrected(model, correction, plate))
    facts = fitted.batch_facts(unit)
    replaced = facts.get("policy") in ("pool", "skip")
    warnings = [f"plate {plate}: {facts['policy']} used in place of its own controls"] if replaced else []
    counts = {"wells": int(aligned.obs["Metadata_Well"].nunique()), "n_rows": aligned.n_obs, "dims": aligned.n_vars}
    return Manifest("correct_plate", digest_anndata(aligned), counts | facts, warnings)
