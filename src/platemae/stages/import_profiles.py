"""import_profiles: wells as vectors that no network made, in the same form as embeddings.

``intensity_means`` are the means of each channel that QC measured, ``well_position`` is the place on the plate alone (a
model that cannot beat it has learned the plate), ``table`` is made elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.config.plates import resolve
from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.embedding.profiles import read_profiles
from platemae.embedding.table import assemble, wells_of
from platemae.errors import InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.layouts.wells import normalise_well
from platemae.qc.gate import FAIL
from platemae.store.parquet import read_parquet
from platemae.tables import write_anndata


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str, base: Path) -> Manifest:
    """Write one plate's profiles.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``{"model": {"name", "source", "table"}}``, and ``exclude_failed``, whether the gate leaves out fields that
        failed QC.
    model, plate
        Names.
    base
        Folder that a relative table path starts at.

    Raises
    ------
    InputError
        When a table does not fit the plate, naming file, column and wells.
    ContractError
        When a file of an earlier stage lacks columns.
    """
    wells = wells_of(read_parquet(results.fields(plate), FIELDS_COLUMNS))
    qc = read_parquet(results.qc(plate), QC_COLUMNS)
    qc = qc[qc["verdict"] != FAIL] if cfg["exclude_failed"] else qc
    profiles = _profiles(cfg["model"], wells, qc, plate, base)
    kept = wells.loc[wells.index.isin(profiles.index)]
    if kept.empty:
        raise InputError("no well has a profile", f"plate {plate}", "see the verdicts of qc_plate")
    n_fields = qc.drop_duplicates(["well", "field"])["well"].value_counts().reindex(kept.index).fillna(0)
    x_WD = profiles.loc[kept.index].to_numpy(np.float64)
    data = assemble(x_WD, [str(c) for c in profiles.columns], kept, n_fields.to_numpy(), np.zeros(len(kept)))
    write_anndata(data, results.embedding(model, plate))
    dropped = sorted(set(wells.index) - set(kept.index))
    warnings = [f"plate {plate}: {len(dropped)} wells without a profile: {', '.join(dropped[:8])}"] if dropped else []
    counts = {"wells": data.n_obs, "wells_dropped": len(dropped), "dimensions": data.n_vars}
    return Manifest("import_profiles", digest_anndata(data), counts, warnings)


def _profiles(entry: dict[str, Any], wells: pd.DataFrame, qc: pd.DataFrame, plate: str, base: Path) -> pd.DataFrame:
    """Return a row a well (index) and a column a feature."""
    if entry["source"] == "table":
        path = resolve(entry["table"].replace("{plate}", plate), base)
        return read_profiles(path, plate, list(wells.index), normalise_well)
    if entry["source"] == "intensity_means":
        means = qc.groupby(["well", "channel"], sort=False)["mean"].mean().unstack("channel")
        return means[list(dict.fromkeys(qc["channel"]))]
    seen = wells.loc[wells.index.isin(qc["well"])]
    return pd.DataFrame(
        {"row": [_row_number(str(row)) for row in seen["row"]], "column": seen["column"].astype(int)}, index=seen.index
    )


def _row_number(row: str) -> int:
    """Return 1 for A, 27 for AA, as plates of 1536 wells have them."""
    number = 0
    for letter in row:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
