"""Batch mixing, against scikit-learn and closed forms."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from platemae.benchmarks.batch_mixing import BATCH_METRICS, BatchMixing, BatchMixingSettings
from platemae.benchmarks.mixing import components, inverse_simpson, nearest, silhouette, variance_between
from platemae.benchmarks.scored import Scored
from platemae.errors import ContractError

NUMBERS = ["value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high", "chance"]


def screen(shift=0.0, plates=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = [(f"P{q}", f"A{c:02d}") for q in range(plates) for c in range(1, 25)]
    obs = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well"])
    obs["Metadata_Batch"] = np.where(obs["Metadata_Plate"] < "P2", "b0", "b1")
    column = obs["Metadata_Well"].str[1:].astype(int)
    obs["Metadata_Control_Type"] = np.where(column <= 12, "negcon", "treatment")
    obs["Metadata_Perturbation"] = np.where(column <= 12, "DMSO", "p" + (column % 3).astype(str))
    obs.index = [f"w{i}" for i in range(len(obs))]
    offset = shift * rng.normal(size=(plates, 8))
    return anndata.AnnData(
        X=rng.normal(size=(len(obs), 8)) + offset[obs["Metadata_Plate"].str[1:].astype(int)], obs=obs
    )


def score(wells, **keys):
    given = BatchMixingSettings(**({"n_neighbors": 5, "n_bootstrap": 50, "n_shuffles": 5} | keys))
    return BatchMixing.score(Scored(read_wells=lambda: wells), given).set_index(["source", "metric"])


def test_values_equal_scikit_learn():
    wells = screen(0.7)
    table = score(wells, n_components=4)
    plate = wells.obs["Metadata_Plate"].to_numpy()
    unit = wells.X / np.linalg.norm(wells.X, axis=1, keepdims=True)
    near = (
        NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(unit).kneighbors(return_distance=False)
    )
    assert table.loc[("wells", "same_batch_share"), "value"] == pytest.approx((plate[near] == plate[:, None]).mean())
    shares = [np.unique(row, return_counts=True)[1] / 5 for row in plate[near]]
    effective = np.mean([1 / (share**2).sum() for share in shares])
    assert table.loc[("wells", "batch_inverse_simpson"), "value"] == pytest.approx(effective)
    apart = silhouette_samples(wells.X, plate, metric="cosine").mean()
    assert table.loc[("wells", "batch_silhouette"), "value"] == pytest.approx(apart)
    first = PCA(4).fit(wells.X)
    onehot = pd.get_dummies(plate).to_numpy(float)
    y = first.transform(wells.X)
    r2 = [LinearRegression().fit(onehot, column).score(onehot, column) for column in y.T]
    between = np.average(r2, weights=first.explained_variance_)
    assert table.loc[("wells", "batch_variance"), "value"] == pytest.approx(between)
    treated = wells[wells.obs["Metadata_Control_Type"] == "treatment"]
    labels = silhouette_samples(treated.X, treated.obs["Metadata_Perturbation"].to_numpy(), metric="cosine").mean()
    assert table.loc[("wells", "label_silhouette"), "value"] == pytest.approx(labels)


@given(st.integers(0, 1000), st.integers(2, 5))
@settings(max_examples=10, deadline=None)
def test_silhouette_has_0_for_groups_of_one_as_scikit_learn(seed, n_groups):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 3))
    groups = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, 19 - n_groups), [n_groups]])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(silhouette(unit, groups), silhouette_samples(x, groups, metric="cosine"), atol=1e-9)


def test_mixed_plates_are_at_chance_and_shifted_ones_are_not():
    found = [score(screen(seed=seed), n_bootstrap=5) for seed in range(12)]
    for source in ("negcon", "wells"):
        for metric in BATCH_METRICS:
            gap = np.mean(
                [table.loc[(source, metric), "value"] - table.loc[(source, metric), "chance"] for table in found]
            )
            assert abs(gap) < 0.05, (source, metric)
    apart = score(screen(3.0))
    for metric in ("same_batch_share", "batch_silhouette", "batch_variance"):
        row = apart.loc[("negcon", metric)]
        assert row["ci_low"] > row["chance"] + 0.2
        assert row["plate_ci_low"] <= row["value"] <= row["plate_ci_high"]
    assert apart.loc[("negcon", "batch_inverse_simpson"), "value"] < 1.3


def test_chance_of_same_batch_share_is_that_of_random_neighbours():
    wells = screen(plates=3)
    wells = wells[(wells.obs["Metadata_Plate"] != "P0").to_numpy() | (np.arange(wells.n_obs) % 3 == 0)].copy()
    row = score(wells).loc[("wells", "same_batch_share")]
    sizes = wells.obs["Metadata_Plate"].value_counts().to_numpy()
    n = sizes.sum()
    assert row["chance"] == pytest.approx((sizes / n * (sizes - 1) / (n - 1)).sum())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100), st.floats(1e-3, 1e3))
def test_neither_order_nor_scale_changes_anything(seed, scale):
    wells = screen(0.5)
    moved = wells[np.random.default_rng(seed).permutation(wells.n_obs)].copy()
    moved.X = moved.X * scale
    np.testing.assert_allclose(score(moved)[NUMBERS], score(wells)[NUMBERS], atol=1e-9)


def test_a_rotation_changes_nothing():
    wells = screen(0.5)
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    turned = wells.copy()
    turned.X = wells.X @ q
    np.testing.assert_allclose(score(turned)[NUMBERS], score(wells)[NUMBERS], atol=1e-8)


def test_batches_of_plates_and_bad_wells():
    wells = screen(2.0)
    wells.X[0], wells.X[1, 0] = 0, np.nan
    table = score(wells, batch="batch")
    detail = json.loads(table.loc[("negcon", "same_batch_share"), "detail"])
    assert (detail["n_batches"], detail["n_plates"], detail["n_zero"]) == (2, 4, 1)
    assert detail["not_finite"] == ["P0:A02"]
    assert table.loc[("negcon", "batch_variance"), "n"] == 46
    with pytest.raises(ContractError, match="Metadata_Gene"):
        score(wells, label="gene")


def test_what_cannot_be_measured_says_why():
    one = score(screen(plates=1))
    assert one["value"].isna().sum() == 8
    assert one["detail"].str.contains("two batches").sum() == 8
    two = score(screen(plates=2))
    assert two["value"].notna().all()
    assert two["plate_ci_low"].isna().all()
    assert two["detail"].str.contains("fewer than 3").all()


def test_many_wells_are_drawn_from():
    table = score(screen(), max_wells=40)
    assert (table["n"] <= 40).all()
    assert json.loads(table.loc[("wells", "same_batch_share"), "detail"])["n_not_drawn"] == 56
    pd.testing.assert_frame_equal(table, score(screen(), max_wells=40))


def test_ties_take_the_first_wells_and_the_index_counts_batches():
    u = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    assert nearest(u, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]
    np.testing.assert_allclose(inverse_simpson(np.array([[0, 1, 2, 3], [0, 0, 1, 1], [5, 5, 5, 5]])), [4, 2, 1])


def test_components_of_few_and_of_many_dimensions_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    for shape in ((30, 5), (8, 20)):
        x = rng.normal(size=shape)
        found, expected = components(x, 4), PCA(4).fit_transform(x)
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-8)
    assert np.isnan(variance_between(np.zeros((4, 2)), np.array([0, 0, 1, 1])))
