"""The profiles that retrieval compares, wells or rows of the map, each with the names that pairs are told by.

A name is a column of ``obs`` (``compound`` stands for ``Metadata_Compound``) or ``label``, from a file of labels. A row
of the map has the names that its map states, or else the name that all its treated wells share.

Shapes: N profiles, D dimensions, W wells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.cosine import unit_rows
from platemae.benchmarks.entities import TREATMENT, name_entities
from platemae.benchmarks.labels import KEYS, LABEL, labels_of, read_labels
from platemae.benchmarks.text_table import BLANK
from platemae.errors import ConfigError, ContractError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from platemae.benchmarks.scored import Scored

Names = npt.NDArray[np.object_]
Rows = Literal["wells", "perturbations"]
CONTROL = "negcon"
ROW = "gene"
"""Column of a map's ``obs``: the name of the row."""
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Profiles:
    """Unit vectors with names, in an order that depends on the names alone.

    Parameters
    ----------
    u
        (N, D) float64 unit rows.
    names
        (N,) names by column.
    unit
        (N,) perturbation that each belongs to: what intervals resample.
    control
        (N,) True for negative control wells.
    position
        (N,) row of each in the wells or the map.
    notes
        Counts of what was left out.
    """

    u: FloatArray
    names: Mapping[str, Names]
    unit: Names
    control: npt.NDArray[np.bool_]
    position: IntArray
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.u)

    def codes(self, columns: Sequence[str]) -> list[IntArray]:
        """Return numbers (N,) for the names of each column, equal where they are; no name equals nothing."""
        row_N = np.arange(len(self))
        found = [pd.factorize(self.names[column], sort=True)[0].astype(np.int64) for column in columns]
        return [np.where(self.names[c] == "", len(self) + row_N, n) for c, n in zip(columns, found, strict=True)]


def names_of(obs: pd.DataFrame, column: str) -> Names:
    """Return a column of ``obs`` as text (N,), blank where there is no name; ``gene`` finds ``Metadata_Gene`` too.

    Raises
    ------
    ContractError
        If there is no such column.
    """
    for name in (column, f"Metadata_{column.title()}"):
        if name in obs.columns:
            values = obs[name].astype(object)
            text = values.where(values.notna(), "").astype(str).str.strip()
            return text.where(~text.isin(BLANK), "").to_numpy(dtype=object)
    found = ", ".join(str(name).removeprefix("Metadata_").lower() for name in obs.columns)
    raise ContractError(f"no column '{column}'", "table of wells or perturbations", f"name one of: {found}")


def select_profiles(
    scored: Scored,
    rows: Rows,
    columns: Sequence[str],
    apart: Sequence[str] = (),
    labels: str | None = None,
    controls: bool = False,
) -> Profiles:
    """Collect profiles that have a direction and a name in every column that they are matched by.

    Parameters
    ----------
    scored
        With the wells, or the map.
    rows
        Which of them.
    columns
        Names that are needed; ``label`` comes from the file of labels where there is one.
    apart
        Names that pairs must not share. A profile may lack them, as a guide has no compound; one must have each.
    labels
        Path of that file.
    controls
        Take negative control wells in, too; they need no name.

    Raises
    ------
    ConfigError
        If controls are wanted of a map, or ``label`` without a file or a column of that name.
    ContractError
        If a column is not there, or a row of the map has wells of several names.
    InputError
        If the labels are wrong, or no profile has a name in one of the columns.
    """
    if controls and rows != "wells":
        raise ConfigError("a map has no control wells", "benchmarks: rows", "use rows: wells")
    table = scored.wells if rows == "wells" else scored.gene_map
    named = {column: _find(scored, table, rows, column, labels) for column in dict.fromkeys([*columns, *apart])}
    of_wells = rows == "wells"
    unit_N = names_of(table.obs, "perturbation" if of_wells else ROW)
    kind_N = names_of(table.obs, "Metadata_Control_Type") if of_wells else np.full(len(unit_N), TREATMENT, object)
    treated_N, control_N = kind_N == TREATMENT, (kind_N == CONTROL) & controls
    u_ND, usable_N = unit_rows(_values(table.X))
    named_N = np.all([named[column] != "" for column in columns], axis=0) | control_N
    kept_N = (treated_N | control_N) & usable_N & named_N
    any_kept = bool((treated_N & kept_N).any())
    # Where profiles are left, columns are filled, and some profile must have each of apart.
    empty = _empty(named, apart, treated_N & kept_N) if any_kept else _empty(named, columns, treated_N & usable_N)
    if empty or not any_kept:
        shown = ", ".join(dict.fromkeys(empty or columns))
        what = f"none of {int(treated_N.sum())} treated {rows} has a direction and a name in {shown}"
        raise InputError(what, f"benchmarks: {shown}", "fill these columns in the layouts, or name others")
    sort_by = [unit_N, *(names_of(table.obs, key) for key in ("plate", "well"))] if of_wells else [unit_N]
    kept = _sorted(np.flatnonzero(kept_N), sort_by)
    notes = {
        "n_profiles": len(kept),
        "n_without_direction": int((treated_N & ~usable_N).sum()),
        "n_without_name": int((treated_N & usable_N & ~named_N).sum()),
    }
    of_kept = {name: values[kept] for name, values in named.items()}
    return Profiles(u_ND[kept], of_kept, unit_N[kept], control_N[kept], kept, notes)


def _empty(named: Mapping[str, Names], columns: Sequence[str], among_N: npt.NDArray[np.bool_]) -> list[str]:
    """Return the columns in which none of some profiles has a name."""
    return [column for column in columns if among_N.any() and (named[column][among_N] == "").all()]


def _sorted(kept: IntArray, sort_by: Sequence[Names]) -> IntArray:
    """Return rows in the order of their names, the first of ``sort_by`` before the next."""
    return kept[np.lexsort([pd.factorize(names, sort=True)[0][kept] for names in reversed(sort_by)])]


def _values(x: Any) -> npt.NDArray[Any]:
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x)


def _find(scored: Scored, table: AnnData, rows: Rows, column: str, labels: str | None) -> Names:
    """Return the names (N,) of all rows of the table."""
    if column == LABEL and labels is not None:
        read = read_labels(Path(labels))
        return labels_of(read, pd.DataFrame({KEYS[key]: _find(scored, table, rows, key, None) for key in read.keys}))
    if column == LABEL and LABEL not in table.obs:
        raise ConfigError("'label' is named, and there is no file of labels", "benchmarks: labels", "give its path")
    if rows == "wells" or scored.read_wells is None or _states(table.obs, column):
        return names_of(table.obs, column)
    return _shared(scored, column)


def _states(obs: pd.DataFrame, column: str) -> bool:
    """Tell whether a map states this name itself; its column ``gene`` is the row's own name, whatever its kind."""
    return f"Metadata_{column.title()}" in obs or (column in obs and column != ROW)


def _shared(scored: Scored, column: str) -> Names:
    """Return the name that all treated wells of each row of the map share.

    Wells without a name say nothing.
    """
    obs, genes = scored.wells.obs, names_of(scored.gene_map.obs, ROW)
    treated_W = names_of(obs, "Metadata_Control_Type") == TREATMENT
    row_W = name_entities(obs, scored.aggregate).name
    found = pd.DataFrame({"gene": row_W, "name": names_of(obs, column)})[treated_W]
    pairs = found[(found != "").all(axis=1) & found["gene"].isin(genes)].drop_duplicates()
    twice = pairs.loc[pairs["gene"].duplicated(), "gene"].unique().tolist()
    if twice:
        what = f"{len(twice)} rows of the map have wells of several {column}s: {', '.join(sorted(twice)[:_SHOWN])}"
        raise ContractError(what, f"benchmarks: {column}", "use rows: wells, or a map of finer rows (map.entity)")
    return pairs.set_index("gene")["name"].reindex(genes).fillna("").to_numpy(dtype=object)
