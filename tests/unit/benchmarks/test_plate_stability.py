"""Maps without each plate, against maps built of the other plates' wells."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.annotations import read_relations
from platemae.benchmarks.plate_stability import PlateStability, PlateStabilitySettings
from platemae.benchmarks.recall import RecallSettings, score_recall
from platemae.benchmarks.scored import Scored
from platemae.errors import InputError

NUMBERS = ["value", "ci_low", "ci_high", "plate_ci_low", "plate_ci_high", "chance", "n"]


def screen(signal=1.0, plates=4, genes=24, seed=0, guides=2):
    """Each gene has guides, each guide a well a plate; the last gene is on the first plate alone."""
    rng = np.random.default_rng(seed)
    vector = signal * rng.normal(size=(genes, 6))
    rows = [(q, g, k) for q in range(plates) for g in range(genes) for k in range(guides) if q == 0 or g < genes - 1]
    obs = pd.DataFrame([(f"P{q}", f"G{g:02d}", f"G{g:02d}_{k}") for q, g, k in rows])
    obs.columns = ["Metadata_Plate", "Metadata_Gene", "Metadata_Perturbation"]
    obs["Metadata_Well"] = [f"A{i:03d}" for i in range(len(obs))]
    obs["Metadata_Control_Type"] = "treatment"
    obs.index = [f"w{i}" for i in range(len(obs))]
    return anndata.AnnData(X=vector[[g for _, g, _ in rows]] + rng.normal(size=(len(rows), 6)), obs=obs)


def scored_of(wells, method="mean"):
    how = AggregateSettings(method=method, n_null=1)
    return Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)


def score(wells, method="mean", **keys):
    given_keys = PlateStabilitySettings(**({"n_bootstrap": 50} | keys))
    return PlateStability.score(scored_of(wells, method), given_keys).set_index(["source", "metric"])


def without(wells, plate, method):
    kept = (wells.obs["Metadata_Plate"] != plate).to_numpy()
    made = build_gene_map(wells.X[kept], wells.obs[kept], AggregateSettings(method=method, n_null=1))
    return pd.DataFrame(made.X.astype(float), index=made.obs["gene"])


@pytest.mark.parametrize("method", ["mean", "median"])
def test_rows_equal_maps_built_again(method):
    wells = screen(0.5)
    wells = wells[np.random.default_rng(0).random(wells.n_obs) < 0.7].copy()  # guides and genes of unlike size
    wells.X[5, 0] = np.nan
    made = scored_of(wells, method).gene_map
    whole = pd.DataFrame(made.X.astype(float), index=made.obs["gene"])
    found, agreements = {gene: [] for gene in whole.index}, []
    finite = wells[np.isfinite(wells.X).all(axis=1)]
    for plate in sorted(set(wells.obs["Metadata_Plate"])):
        part = without(wells, plate, method)
        on_plate = set(finite.obs.loc[finite.obs["Metadata_Plate"] == plate, "Metadata_Gene"])
        for gene in set(part.index) & on_plate:
            a, b = whole.loc[gene], part.loc[gene]
            found[gene].append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        both = [m.loc[part.index] for m in (whole, part)]
        units = [m.to_numpy() / np.linalg.norm(m, axis=1, keepdims=True) for m in both]
        upper = np.triu_indices(len(part), 1)
        agreements.append(spearmanr(*((u @ u.T)[upper] for u in units)).statistic)
    means = [np.mean(values) for values in found.values() if values]
    table = score(wells, method)
    assert table.loc[("plates", "cosine_without_plate"), "value"] == pytest.approx(np.median(means), abs=1e-5)
    assert table.loc[("plates", "cosine_without_plate_q05"), "value"] == pytest.approx(
        np.quantile(means, 0.05), abs=1e-5
    )
    assert table.loc[("plates", "pair_rank_agreement"), "value"] == pytest.approx(np.mean(agreements), abs=1e-4)


def test_noise_is_at_chance_and_signal_above():
    gaps = []
    for seed in range(8):
        row = score(screen(0.0, seed=seed)).loc[("plates", "cosine_without_plate")]
        gaps.append(row["value"] - row["chance"])
        assert row["chance"] == pytest.approx(np.sqrt(3 / 4))
    assert abs(np.mean(gaps)) < 0.02
    row = score(screen(3.0)).loc[("plates", "cosine_without_plate")]
    assert row["ci_low"] > row["chance"] + 0.1


def test_noise_of_unlike_guides_is_at_its_chance_too():
    """One guide with wells on all plates, the other on one: simulated cosines must meet the closed form."""
    values = []
    for seed in range(30):
        wells = screen(0.0, seed=seed)
        thin = wells.obs["Metadata_Perturbation"].str.endswith("_1") & (wells.obs["Metadata_Plate"] != "P1")
        row = score(wells[~thin.to_numpy()].copy(), n_bootstrap=5).loc[("plates", "cosine_without_plate")]
        values.append([row["value"], row["chance"]])
    value, chance = np.mean(values, axis=0)
    assert value == pytest.approx(chance, abs=0.02)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100), st.floats(0.01, 100))
def test_neither_order_nor_scale_changes_anything(seed, scale):
    wells = screen(0.5)
    moved = wells[np.random.default_rng(seed).permutation(wells.n_obs)].copy()
    moved.X = moved.X * scale
    np.testing.assert_allclose(
        score(moved, max_pairs=50)[NUMBERS].astype(float), score(wells, max_pairs=50)[NUMBERS].astype(float), atol=1e-5
    )


def test_the_plate_that_matters_most_is_named():
    wells = screen(2.0)
    wells.X[(wells.obs["Metadata_Plate"] == "P2").to_numpy()] += 8 * np.eye(6)[0]
    table = score(wells)
    assert json.loads(table.loc[("plates", "cosine_without_plate"), "detail"])["worst_plate"] == "P2"
    detail = json.loads(table.loc[("plates", "pair_rank_agreement"), "detail"])
    assert detail["worst_plate"] == "P2"
    left_out = json.loads(table.loc[("plates", "cosine_without_plate"), "detail"])
    assert left_out["genes_left_out"] == ["G23"]


def test_recall_has_its_range_over_plates(tmp_path):
    wells = screen(2.0, genes=30)
    codes = wells.obs["Metadata_Gene"].str[1:].astype(int).to_numpy()
    wells.X += 3 * np.random.default_rng(9).normal(size=(15, 6))[codes // 2]
    file = tmp_path / "pairs.csv"
    file.write_text("entity1,entity2\n" + "".join(f"G{g:02d},G{g + 1:02d}\n" for g in range(0, 28, 2)))
    pairs = {"pairs": read_relations(file)}
    how = RecallSettings(thresholds=((0.1, 0.9),), n_bootstrap=1, n_shuffles=1)

    def recall(frame):
        found = score_recall(frame.to_numpy(), frame.index.tolist(), pairs, how)
        return found[found["metric"] == "recall"]["value"].iloc[0]

    made = scored_of(wells).gene_map
    expected = [recall(without(wells, f"P{q}", "mean")) for q in range(4)]
    table = score(wells, relations=str(file), threshold=0.1)
    assert table.loc[("pairs", "recall"), "value"] == pytest.approx(
        recall(pd.DataFrame(made.X.astype(float), index=made.obs["gene"]))
    )
    assert table.loc[("pairs", "recall_min"), "value"] == pytest.approx(min(expected))
    assert table.loc[("pairs", "recall_max"), "value"] == pytest.approx(max(expected))
    named = json.loads(table.loc[("pairs", "recall_min"), "detail"])["without_plate"]
    assert expected[int(named[1])] == min(expected)
    assert (table.loc["pairs", "chance"] == 0.2).all()
    assert table.loc[("pairs", "recall"), "n"] == 14
    few = tmp_path / "few.csv"
    few.write_text("entity1,entity2\nG00,G01\n")
    none = score(wells, relations=str(few)).loc["few"]
    assert none["value"].isna().all()
    assert "fewer than min_entities" in json.loads(none.loc["recall", "detail"])["reason"]
    assert none.loc["recall", "n"] == 1
    file.write_text("entity1,entity2\nA,B\n")
    with pytest.raises(InputError, match="no gene of the map"):
        score(wells, relations=str(file))


def test_compounds_are_no_part_of_recall_and_ranks(tmp_path):
    wells = screen(1.0)
    wells.obs["Metadata_Compound"] = ""
    compounds = wells.copy()
    compounds.X = compounds.X + 20
    compounds.obs["Metadata_Compound"] = "drug" + compounds.obs["Metadata_Gene"].astype(str)
    compounds.obs["Metadata_Perturbation"] = compounds.obs["Metadata_Compound"]
    compounds.obs["Metadata_Gene"] = ""
    both = anndata.concat([wells, compounds], index_unique="-")
    file = tmp_path / "pairs.csv"
    file.write_text("entity1,entity2\n" + "".join(f"G{g:02d},G{g + 1:02d}\n" for g in range(0, 22, 2)))
    given_keys = PlateStabilitySettings(n_bootstrap=20, relations=str(file))
    how = AggregateSettings(method="mean", n_null=1, entity="gene_and_compound")
    scored = Scored(lambda: build_gene_map(both.X, both.obs, how), lambda: both, how)
    found = PlateStability.score(scored, given_keys).set_index(["source", "metric"])
    expected = score(wells, relations=str(file))
    for place in (("plates", "pair_rank_agreement"), ("pairs", "recall"), ("pairs", "recall_min")):
        assert found.loc[place, "value"] == pytest.approx(expected.loc[place, "value"])
    assert json.loads(found.loc[("pairs", "recall"), "detail"])["n_no_gene"] == 24


def test_what_cannot_be_left_out_says_why():
    one = score(screen(plates=1))
    assert one["value"].isna().all()
    assert one["detail"].str.contains("two are needed").all()
    two = score(screen(plates=2)).loc[("plates", "pair_rank_agreement")]
    assert np.isnan(two["plate_ci_low"])
    assert "fewer than 3" in two["detail"]
    wells = screen()
    wells.obs["Metadata_Plate"] = wells.obs["Metadata_Gene"].to_numpy()
    apart = score(wells).loc[("plates", "cosine_without_plate")]
    assert "no gene has wells on two plates" in apart["detail"]


def test_one_gene_has_a_value_and_no_interval():
    table = score(screen(1.0, genes=2))  # the last gene is on one plate alone
    row = table.loc[("plates", "cosine_without_plate")]
    assert row["n"] == 1
    assert np.isfinite(row["value"])
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()
    assert "1 unit" in json.loads(row["detail"])["interval_reason"]
