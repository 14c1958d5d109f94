"""Linear probe, against scikit-learn's own pipeline."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from platemae.benchmarks.linear_probe import LinearProbe, LinearProbeSettings, permuted
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, InputError

PERTURBATIONS = [f"p{k}" for k in range(6)]


def screen(signal=2.0, plates=5, seed=0):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(6, 5))
    places = [(q, k, c) for q in range(plates) for k in range(6) for c in (1, 2)]
    rows = [(f"P{q}", f"{'ABCDEF'[k]}{c:02d}", PERTURBATIONS[k]) for q, k, c in places]
    obs = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Perturbation"])
    obs["Metadata_Batch"] = obs["Metadata_Plate"]
    obs["Metadata_Compound"] = "c" + obs["Metadata_Perturbation"]
    obs["Metadata_Concentration"], obs["Metadata_Gene"] = "1", ""
    obs["Metadata_Control_Type"] = "treatment"
    obs.index = [f"w{i}" for i in range(len(obs))]
    code = obs["Metadata_Perturbation"].str[1:].astype(int)
    x = signal * centre[code] + rng.normal(size=(len(obs), 5))
    return anndata.AnnData(X=x, obs=obs)


def score(wells, **keys):
    given = {"n_bootstrap": 50, "n_shuffles": 0} | keys
    return LinearProbe.score(Scored(read_wells=lambda: wells), LinearProbeSettings(**given)).set_index("metric")


@pytest.mark.parametrize(("n_splits", "c"), [(5, 1.0), (3, 0.01)])
def test_accuracies_equal_scikit_learns_pipeline(n_splits, c):
    wells = screen(0.7)
    y, groups = wells.obs["Metadata_Perturbation"].to_numpy(), wells.obs["Metadata_Plate"].to_numpy()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
    told = cross_val_predict(pipeline, wells.X, y, groups=groups, cv=StratifiedGroupKFold(n_splits))
    table = score(wells, n_splits=n_splits, c=c)
    assert table.loc["top1", "value"] == pytest.approx((told == y).mean(), abs=1e-12)
    assert table.loc["balanced_accuracy", "value"] == pytest.approx(balanced_accuracy_score(y, told), abs=1e-12)
    assert table.loc["balanced_accuracy", "chance"] == pytest.approx(1 / 6)
    assert table.loc["top1", "chance"] == pytest.approx(1 / 6)
    for interval in ("ci", "plate_ci"):
        assert (table[f"{interval}_low"] <= table["value"]).all()
        assert (table["value"] <= table[f"{interval}_high"]).all()


def test_permuted_labels_are_told_at_chance():
    table = score(screen(), n_shuffles=10)
    assert table.loc["balanced_accuracy", "value"] > 0.8
    assert table.loc["balanced_accuracy_shuffled", "value"] == pytest.approx(1 / 6, abs=0.06)
    row = table.loc["balanced_accuracy_shuffled"]
    assert row["ci_low"] <= row["chance"] <= row["ci_high"]
    assert json.loads(row["detail"])["top1"] == pytest.approx(1 / 6, abs=0.06)


def test_a_plate_effect_alone_tells_nothing():
    """Labels that go with plates are no help on plates that were held out."""
    wells = screen(0.0, plates=6)
    code = wells.obs["Metadata_Plate"].str[1:].astype(int).to_numpy()
    wells.X = wells.X + 5 * np.eye(6, 5)[code]
    assert score(wells).loc["balanced_accuracy", "value"] < 0.35


def test_order_and_scale_change_nothing():
    wells = screen(0.7)
    order = np.random.default_rng(1).permutation(wells.n_obs)
    moved = wells[order].copy()
    moved.X = moved.X * np.array([1e-3, 1, 10, 1e3, 5]) + 7
    pd.testing.assert_frame_equal(score(moved, n_shuffles=2), score(wells, n_shuffles=2))


def test_thin_classes_controls_and_bad_wells_are_left_out_and_named():
    wells = screen()
    kind = wells.obs["Metadata_Control_Type"].to_numpy().astype(object)
    kind[wells.obs["Metadata_Perturbation"] == "p0"] = "negcon"
    wells.obs["Metadata_Control_Type"] = kind
    names = wells.obs["Metadata_Perturbation"].to_numpy().astype(object)
    names[(names == "p1") & (wells.obs["Metadata_Plate"] != "P2").to_numpy()] = "p2"
    wells.obs["Metadata_Perturbation"] = names
    wells.X[-1, 0] = np.nan
    detail = json.loads(score(wells).loc["top1", "detail"])
    assert detail["classes_dropped"] == ["p1"]
    assert detail["n_classes"] == 4
    assert detail["not_finite"] == ["P4:F02"]
    with_controls = json.loads(score(wells, controls=True).loc["top1", "detail"])
    assert with_controls["n_classes"] == 5


def test_mechanisms_split_by_compound_never_see_the_compound(tmp_path):
    labels = tmp_path / "moa.csv"
    rows = [f"cp{k},{'AB'[k % 2]}" for k in range(5)]
    labels.write_text("compound,label\n" + "\n".join(rows) + "\n")
    wells = screen(signal=4.0, plates=3)
    table = score(wells, labels=str(labels), split_by="compound", n_shuffles=2)
    detail = json.loads(table.loc["top1", "detail"])
    assert detail["n_without_label"] == 6
    assert (detail["n_classes"], detail["n_groups"]) == (2, 5)
    assert table.loc["top1", "chance"] == pytest.approx(3 / 5)
    # Compounds are random centres: knowing others of the same letter does not tell a new one.
    assert table.loc["top1", "value"] < 0.95
    labels.write_text("compound,label\nCP0,A\nCP1,B\n")
    with pytest.raises(InputError, match="no well has a label") as caught:
        score(wells, labels=str(labels), split_by="compound")
    assert "upper and lower case" in caught.value.remedy
    labels.write_text("compound,label\ncp0,A\ncp0,B\n")
    with pytest.raises(InputError, match="cp0 has the labels A, B"):
        score(wells, labels=str(labels))


def test_what_cannot_be_told_says_why():
    table = score(screen(plates=1))
    assert table["value"].isna().all()
    assert table["detail"].str.contains("two are needed").all()
    with pytest.raises(ConfigError, match="also the label"):
        LinearProbeSettings(target="compound", split_by="compound")


def test_labels_are_permuted_within_groups_or_between_them():
    rng = np.random.default_rng(0)
    label, group = np.array([0, 1, 2, 0, 0, 2]), np.array([1, 0, 1, 0, 1, 0])
    for _ in range(5):
        moved = permuted(label, group, rng)
        for name in (0, 1):
            assert sorted(moved[group == name]) == sorted(label[group == name])
    label, group = np.array([0, 0, 1, 1, 2]), np.array([5, 5, 7, 7, 9])
    seen = set()
    for _ in range(20):
        moved = permuted(label, group, rng)
        assert moved[0] == moved[1]
        assert moved[2] == moved[3]
        seen.add(tuple(moved))
    assert len(seen) > 3


def test_one_group_of_two_labels_leaves_the_chance_a_chance():
    """Compounds of one mechanism, but for one that has two: without it labels of single groups would stay in place."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(16) % 2, 6)
    group = np.repeat(np.arange(16), 6)
    label[0] = 1
    kept = []
    for _ in range(40):
        moved = permuted(label, group, rng)
        assert sorted(moved[:6]) == [0] * 5 + [1]
        assert all(len(set(moved[group == name])) == 1 for name in range(1, 16))
        assert sorted(moved) == sorted(label)
        kept.append((moved == label).mean())
    assert np.mean(kept) < 0.65
