"""Labels of wells from a table, such as the mechanism of action of each compound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.text_table import read_text_table
from platemae.errors import ContractError, InputError

KEYS = {
    name.lower(): f"Metadata_{name}" for name in ("Perturbation", "Gene", "Compound", "Concentration", "Plate", "Well")
}
"""Columns of a table of labels that say which wells a row is about -> columns of ``obs``."""
LABEL = "label"
_SHOWN = 5
_REMEDY = f"write columns {LABEL} and some of {', '.join(KEYS)}"


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels by what they are about.

    Parameters
    ----------
    keys
        Some of `KEYS`: the columns that together name what is labelled.
    of
        Label by the values of these columns.
    path
        The file, for errors.
    """

    keys: tuple[str, ...]
    of: dict[tuple[str, ...], str]
    path: Path

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of ``obs`` that name what is labelled."""
        return tuple(KEYS[key] for key in self.keys)


def read_labels(path: Path) -> Labels:
    """Read a table of labels.

    Parameters
    ----------
    path
        CSV or TSV with the column ``label`` and one or more of `KEYS`, such as ``compound,concentration,label``. Other
        columns, and rows without a label, are ignored.

    Raises
    ------
    MissingError
        If the file is not there.
    InputError
        If it is no such table, or gives one thing two labels.
    """
    table = read_text_table(path, [LABEL], "table of labels")
    keys = tuple(name for name in KEYS if name in table.columns)
    if not keys:
        raise InputError(f"no column says what is labelled (found: {', '.join(table.columns)})", str(path), _REMEDY)
    rows = table[(table[list(keys)] != "").all(axis=1) & (table[LABEL] != "")]
    rows = rows.assign(**{key: _plain(rows[key]) for key in keys})[[*keys, LABEL]].drop_duplicates()
    twice = rows[rows.duplicated(list(keys), keep=False)]
    if len(twice):
        first = twice.iloc[0][list(keys)]
        both = twice.loc[(twice[list(keys)] == first).all(axis=1), LABEL]
        what = f"{' '.join(first)} has the labels {', '.join(sorted(both))}"
        raise InputError(what, str(path), "keep one label")
    if rows.empty:
        raise InputError("no row has a label", str(path), _REMEDY)
    named = zip(rows[list(keys)].itertuples(index=False, name=None), rows[LABEL], strict=True)
    return Labels(keys, dict(named), path)


def labels_of(labels: Labels, obs: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Return the label of each row of ``obs``, empty where it has none.

    Raises
    ------
    ContractError
        If ``obs`` lacks a column.
    InputError
        If no row has a label; it says so where upper and lower case is the reason.
    """
    lost = [column for column in labels.columns if column not in obs.columns]
    if lost:
        raise ContractError(f"no column {', '.join(lost)}", "wells, obs", f"label by something else in {labels.path}")
    text = [_plain(obs[column].astype(object).where(obs[column].notna(), "").astype(str)) for column in labels.columns]
    names = list(zip(*text, strict=True))
    found = np.array([labels.of.get(name, "") for name in names], dtype=object)
    if not (found != "").any():
        _refuse(labels, names)
    return found


def _plain(column: pd.Series) -> pd.Series:
    """Return text without spaces around it; numbers in one spelling, so that 1 and 1.0 are the same concentration."""
    text = column.astype(str).str.strip()
    if column.name not in ("concentration", KEYS["concentration"]):
        return text
    number = pd.to_numeric(text, errors="coerce").astype(np.float64)  # of whole numbers pandas makes int: 10, not 10.0
    return text.where(number.isna(), number.map(repr))


def _refuse(labels: Labels, names: list[tuple[str, ...]]) -> None:
    few = [", ".join(sorted({" ".join(name) for name in some})[:_SHOWN]) for some in (names, labels.of)]
    what = f"no well has a label (wells: {few[0]}; table: {few[1]})"
    ours, theirs = ([tuple(map(str.casefold, name)) for name in some] for some in (names, labels.of))
    if set(ours) & set(theirs):
        raise InputError(what, str(labels.path), "they differ in upper and lower case: write them alike")
    if "concentration" in labels.keys and len(labels.keys) > 1:
        place = labels.keys.index("concentration")
        without = [{name[:place] + name[place + 1 :] for name in some} for some in (ours, theirs)]
        if without[0] & without[1]:
            remedy = "they differ in the concentration: write that of the layouts, in its unit, or leave the column out"
            raise InputError(what, str(labels.path), remedy)
    raise InputError(what, str(labels.path), "use the names of the layouts")
