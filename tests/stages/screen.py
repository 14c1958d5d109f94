"""Embedded wells of two plates, as embed_plate writes them, for the stages after it."""

import numpy as np
import pandas as pd

from platemae.contracts import OBS_COLUMNS, Manifest
from platemae.fingerprint import digest_anndata
from platemae.tables import feature_table, write_anndata

GENES = [f"G{i}" for i in range(24)]


def embedded_plate(results, model, plate, batch, seed, n_controls=12, dims=8, shift=0.0):
    """Write one plate: controls, and two guides of every gene; genes 2k and 2k + 1 share a direction."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(len(GENES) // 2, dims)) * 4
    rows, x = [], []
    for i in range(n_controls):
        rows.append((f"A{i + 1:02d}", "NTC", "", "negcon"))
        x.append(rng.normal(size=dims))
    for g, gene in enumerate(GENES):
        for guide in (1, 2):
            rows.append((f"{'BC'[guide - 1]}{g + 1:02d}", f"{gene}_g{guide}", gene, "treatment"))
            x.append(directions[g // 2] + rng.normal(size=dims))
    obs = pd.DataFrame(index=[f"{plate}_{well}" for well, *_ in rows], columns=list(OBS_COLUMNS)).fillna("")
    obs["Metadata_Plate"], obs["Metadata_Batch"] = plate, batch
    columns = ("Metadata_Well", "Metadata_Perturbation", "Metadata_Gene", "Metadata_Control_Type")
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        obs[column] = list(values)
    table = feature_table(np.array(x) * rng.uniform(0.5, 2, dims) + shift, obs, model)
    write_anndata(table, results.embedding(model, plate))
    manifest = Manifest("embed_plate", digest_anndata(table))
    manifest.write(results.manifest("embed_plate", model=model, plate=plate))
    return table
