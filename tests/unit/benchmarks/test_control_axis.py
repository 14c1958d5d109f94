"""Controls and dose along the axis, against scikit-learn, scipy and closed forms."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import NearestCentroid

from platemae.benchmarks.control_axis import ControlAxis, ControlAxisSettings, leave_one_out_hits
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, ContractError


def wells(x, kinds, doses):
    obs = pd.DataFrame({"Metadata_Control_Type": kinds, "Metadata_Concentration": [str(d) for d in doses]})
    obs["Metadata_Plate"] = [f"p{i % 3}" for i in range(len(obs))]
    obs["Metadata_Well"] = [f"A{i:03d}" for i in range(len(obs))]
    obs.index = [f"w{i}" for i in range(len(obs))]
    return anndata.AnnData(X=np.asarray(x, dtype=np.float32), obs=obs)


@pytest.mark.parametrize("shift", [0.0, 1.0, 5.0])
def test_hits_equal_scikit_learns_nearest_centroid(shift):
    rng = np.random.default_rng(3)
    negative, positive = rng.normal(size=(9, 4)), rng.normal(size=(5, 4)) + shift
    x, y = np.vstack([negative, positive]), np.repeat([0, 1], [9, 5])
    expected = cross_val_predict(NearestCentroid(), x, y, cv=LeaveOneOut()) == y
    np.testing.assert_array_equal(leave_one_out_hits(negative, positive), expected)


def score(table, settings):
    return ControlAxis.score(Scored(read_wells=lambda: table), settings)


def test_dose_equals_spearman_of_the_projection():
    rng = np.random.default_rng(0)
    dose = np.repeat(np.arange(1, 7), 4)
    x = rng.normal(size=(len(dose) + 10, 3))
    x[:5] -= 2
    x[5:10] += 2
    x[10:] += np.linspace(-1, 1, len(dose))[:, None]
    kinds = ["negcon"] * 5 + ["poscon"] * 5 + ["treatment"] * len(dose)
    table = ControlAxis.score(
        Scored(None, lambda: wells(x, kinds, [0] * 10 + list(dose))), ControlAxisSettings(n_bootstrap=200)
    )
    row = table.set_index("metric").loc["dose_spearman"]
    x = x.astype(np.float32).astype(float)
    axis = x[5:10].mean(0) - x[:5].mean(0)
    assert row["value"] == pytest.approx(spearmanr(dose, x[10:] @ axis).statistic)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["n"] == len(dose)
    assert row["chance"] == 0


def test_random_wells_are_at_chance():
    rng = np.random.default_rng(1)
    values = []
    for _ in range(40):
        kinds = ["negcon"] * 20 + ["poscon"] * 20 + ["treatment"] * 30
        table = score(
            wells(rng.normal(size=(70, 5)), kinds, [0] * 40 + list(rng.integers(1, 9, 30))),
            ControlAxisSettings(n_bootstrap=10),
        )
        values.append(table["value"].to_numpy())
    accuracy, dose = np.mean(values, axis=0)
    assert abs(accuracy - 0.5) < 0.08
    assert abs(dose) < 0.08


def test_missing_controls_are_said_not_scored():
    table = ControlAxis.score(
        Scored(None, lambda: wells(np.ones((3, 2)), ["negcon"] * 3, [0] * 3)), ControlAxisSettings()
    )
    assert table["value"].isna().all()
    assert table["detail"].str.contains("two wells of each control").all()
    assert table["source"].tolist() == ["controls", "dose"]


def dosed():
    rng = np.random.default_rng(5)
    kinds = ["negcon"] * 9 + ["poscon"] * 9 + ["treatment"] * 24
    x = rng.normal(size=(42, 4)) + np.repeat([0.0, 1.0, 0.5], [9, 9, 24])[:, None]
    return wells(x, kinds, [0] * 18 + list(np.tile([1, 2, 4, 8], 6)))


QUICK = ControlAxisSettings(n_bootstrap=50, n_plate_bootstrap=20)


def test_wells_that_are_not_finite_are_left_out_and_counted():
    table = dosed()
    bad = [0, 12, 30]  # a control of each kind and a treated well
    table.X[bad, 1] = np.nan
    without = table[[i for i in range(table.n_obs) if i not in bad]].copy()
    found, expected = score(table, QUICK), score(without, QUICK)
    columns = ["source", "metric", "value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high", "n"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert found["value"].notna().all()
    for detail in map(json.loads, found["detail"]):
        assert (detail["n_not_finite"], detail["not_finite"]) == (3, ["p0:A000", "p0:A012", "p0:A030"])


def test_order_of_rows_changes_no_number_and_no_interval():
    table = dosed()
    order = np.random.default_rng(2).permutation(table.n_obs)
    pd.testing.assert_frame_equal(score(table[order].copy(), QUICK), score(table, QUICK))


def test_rows_without_value_keep_their_source_and_a_lost_column_is_named():
    table = dosed()
    with pytest.raises(ContractError, match="no column Metadata_Concentration"):
        score(anndata.AnnData(table.X, obs=table.obs.drop(columns="Metadata_Concentration")), QUICK)
    table.obs["Metadata_Concentration"] = "1"
    found = score(table, QUICK)
    assert found["source"].tolist() == ["controls", "dose"]
    assert json.loads(found["detail"].iloc[1])["missing"] == "three concentrations"


@pytest.mark.parametrize("key", ["n_plate_bootstrap", "seed"])
def test_negative_settings_are_named(key):
    with pytest.raises(ConfigError, match=f"{key} is -1"):
        ControlAxisSettings(**{key: -1})
