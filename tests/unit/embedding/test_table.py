"""AnnData assembly keeps the contract and joins by well."""

import numpy as np
import pandas as pd
import pytest

from platemae.contracts import FIELDS_COLUMNS, OBS_COLUMNS
from platemae.embedding.table import assemble, wells_of
from platemae.errors import ContractError


def fields() -> pd.DataFrame:
    rows = []
    for well, gene, concentration, control in (("B02", "TP53", "1.5", "treatment"), ("A01", None, "", "negcon")):
        for field in range(2):
            group = f"{well[0]}/{int(well[1:])}/{field}"
            rows.append(
                [
                    "P1",
                    "b1",
                    well,
                    str(field),
                    well[0],
                    int(well[1:]),
                    group,
                    "",
                    gene,
                    gene,
                    None,
                    concentration,
                    control,
                ]
            )
    return pd.DataFrame(rows, columns=list(FIELDS_COLUMNS))


def test_columns_types_and_order():
    wells = wells_of(fields())
    data = assemble(np.arange(6).reshape(2, 3), ["a", "b", "c"], wells, np.array([2, 1]), np.array([8, 4]))
    assert list(data.obs.columns) == [*OBS_COLUMNS, "n_fields", "n_tiles"]
    assert data.obs_names.tolist() == ["P1_A01", "P1_B02"]
    assert data.X.dtype == np.float32
    assert data.obs["Metadata_Site"].tolist() == ["", ""]
    assert data.obs["Metadata_Gene"].tolist() == ["", "TP53"]
    assert np.isnan(data.obs["Metadata_Concentration"].iloc[0])
    assert data.obs["Metadata_Concentration"].iloc[1] == 1.5
    assert data.uns["feature_kind"] == "embedding"


def test_nan_names_well_and_dimension():
    x = np.zeros((2, 2))
    x[1, 0] = np.nan
    with pytest.raises(ContractError, match="first in a") as error:
        assemble(x, ["a", "b"], wells_of(fields()), np.ones(2), np.ones(2))
    assert "B02" in error.value.where
