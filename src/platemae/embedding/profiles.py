"""Read well profiles that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from platemae.errors import InputError, raise_all

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".h5ad")
KEYS = ("Metadata_Plate", "Metadata_Well")


def read_profiles(path: Path, plate: str, wells: Sequence[str], spell: Callable[[str], str]) -> pd.DataFrame:
    """Read the profiles of one plate.

    Parameters
    ----------
    path
        CSV, parquet or h5ad with ``Metadata_Plate``, ``Metadata_Well`` and one column a feature; other columns that
        are no features start with ``Metadata_`` too.
    plate
        Plate whose rows are taken.
    wells
        Wells that the plate has, as ``A01``.
    spell
        Returns a well in that spelling, or raises ValueError.

    Returns
    -------
    pandas.DataFrame
        A row a well of the table (index, as ``A01``), a float64 column a feature.

    Raises
    ------
    InputError
        When the file is missing, torn or of another form, has no row of the plate, a well twice or one that the plate
        lacks, a column that is no number, or a value that is not finite; naming column and wells.
    """
    table = _load(path)
    missing = [key for key in KEYS if key not in table.columns]
    if missing:
        raise InputError(f"columns are missing: {', '.join(missing)}", str(path), "name plate and well of each row")
    plates = table["Metadata_Plate"].astype(str)
    rows = table[plates == plate]
    if rows.empty:
        raise InputError(f"no row is of plate {plate}", f"{path}, column Metadata_Plate", f"it has: {_few(plates)}")
    names = _wells(rows["Metadata_Well"], spell, path)
    _check_wells(names, wells, plate, path)
    features = rows[[c for c in table.columns if not str(c).startswith("Metadata_")]].set_axis(names, axis="index")
    _check_values(features, path)
    return features.astype(np.float64)


def _load(path: Path) -> pd.DataFrame:
    if not path.name.endswith(SUFFIXES):
        raise InputError("a table of profiles has an unknown suffix", str(path), f"known: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError("a table of profiles is missing", str(path), "correct models: table in the configuration")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".h5ad":
            data = anndata.read_h5ad(path)
            dense = data.X if isinstance(data.X, np.ndarray) else data.X.toarray()
            return data.obs.reset_index(drop=True).join(pd.DataFrame(dense, columns=data.var_names))
        return pd.read_csv(path, dtype=dict.fromkeys(KEYS, str))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"a table of profiles cannot be read: {error}", str(path), "write it again") from None


def _wells(column: pd.Series, spell: Callable[[str], str], path: Path) -> list[str]:
    problems, names = [], []
    for value in column.astype(str):
        try:
            names.append(spell(value))
        except ValueError as error:
            problems.append(InputError(str(error), f"{path}, column Metadata_Well", "write wells as A01"))
    raise_all(problems)
    return names


def _check_wells(names: list[str], wells: Sequence[str], plate: str, path: Path) -> None:
    where = f"{path}, column Metadata_Well"
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    foreign = set(names) - set(wells)
    problems = []
    if twice:
        problems.append(InputError(f"wells stand twice: {_few(twice)}", where, "give one row a well"))
    if foreign:
        problems.append(InputError(f"plate {plate} lacks the wells {_few(foreign)}", where, "drop these rows"))
    raise_all(problems)


def _check_values(features: pd.DataFrame, path: Path) -> None:
    text = [str(c) for c in features.columns if features[c].dtype.kind not in "biuf"]
    if text or features.columns.empty:
        what = f"columns are no numbers: {_few(text)}" if text else "there is no feature column"
        raise InputError(what, str(path), "let the names of columns that are no features start with Metadata_")
    bad_W, bad_D = np.nonzero(~np.isfinite(features.to_numpy(np.float64)))
    if len(bad_W):
        cells = [f"{features.index[w]} {features.columns[d]}" for w, d in zip(bad_W[:8], bad_D[:8], strict=True)]
        raise InputError(
            f"{len(bad_W)} values are not finite: {', '.join(cells)}", str(path), "fill them, or drop wells or columns"
        )


def _few(values: Iterable[object]) -> str:
    found = sorted({str(v) for v in values})
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
