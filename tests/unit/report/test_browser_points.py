"""Which rows the browser draws, and where."""

import anndata
import numpy as np
import pandas as pd
import pytest

from platemae.contracts import OBS_COLUMNS
from platemae.layout import Results
from platemae.report import browser_umap, shares
from platemae.report.browser_points import all_points, stratified
from platemae.report.browser_umap import umap_of_some
from platemae.report.source import Source

CFG = {
    "report": {"umap_neighbors": 5, "seed": 1},
    "plates": ["P1", "P2"],
    "map_plates": ["P1", "P2"],
    "models": [{"name": "mae", "kind": "mae"}, {"name": "late", "kind": "mae"}],
    "corrections": [{"name": "none", "kind": "none"}, {"name": "tvn", "kind": "tvn"}],
}


@pytest.fixture(autouse=True)
def _flat_umap(monkeypatch):
    """Stand in for UMAP, which compiles for half a minute: the first two columns."""
    monkeypatch.setattr(browser_umap, "umap", lambda x_ND, neighbors, seed: np.asarray(x_ND[:, :2], float))


def table(plate: str, wells: int, x_ND: np.ndarray) -> anndata.AnnData:
    names = [f"A{i + 1:02d}" for i in range(wells)]
    obs = pd.DataFrame(dict.fromkeys(OBS_COLUMNS, ""), index=[f"{plate}_{name}" for name in names])
    kinds = np.where(np.arange(wells) % 4 == 0, "negcon", "treatment")
    genes = [f"G{i % 3}" if kind == "treatment" else "" for i, kind in enumerate(kinds)]
    told = {"Plate": plate, "Well": names, "Control_Type": kinds, "Gene": genes, "Perturbation": genes}
    return anndata.AnnData(x_ND.astype(np.float32), obs=obs.assign(**{f"Metadata_{k}": v for k, v in told.items()}))


def write(path, made: anndata.AnnData) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.write_h5ad(path)


@pytest.fixture
def source(tmp_path) -> Source:
    """Two plates of 40 and 20 wells of the model mae; the second model has no embeddings."""
    results, rng = Results(tmp_path), np.random.default_rng(0)
    for plate, wells in (("P1", 40), ("P2", 20)):
        x_ND = rng.normal(size=(wells, 6)) * [4, 2, 1, 1, 1, 1]
        write(results.embedding("mae", plate), table(plate, wells, x_ND))
        write(results.corrected("mae", "tvn", plate), table(plate, wells, x_ND[:, ::-1]))
    return Source(results, CFG)


def test_before_and_each_correction_have_both_methods(source):
    (points,) = all_points(source)
    assert (points.model, points.total, len(points.obs)) == ("mae", 60, 60)
    assert [view.title for view in points.views] == ["before", "tvn"]
    x_ND = np.concatenate([anndata.read_h5ad(source.results.embedding("mae", p)).X for p in ("P1", "P2")])
    centred = x_ND - x_ND.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points.views[0].pca), np.abs(left[:, :2] * scale[:2]), atol=1e-4)
    np.testing.assert_allclose(points.views[0].explained, (scale**2 / (scale**2).sum())[:2], rtol=1e-4)


def test_too_many_rows_are_thinned_by_plate_control_type_and_gene(source, monkeypatch):
    monkeypatch.setattr(shares, "MAX_POINTS", 30)
    (points,) = all_points(source)
    assert (points.total, len(points.obs)) == (60, 30)
    assert points.obs["Metadata_Plate"].value_counts().to_dict() == {"P1": 20, "P2": 10}
    kinds = points.obs["Metadata_Control_Type"].value_counts()
    assert abs(kinds["negcon"] - 7.5) <= 1
    (again,) = all_points(source)
    assert list(points.obs.index) == list(again.obs.index)
    np.testing.assert_array_equal(points.views[1].umap, again.views[1].umap)


def test_rows_that_a_correction_lacks_are_not_drawn_and_are_counted(source):
    path = source.results.corrected("mae", "tvn", "P2")
    path.unlink()
    made = table("P2", 20, np.ones((20, 6)) * np.arange(20)[:, None])
    made.X[3] = np.nan
    write(path, made[:15].copy())
    (points,) = all_points(source)
    lost = np.isnan(points.views[1].pca).any(axis=1)
    assert list(points.obs.index[lost]) == ["P2_A04", *(f"P2_A{i:02d}" for i in range(16, 21))]
    assert not np.isnan(points.views[0].pca).any()
    assert points.notes == ["6 rows of mae corrected by tvn are missing or not finite, and are not drawn."]


def test_more_views_leave_fewer_points_so_that_the_page_stays_small(source, monkeypatch):
    monkeypatch.setattr(shares, "COORDINATE_BYTES", 10 * 2 * shares.POINT_BYTES)
    (points,) = all_points(source)
    assert len(points.obs) == 10  # of 20 in all, two views


def test_counting_through_sorted_rows_keeps_shares():
    obs = pd.DataFrame({f"Metadata_{key}": [""] * 1000 for key in ("Perturbation", "Gene", "Control_Type")})
    obs["Metadata_Gene"] = np.random.default_rng(0).permutation(np.repeat([f"G{i}" for i in range(50)], 20))
    places = stratified(obs, 250, seed=3)
    assert len(set(places)) == 250
    assert (np.diff(places) > 0).all()
    assert set(obs["Metadata_Gene"].iloc[places].value_counts()) == {5}
    assert not np.array_equal(places, stratified(obs, 250, seed=4))


def test_rows_that_umap_did_not_see_lie_among_their_nearest_fitted_ones():
    x_NK = np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32)
    placed = umap_of_some(x_NK, 5, 0, 20)
    fitted = [i for i in range(60) if np.array_equal(placed[i], x_NK[i, :2].astype(float))]
    assert len(fitted) == 20
    for row in set(range(60)) - set(fitted):
        distance = np.linalg.norm(x_NK[fitted] - x_NK[row], axis=1)
        near = np.argsort(distance)[:5]
        weight = 1 / distance[near]
        expected = (weight[:, None] * x_NK[np.array(fitted)[near], :2]).sum(axis=0) / weight.sum()
        np.testing.assert_allclose(placed[row], expected, rtol=1e-4)
    np.testing.assert_array_equal(umap_of_some(x_NK, 5, 0, 60), x_NK[:, :2])
