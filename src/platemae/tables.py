"""AnnData tables of wells between stages: read, make, write whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from platemae.contracts import OBS_COLUMNS, check_columns
from platemae.errors import ContractError, MissingError

BLOCK = 16384
"""Rows that are read at once."""


def read_wells(path: Path, backed: bool = False) -> anndata.AnnData:
    """Read a table of wells, or of finer rows, and check its columns.

    Parameters
    ----------
    path
        The file.
    backed
        Leave the values in the file; whoever asks closes it.

    Raises
    ------
    MissingError
        When the file is gone.
    ContractError
        When it cannot be read or lacks a column.
    """
    if not path.is_file():
        raise MissingError("a table of wells is missing", str(path), "run the stage that writes it")
    try:
        wells = anndata.read_h5ad(path, backed="r" if backed else None)
    except (OSError, KeyError, ValueError) as error:
        raise ContractError(f"a table of wells cannot be read: {error}", str(path), "delete it and run again") from None
    check_columns(wells.obs.columns, OBS_COLUMNS, str(path))
    return wells


def read_features(path: Path) -> list[str]:
    """Return the names of the features of a table of wells, without its values.

    Raises
    ------
    MissingError
        When the file is gone.
    ContractError
        When it cannot be read.
    """
    if not path.is_file():
        raise MissingError("a table of wells is missing", str(path), "run the stage that writes it")
    try:
        wells = anndata.read_h5ad(path, backed="r")
    except (OSError, KeyError, ValueError) as error:
        raise ContractError(f"a table of wells cannot be read: {error}", str(path), "delete it and run again") from None
    names = [str(name) for name in wells.var_names]
    wells.file.close()
    return names


def read_replicates(path: Path, method: str = "mean") -> anndata.AnnData:
    """Read a table with one row a well and perturbation: rows of fields, crops or cells are joined to such replicates.

    A map of perturbations is made of these, so that a well with many fields, or a guide with many cells in one well,
    is one observation of it. Means are taken while the file is read, so the rows of a plate are not in memory all at
    once; medians need them to be.

    Parameters
    ----------
    path
        Table of rows, as embed_plate or correct_plate writes it.
    method
        ``median`` of the rows of a replicate, or else their mean.

    Returns
    -------
    The table itself where no two rows are of one well and perturbation. Else X float32 in the order of the first rows,
    ``obs`` with the columns of the contract, and for cells ``n_rows``, the number of cells.

    Raises
    ------
    MissingError, ContractError
        As `read_wells`.
    """
    table = read_wells(path, backed=True)
    try:
        keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Perturbation"]
        code_N = table.obs.groupby(keys, sort=False, observed=True, dropna=False).ngroup().to_numpy()
        n_groups = int(code_N.max(initial=-1)) + 1
        if n_groups == table.n_obs and "Metadata_Cell" not in table.obs:
            return table.to_memory()
        _, first = np.unique(code_N, return_index=True)
        obs = table.obs.iloc[first][list(OBS_COLUMNS)].assign(Metadata_Site="")
        if "Metadata_Cell" in table.obs:
            obs["n_rows"] = np.bincount(code_N)
        obs.index = pd.Index(obs[keys].astype(str).agg("_".join, axis=1), name=None)
        x_GD = _medians(table.X, code_N) if method == "median" else _means(table.X, code_N, n_groups)
        return anndata.AnnData(x_GD, obs=obs, var=table.var.copy(), uns={"feature_kind": "embedding"})
    finally:
        table.file.close()


def _means(x_ND: Any, code_N: np.ndarray, n_groups: int) -> np.ndarray:
    total_GD = np.zeros((n_groups, x_ND.shape[1]))
    for start in range(0, len(code_N), BLOCK):
        code_B = code_N[start : start + BLOCK]
        members_GB = sparse.csr_array((np.ones(len(code_B)), (code_B, np.arange(len(code_B)))), (n_groups, len(code_B)))
        total_GD += members_GB @ np.asarray(x_ND[start : start + BLOCK], np.float64)
    return (total_GD / np.bincount(code_N)[:, None]).astype(np.float32)


def _medians(x_ND: Any, code_N: np.ndarray) -> np.ndarray:
    return pd.DataFrame(np.asarray(x_ND[:])).groupby(code_N, sort=True).median().to_numpy(np.float32)


def feature_table(x_ND: np.ndarray, obs: pd.DataFrame, source: str) -> anndata.AnnData:
    """Return wells with their features named ``{source}_0001`` and so on."""
    names = pd.Index([f"{source}_{i:04d}" for i in range(x_ND.shape[1])])
    table = anndata.AnnData(X=np.asarray(x_ND, dtype=np.float32), obs=obs.copy(), var=pd.DataFrame(index=names))
    table.uns["feature_kind"] = "embedding"
    return table


def write_anndata(table: anndata.AnnData, path: Path) -> None:
    """Write to a temporary sibling and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    table.write_h5ad(temporary)
    temporary.replace(path)
