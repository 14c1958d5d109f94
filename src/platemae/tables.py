"""AnnData tables of wells between stages: read, make, write whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from platemae.contracts import OBS_COLUMNS, check_columns
from platemae.errors import ContractError, MissingError


def read_wells(path: Path) -> anndata.AnnData:
    """Read a table of wells and check its columns.

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
        wells = anndata.read_h5ad(path)
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
