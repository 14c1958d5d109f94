"""Wells -> guides -> genes, against a plain loop."""

import anndata
import numpy as np
import pytest

from platemae.errors import InputError
from platemae.layout import Results
from platemae.stages import build_map
from platemae.tables import write_anndata
from tests.stages.screen import GENES, embedded_plate


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path)
    for number, plate in enumerate(("P1", "P2")):
        table = embedded_plate(made, "m", plate, "B1", seed=number)
        write_anndata(table, made.corrected("m", "none", plate))
    return made


def cfg(entity="gene", aggregate="mean"):
    return {"map": {"entity": entity, "aggregate": aggregate}, "plates": ["P1", "P2"]}


@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_genes_are_means_of_guides(results, aggregate):
    manifest = build_map.run(results, cfg(aggregate=aggregate), model="m", correction="none")
    gene_map = anndata.read_h5ad(results.map("m", "none"))
    wells = anndata.concat([anndata.read_h5ad(results.corrected("m", "none", p)) for p in ("P1", "P2")])
    function = getattr(np, aggregate)
    for gene in GENES[:4]:
        guides = [
            function(wells.X[(wells.obs["Metadata_Perturbation"] == f"{gene}_g{k}").to_numpy()].astype(float), axis=0)
            for k in (1, 2)
        ]
        row = gene_map[gene]
        np.testing.assert_allclose(row.X.ravel(), function(guides, axis=0), rtol=1e-5)
        assert row.obs[["n_wells", "n_guides", "n_plates"]].to_numpy().tolist() == [[4, 2, 2]]
    assert manifest.counts["rows"] == len(GENES)
    assert manifest.counts["n_not_treated"] == 24


def test_a_row_a_guide_where_asked(results):
    build_map.run(results, cfg(entity="perturbation"), model="m", correction="none")
    assert anndata.read_h5ad(results.map("m", "none")).n_obs == 2 * len(GENES)


def test_a_column_that_is_empty_is_refused(results):
    with pytest.raises(InputError, match="no treated well"):
        build_map.run(results, cfg(entity="compound"), model="m", correction="none")
