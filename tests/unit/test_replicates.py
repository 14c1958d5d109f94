"""Rows of fields and cells become one row a well and perturbation, and guides are means over cells."""

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae import tables
from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.contracts import OBS_COLUMNS
from platemae.tables import read_replicates, write_anndata


def cells(seed: int = 0, count: int = 300) -> anndata.AnnData:
    rng = np.random.default_rng(seed)
    guides = rng.choice(["NTC", "A_g1", "A_g2", "B_g1"], count, p=[0.3, 0.5, 0.1, 0.1])
    obs = pd.DataFrame("", index=[f"c{i}" for i in range(count)], columns=list(OBS_COLUMNS))
    obs["Metadata_Plate"], obs["Metadata_Well"] = "P1", rng.choice(["A01", "A02"], count)
    obs["Metadata_Perturbation"], obs["Metadata_Gene"] = guides, [g[0] if g != "NTC" else "" for g in guides]
    obs["Metadata_Control_Type"] = np.where(guides == "NTC", "negcon", "treatment")
    obs["Metadata_Cell"] = obs.index
    return anndata.AnnData(rng.normal(size=(count, 5)).astype(np.float32), obs=obs)


@pytest.mark.parametrize("method", ["mean", "median"])
def test_replicates_equal_a_slow_loop(tmp_path, monkeypatch, method):
    monkeypatch.setattr(tables, "BLOCK", 64)
    data = cells()
    write_anndata(data, tmp_path / "p.h5ad")
    found = read_replicates(tmp_path / "p.h5ad", method)
    assert list(found.obs.columns) == [*OBS_COLUMNS, "n_rows"]
    assert len(found) == 8
    for name, row in found.obs.iterrows():
        mine = (data.obs["Metadata_Well"] == row["Metadata_Well"]) & (
            data.obs["Metadata_Perturbation"] == row["Metadata_Perturbation"]
        )
        assert name == f"P1_{row['Metadata_Well']}_{row['Metadata_Perturbation']}"
        assert row["n_rows"] == mine.sum()
        expected = getattr(np, method)(data.X[mine.to_numpy()].astype(np.float64), axis=0)
        np.testing.assert_allclose(found[name].X[0], expected, rtol=1e-5, atol=1e-6)


def test_wells_stay_as_they_are_and_fields_are_not_weighted(tmp_path):
    fields = cells()
    del fields.obs["Metadata_Cell"]
    write_anndata(fields, tmp_path / "f.h5ad")
    assert "n_rows" not in read_replicates(tmp_path / "f.h5ad").obs
    wells = fields[~fields.obs.duplicated(["Metadata_Well", "Metadata_Perturbation"])].copy()
    wells.obs["n_tiles"] = 3
    write_anndata(wells, tmp_path / "w.h5ad")
    same = read_replicates(tmp_path / "w.h5ad")
    assert np.array_equal(same.X, wells.X)
    assert list(same.obs_names) == list(wells.obs_names)
    assert "n_tiles" in same.obs


def test_a_guide_is_the_mean_over_its_cells_and_a_gene_over_its_guides(tmp_path):
    data = cells()
    write_anndata(data, tmp_path / "p.h5ad")
    replicates = read_replicates(tmp_path / "p.h5ad")
    found = build_gene_map(replicates.X, replicates.obs, AggregateSettings(n_null=9))
    guides = [data.X[(data.obs["Metadata_Perturbation"] == g).to_numpy()].mean(0) for g in ("A_g1", "A_g2")]
    np.testing.assert_allclose(found["A"].X[0], np.mean(guides, 0), rtol=1e-4, atol=1e-6)
    assert found.obs.loc["A", "n_cells"] == data.obs["Metadata_Gene"].eq("A").sum()
    assert found.obs.loc["A", "n_wells"] == 4, "replicates: two guides in two wells"
