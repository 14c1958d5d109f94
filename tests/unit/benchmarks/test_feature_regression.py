"""Features from embeddings, against scikit-learn's ridge and R2."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from platemae.benchmarks.feature_regression import (
    FeatureRegression,
    FeatureRegressionSettings,
    cross_predict,
    ridge,
)
from platemae.benchmarks.feature_table import category, compartment, read_features
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, InputError

NAMES = [
    "Cells_Texture_Contrast_DNA",
    "Cells_Texture_Entropy_DNA",
    "Nuclei_AreaShape_Area",
    "Nuclei_Intensity_Mean_DNA",
]


def screen(tmp_path, plates=4, noise=0.3, seed=0):
    """Wells whose features are linear in their vectors, but the last, which is noise; one table a plate."""
    rng = np.random.default_rng(seed)
    obs = pd.DataFrame([(f"P{q}", f"{r}{c:02d}") for q in range(plates) for r in "ABC" for c in range(1, 9)])
    obs.columns = ["Metadata_Plate", "Metadata_Well"]
    obs["Metadata_Batch"] = np.where(obs["Metadata_Plate"] < "P2", "b0", "b1")
    obs["Metadata_Control_Type"] = "treatment"
    obs.index = [f"w{i}" for i in range(len(obs))]
    x = rng.normal(size=(len(obs), 6))
    y = x @ rng.normal(size=(6, 4)) * [1, 1e4, 1e-3, 0] + noise * rng.normal(size=(len(obs), 4)) * [1, 1e4, 1e-3, 1]
    table = obs[["Metadata_Plate", "Metadata_Well"]].assign(**dict(zip(NAMES, y.T, strict=True)))
    for name, rows in table.groupby("Metadata_Plate"):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
    table.to_parquet(tmp_path / "all.parquet", index=False)
    return anndata.AnnData(X=x, obs=obs), y


def score(wells, features, **keys):
    settings = FeatureRegressionSettings(features=str(features), **({"n_bootstrap": 50} | keys))
    return FeatureRegression.score(Scored(read_wells=lambda: wells), settings)


@pytest.mark.parametrize("shape", [(40, 6), (12, 30)])
@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_one_penalty_equals_scikit_learns_ridge(shape, alpha):
    rng = np.random.default_rng(1)
    x, new, y = rng.normal(size=shape) * 7 + 3, rng.normal(size=(9, shape[1])), rng.normal(size=(shape[0], 5))
    expected = make_pipeline(StandardScaler(), Ridge(alpha)).fit(x, y).predict(new)
    np.testing.assert_allclose(ridge(x, y, new, [alpha]), expected, atol=1e-9)


@pytest.mark.parametrize("shape", [(40, 6), (15, 30)])
def test_the_best_penalty_of_each_feature_is_that_of_scikit_learn(shape):
    rng = np.random.default_rng(2)
    x = rng.normal(size=shape)
    y = x @ rng.normal(size=(shape[1], 6)) * np.array([0, 0.05, 0.2, 0.5, 1, 5]) + rng.normal(size=(shape[0], 6))
    new, alphas = rng.normal(size=(9, shape[1])), [0.1, 1, 10, 100, 1000]
    model = make_pipeline(StandardScaler(), RidgeCV(alphas, alpha_per_target=True)).fit(x, y)
    assert len(set(model[-1].alpha_)) > 1
    np.testing.assert_allclose(ridge(x, y, new, alphas), model.predict(new), atol=1e-8)


def test_r2_equals_scikit_learn_over_plates_held_out(tmp_path):
    wells, y = screen(tmp_path)
    groups = wells.obs["Metadata_Plate"].to_numpy()
    model = make_pipeline(StandardScaler(), Ridge(2.0))
    told = cross_val_predict(model, wells.X, y, groups=groups, cv=GroupKFold(4))
    expected = r2_score(y, told, multioutput="raw_values")
    table = score(wells, tmp_path / "all.parquet", alphas=(2.0,), n_splits=4, per_feature=True).set_index("source")
    details = [json.loads(table.loc[f"category:{name}", "detail"])["r2"] for name in ("texture", "shape", "intensity")]
    single = {name: value for detail in details for name, value in detail.items()}
    np.testing.assert_allclose([single[name] for name in NAMES], expected, atol=1e-4)
    assert table.loc["all", "value"] == pytest.approx(np.median(expected))
    assert table.loc["category:texture", "value"] == pytest.approx(np.median(expected[:2]))
    assert table.loc["compartment:Nuclei", "value"] == pytest.approx(np.median(expected[2:]))
    assert table.loc["category:texture", "value"] > 0.8
    assert table.loc["category:intensity", "value"] < 0.1
    assert (table["plate_ci_low"] <= table["value"]).all()
    assert (table["value"] <= table["plate_ci_high"]).all()


def test_one_table_a_plate_is_the_same_as_one_for_all(tmp_path):
    wells, _ = screen(tmp_path)
    pd.testing.assert_frame_equal(score(wells, tmp_path / "{plate}.csv"), score(wells, tmp_path / "all.parquet"))


def test_order_of_wells_and_scale_change_nothing(tmp_path):
    wells, _ = screen(tmp_path)
    moved = wells[np.random.default_rng(0).permutation(wells.n_obs)].copy()
    moved.X = moved.X * 250 - 3
    left, right = (score(one, tmp_path / "all.parquet") for one in (moved, wells))
    numbers = ["value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high"]
    np.testing.assert_allclose(left[numbers], right[numbers], atol=1e-9)


def test_features_of_other_wells_are_at_chance(tmp_path):
    values = []
    for seed in range(10):
        wells, _ = screen(tmp_path, seed=seed)
        wells.X = wells.X[np.random.default_rng(seed).permutation(wells.n_obs)]
        table = score(wells, tmp_path / "all.parquet").set_index("source")
        values.append(table.loc["all", "value"])
        assert table.loc["all", "chance"] == 0
    assert -0.15 < np.mean(values) < 0.05


def test_what_is_left_out_is_counted(tmp_path):
    wells, _ = screen(tmp_path)
    table = pd.read_parquet(tmp_path / "all.parquet")
    table["Cells_Intensity_Flat"], table["Image_Granularity_1"] = 3.7, np.arange(len(table), dtype=float)
    table.loc[3, "Image_Granularity_1"] = np.inf
    table["Cells_Comment"] = "text"
    table = table[table["Metadata_Well"] != "C08"]
    table.loc[table["Metadata_Well"] == "C07", table.columns[2:-1]] = np.nan
    table.to_csv(tmp_path / "bad.csv", index=False)
    detail = json.loads(score(wells, tmp_path / "bad.csv")["detail"].iloc[0])
    assert detail["n_features"] == 4
    assert detail["n_features_constant"] == 1
    assert detail["features_not_finite"] == ["Image_Granularity_1"]
    assert detail["n_features_text"] == 1
    assert detail["n_without_features"] == 4
    assert detail["n_wells_lacking_features"] == 4
    assert detail["n_wells"] == 88


def test_a_well_that_failed_takes_no_feature_along(tmp_path):
    """A well with one number of four is left out by name; a well without one number costs that feature."""
    wells, _ = screen(tmp_path)
    table = pd.read_parquet(tmp_path / "all.parquet").set_index(["Metadata_Plate", "Metadata_Well"])
    table.loc[("P1", "B03"), NAMES[:3]] = np.nan
    table.to_csv(tmp_path / "failed.csv")
    detail = json.loads(score(wells, tmp_path / "failed.csv")["detail"].iloc[0])
    assert detail["wells_lacking_features"] == ["P1:B03"]
    assert (detail["n_features"], detail["n_features_not_finite"], detail["n_wells"]) == (4, 0, 95)
    table.loc[("P2", "A01"), NAMES[1]] = np.nan
    table.to_csv(tmp_path / "failed.csv")
    detail = json.loads(score(wells, tmp_path / "failed.csv")["detail"].iloc[0])
    assert (detail["features_not_finite"], detail["n_wells"]) == ([NAMES[1]], 95)
    sparse = table.where(~np.eye(len(table), 4, dtype=bool))
    sparse.to_csv(tmp_path / "sparse.csv")
    with pytest.raises(InputError, match="no feature is left of 4") as caught:
        score(wells, tmp_path / "sparse.csv")
    assert "fill in the values that are missing" in caught.value.remedy
    table.assign(**dict.fromkeys(NAMES, 1.0)).to_csv(tmp_path / "flat.csv")
    with pytest.raises(InputError, match="no feature is left of 4") as caught:
        score(wells, tmp_path / "flat.csv")
    assert "vary" in caught.value.remedy


def test_wells_without_a_batch_are_no_batch(tmp_path):
    wells, _ = screen(tmp_path, plates=6)
    wells.obs["Metadata_Batch"] = wells.obs["Metadata_Plate"].map(
        dict(zip([f"P{i}" for i in range(6)], "aabbcc", strict=True))
    )
    wells.obs.loc[wells.obs["Metadata_Plate"] == "P5", "Metadata_Batch"] = [None, ""] * 12
    found = score(wells, tmp_path / "all.parquet", split_by="batch")
    kept = wells[wells.obs["Metadata_Plate"] != "P5"].copy()
    expected = score(kept, tmp_path / "all.parquet", split_by="batch")
    pd.testing.assert_frame_equal(found.drop(columns="detail"), expected.drop(columns="detail"))
    detail = json.loads(found["detail"].iloc[0])
    assert (detail["n_without_group"], detail["n_groups"], detail["n_wells"]) == (24, 3, 120)
    wells.obs["Metadata_Batch"] = ""
    none = score(wells, tmp_path / "all.parquet", split_by="batch")
    assert "no well has a batch" in json.loads(none["detail"].iloc[0])["reason"]


def test_wrong_tables_are_errors(tmp_path):
    wells, _ = screen(tmp_path)
    table = pd.read_parquet(tmp_path / "all.parquet")
    with pytest.raises(InputError, match="missing") as caught:
        score(wells, tmp_path / "gone" / "{plate}.csv")
    assert "benchmarks: features" in caught.value.remedy
    pd.concat([table, table.iloc[:1]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="two rows of features: P0:A01"):
        score(wells, tmp_path / "twice.csv")
    table.assign(Metadata_Plate="X" + table["Metadata_Plate"]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(InputError, match="no well has features"):
        score(wells, tmp_path / "other.csv")
    with pytest.raises(ConfigError, match="alphas"):
        FeatureRegressionSettings(alphas=(0.0,))
    one = score(wells[wells.obs["Metadata_Plate"] == "P1"].copy(), tmp_path / "all.parquet")
    assert "one plate alone" in json.loads(one["detail"].iloc[0])["reason"]


def test_a_constant_dimension_is_no_trouble():
    rng = np.random.default_rng(0)
    x, y, groups = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)), np.repeat([0, 1, 2], 10)
    flat = np.hstack([x, np.full((30, 1), 0.1)])
    np.testing.assert_allclose(cross_predict(flat, y, groups, [1.0], 3), cross_predict(x, y, groups, [1.0], 3))


def test_names_of_features_tell_category_and_compartment():
    told = {
        name: (category(name), compartment(name)) for name in [*NAMES, "Median_Cytoplasm_RadialDistribution_x", "f7"]
    }
    assert told == {
        NAMES[0]: ("texture", "Cells"),
        NAMES[1]: ("texture", "Cells"),
        NAMES[2]: ("shape", "Nuclei"),
        NAMES[3]: ("intensity", "Nuclei"),
        "Median_Cytoplasm_RadialDistribution_x": ("radial_distribution", "Cytoplasm"),
        "f7": ("other", "other"),
    }


def test_wells_of_the_table_may_be_spelled_otherwise(tmp_path):
    (tmp_path / "P1.csv").write_text("Metadata_Well,a\nb3,1\nB-04,2\n")
    found = read_features(str(tmp_path / "{plate}.csv"), ["P1", "P1"], ["B04", "B03"])
    assert found.y_NF.ravel().tolist() == [2, 1]


def test_one_feature_has_a_value_and_no_interval(tmp_path):
    wells, _ = screen(tmp_path)
    table = score(wells, tmp_path / "all.parquet").set_index("source")
    alone, several = table.loc["category:shape"], table.loc["category:texture"]
    assert alone["n"] == 1
    assert np.isfinite(alone["value"])
    assert np.isnan([alone["ci_low"], alone["ci_high"]]).all()
    assert "1 unit" in json.loads(alone["detail"])["interval_reason"]
    assert several["ci_low"] < several["ci_high"]
    assert "interval_reason" not in json.loads(several["detail"])
