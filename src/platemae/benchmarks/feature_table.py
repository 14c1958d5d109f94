"""Hand-made features of wells from tables, and what their names say of them.

Shapes: N wells, F features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.errors import InputError, raise_all
from platemae.profile_files import ProfileTable, open_table, plain_plate
from platemae.wells import parse_well

PLATE = "{plate}"
CATEGORIES = {
    "AreaShape": "shape",
    "Intensity": "intensity",
    "Texture": "texture",
    "RadialDistribution": "radial_distribution",
    "Correlation": "correlation",
    "Granularity": "granularity",
    "Neighbors": "neighbors",
    "Location": "location",
}
"""Part of a CellProfiler feature's name -> its category; features without such a part are ``other``."""
COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei", "Image")
OTHER = "other"
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of the wells that have them.

    Parameters
    ----------
    y_NF
        (N, F) float64, finite, no column constant.
    names
        Of the features.
    well_N
        (N,) positions of these wells among those asked for.
    notes
        What was left out: wells without features or with few of them, features that are constant, not finite in a well
        that is kept, no number, or not in all tables.
    """

    y_NF: npt.NDArray[np.float64]
    names: list[str]
    well_N: npt.NDArray[np.int64]
    notes: dict[str, Any]


def read_features(path: str, plates: Sequence[str], wells: Sequence[str]) -> FeatureTable:
    """Read the features of wells.

    Parameters
    ----------
    path
        CSV, parquet or h5ad as import_profiles reads them; with ``{plate}`` one table a plate.
    plates, wells
        Plate and well of each row that is asked for.

    Raises
    ------
    InputError
        If a table is missing or damaged, names no well, a well twice, or none of those asked for; or if no feature is
        left.
    """
    names = sorted(set(plates)) if PLATE in path else [""]
    tables = {name: open_table(Path(path.replace(PLATE, name)), None, None, PLATE in path, _KEY) for name in names}
    common = set.intersection(*(set(table.features) for table in tables.values()))
    if not common:
        raise InputError("the tables of features have no column in common", path, "give every plate the same features")
    shared = [name for name in next(iter(tables.values())).features if name in common]
    rows = pd.concat([_rows(table, name, shared) for name, table in tables.items()])
    _check_twice(rows, path)
    asked = pd.MultiIndex.from_arrays([[plain_plate(plate) for plate in plates], list(wells)])
    place_N = rows.index.get_indexer(asked)
    if not (place_N >= 0).any():
        few = [", ".join(sorted({":".join(key) for key in keys})[:3]) for keys in (asked, rows.index)]
        raise InputError(f"no well has features (wells: {few[0]}; table: {few[1]})", path, "name plates as plates.tsv")
    found = _clean(rows.iloc[place_N[place_N >= 0]], np.flatnonzero(place_N >= 0), path)
    lost = {len(set(table.features)) for table in tables.values()}
    notes = {"n_without_features": int((place_N < 0).sum()), "n_not_in_all_tables": max(lost) - len(shared)}
    return FeatureTable(found.y_NF, found.names, found.well_N, {**notes, **found.notes})


_KEY = "benchmarks: features"


def _rows(table: ProfileTable, plate: str, features: Sequence[str]) -> pd.DataFrame:
    """Return a table's rows by plate and well; of a file of one plate, the rows of that plate."""
    parts = []
    for block in table.blocks(features):
        named = block.index.get_level_values("plate")
        plates = [plain_plate(plate if table.one_plate else str(name)) for name in named]
        wells = _spelled(block.index.get_level_values("well"), table)
        mine = block.set_axis(pd.MultiIndex.from_arrays([plates, wells]), axis="index")
        parts.append(mine[[name == plain_plate(plate) for name in plates]] if plate else mine)
    return pd.concat(parts) if parts else pd.DataFrame(columns=list(features))


def _spelled(wells: Iterable[object], table: ProfileTable) -> list[str]:
    problems, names = [], []
    for value in wells:
        try:
            names.append(parse_well(str(value)))
        except ValueError as error:
            problems.append(InputError(str(error), f"{table.path}, column {table.well}", "write wells as A01"))
    raise_all(problems[:8])
    return names


def _check_twice(rows: pd.DataFrame, path: str) -> None:
    twice = rows.index[rows.index.duplicated()].unique()
    if len(twice):
        names = ", ".join(":".join(key) for key in twice[:8])
        raise InputError(f"{len(twice)} wells have two rows of features: {names}", path, "give one row a well")


def _clean(rows: pd.DataFrame, well_N: npt.NDArray[np.int64], path: str) -> FeatureTable:
    """Leave out columns of text, wells that lack most features, then features that are not finite, or constant."""
    numeric = [name for name in rows.columns if rows[name].dtype.kind in "biuf"]
    y_NF = rows[numeric].to_numpy(np.float64)
    full_N = ~_lacking(np.isfinite(y_NF))
    y_NF = y_NF[full_N]
    finite_F = np.isfinite(y_NF).all(axis=0)
    y_NF = np.where(finite_F, y_NF, np.nan)
    spread_F = np.ptp(y_NF, axis=0) if len(y_NF) else np.zeros(len(numeric))
    scale_F = np.abs(y_NF).max(axis=0, initial=0)
    varies_F = finite_F & (spread_F > 1e-12 * scale_F)
    names = [name for name, kept in zip(numeric, varies_F, strict=True) if kept]
    lost = [name for name, finite in zip(numeric, finite_F, strict=True) if not finite]
    notes = {
        "n_features": len(names),
        "n_features_text": len(rows.columns) - len(numeric),
        "n_features_not_finite": len(lost),
        "features_not_finite": lost[:_SHOWN],
        "n_features_constant": int((finite_F & ~varies_F).sum()),
        "n_wells_lacking_features": int((~full_N).sum()),
        "wells_lacking_features": [":".join(map(str, key)) for key in rows.index[~full_N][:_SHOWN]],
    }
    if not names:
        fill = "fill in the values that are missing, or leave out the features or wells that lack them"
        remedy = fill if lost or not full_N.all() else "give features that are numbers and vary"
        raise InputError(f"no feature is left of {len(rows.columns)}: {notes}", path, remedy)
    return FeatureTable(y_NF[:, varies_F], names, well_N[full_N], notes)


def _lacking(finite_NF: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell which wells lack more than half of the features that half of the wells have.

    A well that failed would else take every feature along, as a feature needs a value in each well.
    """
    usual_F = finite_NF.mean(axis=0) >= 0.5
    counted_NF = finite_NF[:, usual_F] if usual_F.any() else finite_NF
    least = counted_NF.shape[1] / 2 if usual_F.any() else 1
    lacking_N: npt.NDArray[np.bool_] = counted_NF.sum(axis=1) < least
    return lacking_N


def category(name: str) -> str:
    """Return the category of a feature by CellProfiler's naming, such as ``texture``; ``other`` for other names."""
    return next((CATEGORIES[part] for part in name.split("_") if part in CATEGORIES), OTHER)


def compartment(name: str) -> str:
    """Return the compartment of a feature, such as ``Nuclei``; ``other`` where the name has none."""
    return next((part for part in name.split("_") if part in COMPARTMENTS), OTHER)
