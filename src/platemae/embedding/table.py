"""Well vectors as AnnData, with the columns that copairs and pycytominer read.

Legend: W wells, D dimensions of the vector.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    x_WD = np.ascontiguousarray(x_WD, dtype=np.float32)
    bad_W, bad_D = np.nonzero(~np.isfinite(x_WD))
    if len(bad_W):
        found = ", ".join(dict.fromkeys(str(wells["well"].iloc[w]) for w in bad_W[:8]))
        raise ContractError(f"{len(bad_W)} values are not finite, first in {names[bad_D[0]]}", f"wells {found}")
    obs = pd.DataFrame({column: _text(wells[source]) for column, source in TEXT.items()})
    obs["Metadata_Site"] = ""
    obs["Metadata_Concentration"] = pd.to_numeric(wells["concentration"], errors="coerce").to_numpy(np.float64)
    obs = obs[list(OBS_COLUMNS)]
    obs["n_fields"], obs["n_tiles"] = np.asarray(n_fields, np.int64), np.asarray(n_tiles, np.int64)
    obs.index = pd.Index(obs["Metadata_Plate"] + "_" + obs["Metadata_Well"], name=None)
    return anndata.AnnData(x_WD, obs=obs, var=pd.DataFrame(index=list(names)), uns={"feature_kind": "embedding"})


def _text(column: pd.Series) -> np.ndarray:
    """Return a column as plain text, with nothing for what is missing."""
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(object)
