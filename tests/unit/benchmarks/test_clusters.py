"""Clusters of genes, against scipy and plain loops."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from platemae.benchmarks.clusters import (
    Clusters,
    ClustersSettings,
    median_difference,
    read_clusters,
    score_clusters,
)
from platemae.benchmarks.cosine_grid import ks_statistic
from platemae.benchmarks.magnitude import MagnitudeSettings
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, ContractError, InputError

GENES = [f"G{i:02d}" for i in range(60)]
COMPLEXES = {f"complex{k}": frozenset(GENES[12 * k : 12 * k + 12]) for k in range(3)}


def a_map(seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 16))
    for k in range(3):
        x[12 * k : 12 * k + 12] += signal * rng.normal(size=16)
    return x


def score(x, genes=GENES, clusters=COMPLEXES, **keys):
    table = score_clusters(x, genes, {"source": clusters}, ClustersSettings(**({"n_shuffles": 99} | keys)))
    return table.set_index("metric")


def pairs(x, members):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ unit.T
    within = [cosine[i, j] for i in members for j in members if i < j]
    rest = [cosine[i, j] for i in members for j in range(len(x)) if j not in members]
    return within, rest


def test_statistic_and_difference_equal_scipy_over_all_pairs():
    x = a_map()
    found = [pairs(x, range(12 * k, 12 * k + 12)) for k in range(3)]
    table = score(x)
    assert table.loc["ks_median", "value"] == pytest.approx(
        np.median([ks_2samp(*f, method="asymp").statistic for f in found]), abs=1e-9
    )
    difference = np.median([np.mean(within) - np.mean(rest) for within, rest in found])
    assert table.loc["cosine_difference", "value"] == pytest.approx(difference, abs=1e-9)
    sets = [np.arange(12 * k, 12 * k + 12) for k in range(3)]
    assert median_difference(x, sets) == pytest.approx(difference, abs=1e-12)


@given(st.lists(st.integers(0, 6), min_size=2, max_size=20), st.lists(st.integers(0, 6), min_size=2, max_size=20))
def test_statistic_is_exact_with_ties(a, b):
    a, b = np.sort(np.array(a, dtype=float)), np.sort(np.array(b, dtype=float))
    assert ks_statistic(a, b) == pytest.approx(ks_2samp(a, b, method="asymp").statistic, abs=1e-12)


def test_planted_clusters_are_significant_and_shuffled_ones_are_not():
    table = score(a_map())
    assert table.loc["share_significant", "value"] == 1
    assert table.loc["ks_median", "ci_low"] > table.loc["ks_median", "chance"]
    assert json.loads(table.loc["ks_median", "detail"])["significant"] == sorted(COMPLEXES)
    medians, shares = [], []
    for seed in range(25):
        order = np.random.default_rng(seed).permutation(60)
        shuffled = score(a_map()[order], n_bootstrap=10, seed=seed)
        medians.append(shuffled.loc["ks_median", "value"] - shuffled.loc["ks_median", "chance"])
        shares.append(shuffled.loc["share_significant", "value"])
    assert abs(np.mean(medians)) < 0.03
    assert np.mean(shares) < 0.15
    assert table.loc["share_significant", "chance"] < 0.15


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(60)), st.floats(1e-3, 1e3))
def test_neither_order_nor_scale_changes_anything(order, scale):
    x = a_map()
    moved = score(x[order] * scale, [GENES[i] for i in order], n_shuffles=20, n_bootstrap=20)
    same = score(x, n_shuffles=20, n_bootstrap=20)
    numbers = ["value", "ci_low", "ci_high", "chance"]
    np.testing.assert_allclose(moved[numbers], same[numbers], atol=1e-9)


def test_rows_without_direction_and_small_clusters_are_counted():
    x = a_map()
    x[0], x[1, 3] = 0, np.nan
    table = score(x, min_genes=11)
    detail = json.loads(table.loc["ks_median", "detail"])
    assert detail["dropped"] == ["G00", "G01"]
    assert (detail["n_clusters"], detail["n_too_small"]) == (3, 1)
    assert table.loc["ks_median", "n"] == 2
    assert np.isnan(table.loc["ks_median", "ci_low"])
    assert "fewer than 3" in detail["interval_reason"]
    assert "reason" in json.loads(score(x, min_genes=30).loc["ks_median", "detail"])
    assert np.isnan(score(x, min_genes=30).loc["ks_median", "value"])


def test_compounds_of_a_map_are_no_part_of_the_chance(tmp_path):
    """Genes on one axis, compounds apart: against compounds any gene set is a cluster."""
    rng = np.random.default_rng(3)
    genes_GD, compounds_CD = rng.normal(size=(30, 8)) + 4, rng.normal(size=(90, 8))
    file = tmp_path / "sets.csv"
    sets = [rng.choice(30, 10, replace=False) for _ in range(4)]
    file.write_text("cluster,gene\n" + "".join(f"c{k},{GENES[g]}\n" for k, found in enumerate(sets) for g in found))

    def scored(kinds, x):
        obs = pd.DataFrame({"gene": [*GENES[:30], *(f"drug{i}" for i in range(90))][: len(x)], "entity_kind": kinds})
        return Clusters.score(Scored(lambda: anndata.AnnData(x, obs.set_axis(obs["gene"]))), how)

    how = ClustersSettings(clusters=str(file), n_shuffles=99)
    alone = scored(["gene"] * 30, genes_GD).set_index("metric")
    both = scored(["gene"] * 30 + ["compound"] * 90, np.vstack([genes_GD, compounds_CD])).set_index("metric")
    assert both.loc["share_significant", "value"] == 0
    assert json.loads(both.loc["ks_median", "detail"])["n_no_gene"] == 90
    pd.testing.assert_frame_equal(both.drop(columns="detail"), alone.drop(columns="detail"))
    assert Clusters.score(Scored(lambda: _renamed(genes_GD)), how)["value"].tolist() == alone["value"].tolist()


def _renamed(x):
    """A map of perturbations that bear the names of genes."""
    obs = pd.DataFrame({"gene": GENES[:30], "entity_kind": "perturbation"}, index=GENES[:30])
    return anndata.AnnData(x, obs)


@pytest.mark.parametrize(("kind", "key"), [(ClustersSettings, "n_shuffles"), (MagnitudeSettings, "n_null")])
def test_so_few_random_sets_that_nothing_could_be_found_are_refused(kind, key):
    with pytest.raises(ConfigError, match=r"give no p <= 0.05") as caught:
        kind(**{key: 18})
    assert "at least 19" in caught.value.remedy
    with pytest.raises(ConfigError, match=key):
        kind(**{key: 98}, alpha=0.01)
    assert getattr(kind(**{key: 19}), key) == 19


def test_wrong_names_are_refused():
    with pytest.raises(InputError, match="no gene of the map") as caught:
        score(a_map(), [gene.lower() for gene in GENES])
    assert "upper and lower case" in caught.value.remedy
    with pytest.raises(ContractError, match="more than one row"):
        score(a_map(), ["G01", *GENES[1:]])


def test_tables_are_read_long_and_by_cluster(tmp_path):
    long, wide = tmp_path / "a.csv", tmp_path / "b.tsv"
    long.write_text("cluster,gene\nc1,A\nc1,B\nc2, A \nc2,NA\n")
    wide.write_text("cluster\tgene\nc1\tA|B\nc2\tA;\n")
    assert read_clusters(long) == read_clusters(wide) == {"c1": {"A", "B"}, "c2": {"A"}}
    long.write_text("complex,gene\nc1,A\n")
    with pytest.raises(InputError, match="no column cluster"):
        read_clusters(long)
