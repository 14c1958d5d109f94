"""AnnData made elsewhere, with the columns that benchmarks know.

Shapes: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from platemae.contracts import CONTROL_TYPES, OBS_COLUMNS
from platemae.errors import ConfigError, ContractError, MissingError, raise_all

ROLES = ("plate", "well", "batch", "perturbation", "gene", "compound", "concentration", "control_type")
"""What a column may be named for; ``gene`` of a map is ``obs["gene"]``, all of wells are ``Metadata_...``."""
INDEX = "_index"
"""In place of a column: the names of the rows."""
_REQUIRED = ("plate", "well", "perturbation")
_SHOWN = 30


@dataclass(frozen=True)
class Columns:
    """How a file's columns are called.

    Parameters
    ----------
    named
        Role -> column of ``obs``, or `INDEX`; roles that are absent have our own names already, or are not there.
    negcon
        Values of the control column that mark a negative control.
    obsm
        Key of ``obsm`` that holds the vectors; None: ``X``.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    negcon: tuple[str, ...] = ()
    obsm: str | None = None

    def without(self, role: str) -> Columns:
        """Return the same, save that nothing is said of one role."""
        return replace(self, named={key: name for key, name in self.named.items() if key != role})


def read_map(path: Path, columns: Columns) -> ad.AnnData:
    """Read a map: one row a gene, compound or perturbation, named in ``obs["gene"]``.

    Raises
    ------
    PlatemaeError
        When the file cannot be read, or no column names the rows.
    """
    table = _read(path, columns.obsm)
    name = columns.named.get("gene", "gene")
    if name != INDEX and name not in table.obs:
        remedy = f"name the rows of the map: --gene-column COLUMN, or --gene-column {INDEX} for the names of the rows"
        raise ContractError(f"there is no column {name}; there are {_few(table.obs.columns)}", str(path), remedy)
    table.obs["gene"] = _values(table, name)
    return table


def read_wells(path: Path, columns: Columns) -> tuple[ad.AnnData, list[str]]:
    """Read wells, and give them the columns of the contract.

    Returns
    -------
    wells
        ``obs`` with all columns of the contract: the batch is the plate where none is named, other absent ones empty.
    notes
        What was assumed.

    Raises
    ------
    PlatemaeError
        When the file cannot be read, naming every column that is missing, and those that are there.
    """
    table = _read(path, columns.obsm)
    raise_all(list(_missing(table, columns, path)))
    named = {role: columns.named.get(role, f"Metadata_{_title(role)}") for role in ROLES}
    found = {role: _values(table, name) for role, name in named.items() if name == INDEX or name in table.obs}
    notes = []
    if "control_type" not in found:
        notes.append("no control column: all rows count as treatments (--control-column, --negcon VALUE)")
    given = found.get("control_type")
    found["control_type"] = pd.Series(_control_types(given, len(table.obs), columns, path), table.obs.index)
    if "batch" not in found:
        notes.append("no batch column: each plate is a batch (--batch-column)")
        found["batch"] = found["plate"]
    for column in OBS_COLUMNS:
        role = column.removeprefix("Metadata_").lower()
        if role in found or column not in table.obs:
            table.obs[column] = found.get(role, "")
    return table, notes


def _read(path: Path, obsm: str | None) -> ad.AnnData:
    if not path.is_file():
        raise MissingError("there is no such file", str(path), "give an AnnData file (.h5ad)")
    try:
        table = ad.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise ContractError(f"this is no AnnData: {error}", str(path), "give an .h5ad file") from None
    if obsm is not None and obsm not in table.obsm:
        raise ContractError(f"obsm has no {obsm}", str(path), f"there are {_few(table.obsm.keys())}")
    x_ND: Any = table.X if obsm is None else table.obsm[obsm]
    if x_ND is None:
        raise ContractError("there are no vectors in X", str(path), f"--obsm with one of {_few(table.obsm.keys())}")
    dense_ND = x_ND.toarray() if sparse.issparse(x_ND) else np.asarray(x_ND)
    if dense_ND.dtype.kind not in "fiub":
        raise ContractError(f"the vectors are of type {dense_ND.dtype}", str(path), "give numbers")
    return ad.AnnData(dense_ND.astype(np.float64 if dense_ND.dtype == np.float64 else np.float32), obs=table.obs.copy())


def _missing(table: ad.AnnData, columns: Columns, path: Path) -> Iterable[ContractError]:
    for role in ROLES:
        name = columns.named.get(role)
        wanted = name or f"Metadata_{_title(role)}"
        if (name or role in _REQUIRED) and wanted != INDEX and wanted not in table.obs:
            what = f"there is no column {wanted} for the {role.replace('_', ' ')}; there are {_few(table.obs.columns)}"
            yield ContractError(what, str(path), f"--{'control' if role == 'control_type' else role}-column COLUMN")


def _control_types(values: pd.Series | None, n: int, columns: Columns, path: Path) -> npt.NDArray[np.object_]:
    """Return negcon, poscon, treatment or empty of each row."""
    if values is None:
        return np.full(n, "treatment", dtype=object)
    if columns.negcon:
        there = set(values)
        lacking = [value for value in columns.negcon if value not in there]
        if lacking:
            what = f"no row has {', '.join(lacking)} in the control column"
            raise ConfigError(what, str(path), f"--negcon: there are {_few(sorted(there))}")
        return np.where(values.isin(columns.negcon), "negcon", "treatment").astype(object)
    strange = sorted(set(values) - set(CONTROL_TYPES))
    if strange:
        what = f"the control column holds {_few(strange)}"
        raise ConfigError(
            what, str(path), f"--negcon VALUE for the negative controls, or use {', '.join(CONTROL_TYPES)}"
        )
    return values.to_numpy(dtype=object)


def _values(table: ad.AnnData, name: str) -> pd.Series:
    """Return a column as text; a missing value is empty."""
    values = table.obs.index.to_series() if name == INDEX else table.obs[name]
    plain = values.astype(object)
    return plain.where(plain.notna(), "").astype(str)


def _title(role: str) -> str:
    return "_".join(part.capitalize() for part in role.split("_"))


def _few(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    return (", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")) or "none"
