"""import_profiles: wells as vectors that no network made, in the same form as embeddings.

``intensity_means`` are the means of each channel that QC measured, ``well_position`` is the place on the plate alone (a
model that cannot beat it has learned the plate), ``table`` is made elsewhere; models of kind ``classical`` take what
measure_plate made. Tables of several plates keep the features that all of them have: each job reads the column names of
the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from platemae.config.plates import resolve
from platemae.contracts import FIELDS_COLUMNS, QC_COLUMNS, Manifest
from platemae.embedding.profiles import check_features, common_features, finite_features, read_profiles
from platemae.embedding.table import assemble, wells_of
from platemae.errors import InputError
from platemae.fingerprint import digest_anndata
from platemae.layout import Results
from platemae.profile_files import ProfileTable, open_table
from platemae.qc.gate import FAIL
from platemae.store.parquet import read_parquet
from platemae.tables import read_features, read_wells, write_anndata
from platemae.wells import parse_well, well_place

STAGE = "import_profiles"


@dataclass(frozen=True)
class Found:
    """What a source gives for one plate.

    Parameters
    ----------
    features
        A row a well (index, as ``A01``), a column a feature.
    n_fields
        Fields behind each of these wells, 0 where the source does not say.
    n_cells
        Cells behind each of them; None where the source does not say.
    about
        Columns of ``var``, a row a feature; None where there are none.
    available
        Number of features before those that other plates lack were left out.
    notes
        Sentences for the report.
    """

    features: pd.DataFrame
    n_fields: pd.Series
    n_cells: pd.Series | None = None
    about: pd.DataFrame | None = None
    available: int | None = None
    notes: tuple[str, ...] = ()


def run(results: Results, cfg: dict[str, Any], *, model: str, plate: str, base: Path) -> Manifest:
    """Write one plate's profiles.

    Parameters
    ----------
    results
        Paths.
    cfg
        ``model`` (name, kind, source, and for a table: table, plate_column, well_column, missing), ``feature_plates``
        (plates whose common features are kept), ``exclude_failed``, whether the gate leaves out fields that failed QC.
    model, plate
        Names.
    base
        Folder that a relative table path starts at.

    Raises
    ------
    InputError
        When a table does not fit the plate, naming file, column and wells, or plates have no feature in common.
    ContractError
        When a file of an earlier stage lacks columns.
    """
    wells = wells_of(read_parquet(results.fields(plate), FIELDS_COLUMNS))
    found = _find(results, cfg, wells, plate, base)
    kept = wells.loc[wells.index.isin(found.features.index)]
    if kept.empty:
        raise InputError("no well has a profile", f"plate {plate}", "see the verdicts of qc_plate, or the table")
    x_WD = found.features.loc[kept.index].to_numpy(np.float64)
    n_fields = found.n_fields.reindex(kept.index).fillna(0).to_numpy()
    data = assemble(x_WD, [str(c) for c in found.features.columns], kept, n_fields, np.zeros(len(kept)))
    if found.n_cells is not None:
        data.obs["n_cells"] = found.n_cells.loc[kept.index].to_numpy()
    if found.about is not None:
        data.var = found.about
    write_anndata(data, results.embedding(model, plate))
    dropped = sorted(set(wells.index) - set(kept.index))
    lost = (found.available or data.n_vars) - data.n_vars
    counts = {"wells": data.n_obs, "wells_dropped": len(dropped), "dimensions": data.n_vars, "features_lost": lost}
    return Manifest(STAGE, digest_anndata(data), counts, _warnings(plate, dropped, lost, found))


def _warnings(plate: str, dropped: Sequence[str], lost: int, found: Found) -> list[str]:
    warnings = list(found.notes)
    if dropped:
        warnings.append(f"plate {plate}: {len(dropped)} wells without a profile: {', '.join(dropped[:8])}")
    if lost:
        warnings.append(f"plate {plate}: {lost} of {found.available} features left out, which not all plates have")
    return warnings


def _find(results: Results, cfg: Mapping[str, Any], wells: pd.DataFrame, plate: str, base: Path) -> Found:
    entry = cfg["model"]
    if entry["kind"] == "classical":
        return _classical(results, cfg["feature_plates"], plate)
    if entry["source"] == "table":
        return _table(entry, cfg["feature_plates"], wells, plate, base)
    qc = read_parquet(results.qc(plate), QC_COLUMNS)
    qc = qc[qc["verdict"] != FAIL] if cfg["exclude_failed"] else qc
    n_fields = qc.drop_duplicates(["well", "field"])["well"].value_counts()
    if entry["source"] == "intensity_means":
        means = qc.groupby(["well", "channel"], sort=False)["mean"].mean().unstack("channel")
        return Found(means[list(dict.fromkeys(qc["channel"]))], n_fields)
    # Plates without images have no verdicts; of them every well has its place.
    seen = wells if (wells["group"] == "").all() else wells.loc[wells.index.isin(qc["well"])]
    places = [well_place(str(well)) for well in seen.index]
    return Found(pd.DataFrame(places, index=seen.index, columns=["row", "column"]) + 1, n_fields)


def _classical(results: Results, feature_plates: Sequence[str], plate: str) -> Found:
    """Return what measure_plate made, cut to the features that all of ``feature_plates`` have."""
    data = read_wells(results.measured(plate))
    data.obs.index = pd.Index(data.obs["Metadata_Well"].astype(str))
    kept = common_features({other: read_features(results.measured(other)) for other in feature_plates})
    check_features(list(data.var_names), kept, plate)
    features = data.to_df()[kept]
    return Found(features, data.obs["n_fields"], data.obs["n_cells"], data.var.loc[kept], data.n_vars)


def _table(
    entry: Mapping[str, Any], feature_plates: Sequence[str], wells: pd.DataFrame, plate: str, base: Path
) -> Found:
    """Return a table's rows of the plate, cut to the features that all of ``feature_plates`` have."""
    own = _open(entry, plate, base)
    tables = {other: _open(entry, other, base) for other in feature_plates} if "{plate}" in entry["table"] else {}
    drop = entry["missing"] == "drop_features"
    if tables:
        usable = {p: finite_features(t, [p]) if drop else list(t.features) for p, t in tables.items()}
        kept = common_features(usable)
    else:
        kept = finite_features(own, feature_plates) if drop else list(own.features)
    check_features(own.features, kept, plate)
    profiles = read_profiles(own, plate, list(wells.index), parse_well, kept, entry["missing"] == "drop_wells")
    notes = []
    if profiles.dropped:
        some = ", ".join(profiles.dropped[:8])
        notes.append(f"plate {plate}: {len(profiles.dropped)} wells with values that are not finite: {some}")
    nothing = pd.Series(dtype=np.int64)
    return Found(profiles.features, nothing, available=len(own.features), notes=tuple(notes))


def _open(entry: Mapping[str, Any], plate: str, base: Path) -> ProfileTable:
    path = resolve(entry["table"].replace("{plate}", plate), base)
    return open_table(path, entry["plate_column"], entry["well_column"], "{plate}" in entry["table"])
