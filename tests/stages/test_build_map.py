"""Wells -> guides -> genes, against a plain loop."""

import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.shift import plate_shifts
from platemae.errors import InputError
from platemae.layout import Results
from platemae.report.papers import _map
from platemae.stages import build_map
from platemae.standing.content import content_digest
from platemae.store.parquet import write_parquet
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


def test_how_far_plates_stand_apart_lies_beside_the_map_and_counts_in_its_digest(results):
    """Of a table with three fields a well, the wells count, not the fields."""
    manifest = build_map.run(results, cfg(), model="m", correction="none")
    wells = anndata.concat([anndata.read_h5ad(results.corrected("m", "none", p)) for p in ("P1", "P2")])
    table = pd.read_parquet(results.plate_shifts("m", "none"))
    pd.testing.assert_frame_equal(table, plate_shifts(wells.X, wells.obs))
    assert table["n"].tolist() == [12, 12, 60, 60]
    assert table["shift"].notna().all()
    for plate in ("P1", "P2"):
        path = results.corrected("m", "none", plate)
        well = anndata.read_h5ad(path)
        fields = anndata.concat([well] * 3, index_unique="_")
        write_anndata(fields, path)
    again = build_map.run(results, cfg(), model="m", correction="none")
    pd.testing.assert_frame_equal(pd.read_parquet(results.plate_shifts("m", "none")), table)
    assert content_digest(results, again, {"model": "m", "correction": "none"}) == again.digest
    write_parquet(table.assign(shift=0.0), results.plate_shifts("m", "none"))
    assert content_digest(results, manifest, {"model": "m", "correction": "none"}) != again.digest


def test_cells_are_counted_beside_the_guides_in_wells_that_they_become(results):
    plain = build_map.run(results, cfg(), model="m", correction="none")
    assert "n_cells" not in plain.counts
    for plate in ("P1", "P2"):
        path = results.corrected("m", "none", plate)
        cells = anndata.concat([anndata.read_h5ad(path)] * 3, index_unique="_")
        cells.obs["Metadata_Cell"] = cells.obs_names
        write_anndata(cells, path)
    pooled = build_map.run(results, cfg(), model="m", correction="none")
    assert (pooled.counts["n_cells"], pooled.counts["n_wells"]) == (360, 120)
    assert _map(pooled.counts) == "360 cells, 120 pairs of guide and well, 24 rows of the map"
    assert _map(plain.counts) == "120 wells, 24 rows of the map"


def test_a_row_a_guide_where_asked(results):
    build_map.run(results, cfg(entity="perturbation"), model="m", correction="none")
    assert anndata.read_h5ad(results.map("m", "none")).n_obs == 2 * len(GENES)


def test_a_column_that_is_empty_is_refused(results):
    with pytest.raises(InputError, match="no treated well"):
        build_map.run(results, cfg(entity="compound"), model="m", correction="none")


def test_umap_and_clusters_are_stored_where_asked_and_the_same_each_time(results):
    plain = build_map.run(results, cfg(), model="m", correction="none")
    assert not anndata.read_h5ad(results.map("m", "none")).obsm
    asked = cfg()
    asked["map"]["embed"] = {"neighbors": 5, "resolution": 1.0, "seed": 0}
    first = build_map.run(results, asked, model="m", correction="none")
    gene_map = anndata.read_h5ad(results.map("m", "none"))
    assert gene_map.obsm["X_umap"].shape == (len(GENES), 2)
    assert gene_map.obs["leiden"].nunique() > 1
    again = build_map.run(results, asked, model="m", correction="none")
    assert first == again != plain
    assert first.counts == plain.counts


def test_pairs_that_share_a_direction_share_a_cluster(results):
    asked = cfg()
    asked["map"]["embed"] = {"neighbors": 2, "resolution": 1.0, "seed": 0}
    build_map.run(results, asked, model="m", correction="none")
    clusters = anndata.read_h5ad(results.map("m", "none")).obs["leiden"].astype(str)
    assert sum(clusters[f"G{2 * k}"] == clusters[f"G{2 * k + 1}"] for k in range(len(GENES) // 2)) >= 10


@pytest.mark.parametrize("rows", [3, 4, 6])
def test_a_tiny_map_has_no_umap_and_says_so(results, rows):
    for plate in ("P1", "P2"):
        path = results.corrected("m", "none", plate)
        wells = anndata.read_h5ad(path)
        write_anndata(wells[wells.obs["Metadata_Gene"].isin(["", *GENES[:rows]])].copy(), path)
    asked = cfg()
    asked["map"]["embed"] = {"neighbors": 15, "resolution": 1.0, "seed": 0}
    manifest = build_map.run(results, asked, model="m", correction="none")
    has = "X_umap" in anndata.read_h5ad(results.map("m", "none")).obsm
    assert has == (rows >= 4)
    assert manifest.warnings == ([] if has else ["no UMAP and no clusters: the map has 3 rows, fewer than 4"])


def test_what_was_left_out_and_not_corrected_is_named_in_the_manifest(results, tmp_path):
    (tmp_path / "arms.csv").write_text("gene,chromosome_arm\n" + "".join(f"{gene},1p\n" for gene in GENES[:-1]))
    asked = cfg()
    asked["map"] |= {"filter_consistency_p": 0.5, "chromosome_arms": "arms.csv", "arm_genes": 5}
    manifest = build_map.run(results, asked, model="m", correction="none", base=tmp_path)
    gene_map = anndata.read_h5ad(results.map("m", "none"))
    assert manifest.counts["rows"] == gene_map.n_obs
    assert manifest.counts["n_genes_centered"] == len(GENES) - 1
    assert "genes without a chromosome arm, not corrected: G23" in manifest.warnings
    left = [text for text in manifest.warnings if text.startswith("rows left out of the map as not consistent: ")]
    assert len(left) == (manifest.counts["n_inconsistent"] > 0)


def test_scanpy_is_imported_only_where_a_map_is_embedded():
    code = "import sys, platemae.stages.build_map; assert not {'scanpy', 'umap', 'igraph'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
