"""Vectors as AnnData, a row a well, field, crop or cell, with the columns that copairs and pycytominer read.

Legend: W wells, N rows, D dimensions of the vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anndata
import numpy as np
import pandas as pd

from platemae.contracts import OBS_COLUMNS
from platemae.errors import ContractError

TEXT = {
    "Metadata_Plate": "plate",
    "Metadata_Well": "well",
    "Metadata_Batch": "batch",
    "Metadata_Perturbation": "perturbation",
    "Metadata_Gene": "gene",
    "Metadata_Compound": "compound",
    "Metadata_Control_Type": "control_type",
}

BLOCK = 65536
"""Rows that are checked at once."""


def wells_of(fields: pd.DataFrame) -> pd.DataFrame:
    """Return one row a well of a plate's fields table, sorted by well name, with the well as index."""
    return fields.drop_duplicates("well").sort_values("well").set_index("well", drop=False)


def assemble(
    x_WD: np.ndarray, names: Sequence[str], wells: pd.DataFrame, n_fields: np.ndarray, n_tiles: np.ndarray
) -> anndata.AnnData:
    """Join well vectors and well metadata, a row a well.

    Parameters
    ----------
    x_WD
        Vectors in the order of ``wells``; stored as float32.
    names
        Names of the D dimensions.
    wells
        Rows of `wells_of`.
    n_fields, n_tiles
        Fields and tiles that each well's mean is taken over.

    Raises
    ------
    ContractError
        When a vector holds a value that is not finite, naming wells and dimension.
    """
    own = {"n_fields": np.asarray(n_fields, np.int64), "n_tiles": np.asarray(n_tiles, np.int64)}
    return assemble_rows({"mean": x_WD}, names, wells.assign(field=""), own)


def assemble_rows(
    vectors: Mapping[str, np.ndarray], names: Sequence[str], rows: pd.DataFrame, own: Mapping[str, np.ndarray]
) -> anndata.AnnData:
    """Join vectors and metadata.

    Parameters
    ----------
    vectors
        (N, D) of each pooling in the order of ``rows``; the first becomes X, the others ``obsm["X_<pooling>"]``,
        float32.
    names
        Names of the D dimensions of X.
    rows
        Plate, batch, well, field (empty where a row is of several) and perturbation columns of each row.
    own
        More columns of ``obs``. ``Metadata_Cell`` and ``Metadata_Tile`` belong to the name of a row.

    Raises
    ------
    ContractError
        When a vector holds a value that is not finite, naming wells and dimension.
    """
    x_ND, *others = (np.ascontiguousarray(x_ND, dtype=np.float32) for x_ND in vectors.values())
    obs = pd.DataFrame({column: _text(rows[source]) for column, source in TEXT.items()})
    obs["Metadata_Site"] = _text(rows["field"])
    obs["Metadata_Concentration"] = pd.to_numeric(rows["concentration"], errors="coerce").to_numpy(np.float64)
    obs = obs[list(OBS_COLUMNS)].assign(**own)
    for x in (x_ND, *others):
        _check_finite(x, names if x is x_ND else (), obs)
    parts = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Tile", "Metadata_Cell"]
    obs.index = pd.Index(_joined([obs[name] for name in parts if name in obs]), name=None)
    obsm = {f"X_{pooling}": x for pooling, x in zip(list(vectors)[1:], others, strict=True)}
    return anndata.AnnData(
        x_ND, obs=obs, var=pd.DataFrame(index=list(names)), obsm=obsm, uns={"feature_kind": "embedding"}
    )


def _joined(columns: Sequence[pd.Series]) -> np.ndarray:
    """Return the texts of each row joined by underscores, without the empty ones."""
    found = columns[0].astype(object)
    for column in columns[1:]:
        text = column.astype(str)
        found = found + text.where(text == "", "_" + text)
    return found.to_numpy(object)


def _check_finite(x_ND: np.ndarray, names: Sequence[str], obs: pd.DataFrame) -> None:
    count, wells, first = 0, [], ""
    for start in range(0, len(x_ND), BLOCK):
        bad_N, bad_D = np.nonzero(~np.isfinite(x_ND[start : start + BLOCK]))
        if len(bad_N):
            first = first or (str(names[bad_D[0]]) if len(names) else f"dimension {bad_D[0]}")
            wells += [str(obs["Metadata_Well"].iloc[start + row]) for row in bad_N[:8]]
            count += len(bad_N)
    if count:
        found = ", ".join(list(dict.fromkeys(wells))[:8])
        raise ContractError(f"{count} values are not finite, first in {first}", f"wells {found}")


def _text(column: pd.Series) -> np.ndarray:
    """Return a column as plain text, with nothing for what is missing."""
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)
