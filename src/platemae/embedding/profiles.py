"""Well profiles that were made elsewhere: one plate's rows, and the features that all plates have."""

# Shape legend: W wells, D features

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from platemae.errors import InputError, raise_all
from platemae.profile_files import ProfileTable, plain_plate


@dataclass(frozen=True)
class Profiles:
    """Profiles of one plate.

    Parameters
    ----------
    features
        (W, D) float64, a row a well (index, as ``A01``), a column a feature.
    dropped
        Wells that were left out because of a value that is no finite number.
    """

    features: pd.DataFrame
    dropped: tuple[str, ...] = ()


def read_profiles(
    table: ProfileTable,
    plate: str,
    wells: Sequence[str],
    spell: Callable[[str], str],
    features: Sequence[str],
    drop_wells: bool,
) -> Profiles:
    """Read the profiles of one plate.

    Parameters
    ----------
    table
        The file.
    plate
        Plate whose rows are taken.
    wells
        Wells that the plate has, as ``A01``.
    spell
        Returns a well in that spelling, or raises ValueError.
    features
        Columns to read.
    drop_wells
        Whether a well with a value that is not finite is left out; else it is an error.

    Raises
    ------
    InputError
        When the file has no row of the plate, a well twice or one that the plate lacks, a column that is no number, or
        a value that is not finite; naming column and wells.
    """
    rows = _rows(table, plate, features)
    names = _wells(rows.index, spell, table)
    _check_wells(names, wells, plate, table)
    numbers = _numbers(rows, table).set_axis(names, axis="index")
    finite_WD = np.isfinite(numbers.to_numpy())
    if not finite_WD.all() and not drop_wells:
        raise _not_finite(numbers, finite_WD, table)
    sound = finite_WD.all(axis=1)
    return Profiles(numbers[sound], tuple(numbers.index[~sound]))


def finite_features(table: ProfileTable, plates: Iterable[str] | None) -> list[str]:
    """Return the features that are finite numbers in all rows; in those of ``plates`` where they are named."""
    wanted = None if plates is None or table.one_plate else {plain_plate(plate) for plate in plates}
    found = np.ones(len(table.features), dtype=bool)
    for block in table.blocks(table.features):
        here = block if wanted is None else block[np.isin(_plates(block), list(wanted))]
        found &= [here[name].dtype.kind in "biuf" and np.isfinite(_float(here[name])).all() for name in table.features]
    return [name for name, is_finite in zip(table.features, found, strict=True) if is_finite]


def common_features(features: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the features that all plates have, in the order of the first plate.

    Raises
    ------
    InputError
        When there is none.
    """
    first, *others = features.values()
    shared = set(first).intersection(*others)
    if not shared:
        where = "; ".join(f"{plate}: {len(names)} features" for plate, names in list(features.items())[:8])
        raise InputError("the plates have no feature in common", where, "name the plates that have: feature_plates")
    return [name for name in first if name in shared]


def check_features(own: Sequence[str], kept: Sequence[str], plate: str) -> None:
    """Check that a plate has every feature that is kept.

    Raises
    ------
    InputError
        Naming those that it lacks.
    """
    lacking = sorted(set(kept) - set(own))
    if lacking:
        what = f"plate {plate} lacks {len(lacking)} features that the model keeps: {_few(lacking)}"
        raise InputError(what, f"models: feature_plates, without plate {plate}", "make them, or name the plate there")


def _rows(table: ProfileTable, plate: str, features: Sequence[str]) -> pd.DataFrame:
    """Return the rows of a plate, with the well as index."""
    parts: list[pd.DataFrame] = []
    seen: set[str] = set()
    for block in table.blocks(features):
        plates = _plates(block)
        seen.update(plates)
        mine = block if table.one_plate else block[plates == plain_plate(plate)]
        parts.append(mine.set_axis(mine.index.get_level_values("well"), axis="index"))
    rows = pd.concat(parts) if parts else pd.DataFrame()
    if rows.empty:
        where = f"{table.path}, column {' and '.join(table.plate) or table.well}"
        raise InputError(f"no row is of plate {plate}", where, f"it has: {_few(seen)}")
    return rows


def _plates(block: pd.DataFrame) -> np.ndarray:
    return np.array([plain_plate(name) for name in block.index.get_level_values("plate")], dtype=object)


def _wells(column: Iterable[str], spell: Callable[[str], str], table: ProfileTable) -> list[str]:
    problems, names = [], []
    for value in column:
        try:
            names.append(spell(value))
        except ValueError as error:
            problems.append(InputError(str(error), f"{table.path}, column {table.well}", "write wells as A01"))
    raise_all(problems[:8])
    return names


def _check_wells(names: list[str], wells: Sequence[str], plate: str, table: ProfileTable) -> None:
    where = f"{table.path}, column {table.well}"
    counts = pd.Series(names).value_counts()
    twice, foreign = counts[counts > 1].index, set(names) - set(wells)
    problems = []
    if len(twice):
        problems.append(InputError(f"wells stand twice: {_few(twice)}", where, "give one row a well"))
    if foreign:
        problems.append(InputError(f"plate {plate} lacks the wells {_few(foreign)}", where, "drop these rows"))
    raise_all(problems)


def _numbers(rows: pd.DataFrame, table: ProfileTable) -> pd.DataFrame:
    text = [str(name) for name in rows.columns if rows[name].dtype.kind not in "biuf"]
    if text:
        remedy = "let the names of columns that are no features start with Metadata_, or set missing: drop_features"
        raise InputError(f"columns are no numbers: {_few(text)}", str(table.path), remedy)
    return pd.DataFrame({name: _float(rows[name]) for name in rows.columns}, index=rows.index)


def _float(column: pd.Series) -> np.ndarray:
    return column.to_numpy(np.float64, na_value=np.nan)


def _not_finite(numbers: pd.DataFrame, finite_WD: np.ndarray, table: ProfileTable) -> InputError:
    bad_W, bad_D = np.nonzero(~finite_WD)
    cells = [f"{numbers.index[w]} {numbers.columns[d]}" for w, d in zip(bad_W[:8], bad_D[:8], strict=True)]
    remedy = "fill them, or set missing: drop_wells or drop_features"
    return InputError(f"{len(bad_W)} values are not finite: {', '.join(cells)}", str(table.path), remedy)


def _few(values: Iterable[object]) -> str:
    found = sorted({str(v) for v in values})
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
