"""import_profiles: wells as vectors that no network made, in the same form as embeddings.

``intensity_means`` are the means of each channel that QC measured, ``well_position`` is the place on the plate alone (a
model that cannot beat it has learned the plate), ``table`` is made elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.config.plates import normalise_well, resolve
from platemae.contracts import QC_COLUMNS, Manifest, check_columns
from platemae.embedding.table import assemble, wells_of, write_h5ad
from platemae.errors import InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {}


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str, base: Path, threads: int) -> Manifest:
    """Write one plate's profiles.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``{"model": {"name", "source", "table"}}``.
    model, plate
        Names.
    base
        Folder that a relative table path starts at.
    threads
        Unused: the work is a few table operations.

    Raises
    ------
    InputError
        When a table does not fit the plate, naming file, column and wells.
    ContractError
        When a file of an earlier stage lacks columns.
    """
    fields = pd.read_parquet(results.fields(plate))
    wells = wells_of(fields, str(results.fields(plate)))
    source = cfg["model"]["source"]
    passed = _passed(results.qc(plate))
    if source == "table":
        path = resolve(cfg["model"]["table"].format(plate=plate), base)
        profiles = read_profiles(path, plate, list(wells.index))
    elif source == "intensity_means":
        profiles = passed.pivot_table(index="well", columns="channel", values="mean", aggfunc="mean", sort=False)
        profiles = profiles[list(dict.fromkeys(passed["channel"]))]
    else:
        kept = wells.loc[wells.index.isin(passed["well"])]
        profiles = kept[["row", "column"]].assign(row=[_row_number(row) for row in kept["row"]])
    kept = wells.loc[wells.index.isin(profiles.index)]
    if kept.empty:
        raise InputError("no well of the plate has a profile", f"plate {plate}, source {source}", "see the QC verdicts")
    counts = passed.drop_duplicates(["well", "field"])["well"].value_counts()
    n_fields = counts.reindex(kept.index).fillna(0).to_numpy()
    data = assemble(
        profiles.loc[kept.index].to_numpy(np.float64),
        [str(c) for c in profiles.columns],
        kept,
        n_fields,
        np.zeros(len(kept)),
    )
    write_h5ad(data, results.embedding(model, plate))
    dropped = sorted(set(wells.index) - set(kept.index))
    warnings = [f"plate {plate}: {len(dropped)} wells without a profile: {', '.join(dropped[:8])}"] if dropped else []
    summary = {"wells": data.n_obs, "wells_dropped": len(dropped), "dimensions": data.n_vars, "source": source}
    return Manifest("import_profiles", digest_anndata(data), summary, warnings)
