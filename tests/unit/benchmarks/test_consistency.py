"""Replicate consistency against pair loops, scipy and its own null."""

import json
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from platemae.benchmarks.bootstrap import mean_interval, multinomial_weights, percentile_interval
from platemae.benchmarks.consistency import ConsistencySettings, ReplicateConsistency, consistency
from platemae.benchmarks.scored import Scored
from platemae.errors import ConfigError, ContractError


def cos(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def screen(perturbations: int, replicates: int, effect: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((perturbations, 20)).repeat(replicates, axis=0)
    labels = [f"p{index:03d}" for index in range(perturbations) for _ in range(replicates)]
    return effect * signal + rng.standard_normal(signal.shape), labels


def test_closed_form_equals_the_mean_over_pairs() -> None:
    x, labels = screen(6, 5, 1.0)
    labels[0] = "p001"
    table = consistency(x, labels, np.ones(len(x), dtype=bool), n_null=9)
    for name, row in table.iterrows():
        own = x[[label == name for label in labels]]
        assert row["consistency"] == pytest.approx(np.mean([cos(a, b) for a, b in combinations(own, 2)]), abs=1e-12)
        assert row["n_replicates"] == len(own)


def test_p_counts_random_sets_at_least_as_consistent_plus_one() -> None:
    """With a pool of four wells all sets of three can be listed: p tends to the exact share."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((7, 4))
    labels = ["a"] * 3 + [""] * 4
    pool = np.arange(7) >= 3
    exact = [np.mean([cos(x[i], x[j]) for i, j in combinations(s, 2)]) for s in combinations(range(3, 7), 3)]
    own = np.mean([cos(x[i], x[j]) for i, j in combinations(range(3), 2)])
    p = consistency(x, labels, pool, n_null=20_000)["p"]["a"]
    assert p == pytest.approx(np.mean(np.array(exact) >= own), abs=0.02)


def test_p_is_uniform_without_effect_and_smallest_with_one() -> None:
    x, labels = screen(400, 4, 0.0)
    every = np.ones(len(x), dtype=bool)
    null = consistency(x, labels, every)
    assert kstest(null["p"], "uniform").pvalue > 0.001
    assert (null["p"] <= 0.05).mean() == pytest.approx(0.05, abs=0.03)
    x, labels = screen(400, 4, 3.0)
    assert (consistency(x, labels, every)["p"] == 1 / 1000).all()


def test_single_replicates_and_wells_without_direction_are_left_out_and_counted() -> None:
    """The published code sorts the NaN of a one-replicate null last and counts it as above."""
    x, labels = screen(30, 3, 1.0)
    every = np.ones(len(x), dtype=bool)
    x[0:2] = 0
    x[3] = np.nan
    table = consistency(x, labels, every)
    assert table.loc["p000", ["n_replicates", "n_dropped"]].tolist() == [1, 2]
    assert table.loc["p000", ["consistency", "p"]].isna().all()
    assert table.loc["p001", ["n_replicates", "n_dropped"]].tolist() == [2, 1]
    assert table["p"].iloc[1:].notna().all()


def test_null_of_a_size_depends_on_seed_and_size_alone() -> None:
    x, labels = screen(20, 3, 0.5)
    every = np.ones(len(x), dtype=bool)
    one = consistency(x, labels, every, seed=1)
    more = consistency(np.vstack([x, x[:2] + 1]), [*labels, "new", "new"], np.append(every, [False, False]), seed=1)
    pd.testing.assert_frame_equal(more.drop("new"), one)
    assert (consistency(x, labels, every, seed=2)["p"] != one["p"]).any()


def test_pool_smaller_than_the_perturbation_gives_no_p() -> None:
    x, labels = screen(2, 5, 1.0)
    table = consistency(x, labels, np.arange(10) < 3)
    assert table["p"].isna().all()
    assert table["consistency"].notna().all()


def test_score_reports_share_mean_interval_and_chance() -> None:
    obs = pd.DataFrame({"consistency": [0.9, 0.1, 0.5, np.nan], "p": [0.001, 0.6, 0.05, np.nan]}, index=list("abcd"))
    table = ReplicateConsistency.score(Scored(lambda: ad.AnnData(np.zeros((4, 2)), obs=obs)), ConsistencySettings())
    share, mean = table.iloc[0], table.iloc[1]
    assert (share["metric"], share["threshold"], share["chance"], share["n"]) == ("share_consistent", 0.05, 0.05, 3)
    assert share["value"] == pytest.approx(2 / 3)
    assert share["ci_low"] <= share["value"] <= share["ci_high"]
    assert (mean["metric"], mean["value"]) == ("mean_cosine", 0.5)
    assert json.loads(share["detail"])["n_dropped"] == 1


def test_score_without_any_measured_perturbation_is_nan_with_the_count() -> None:
    obs = pd.DataFrame({"consistency": [np.nan] * 3, "p": [np.nan] * 3}, index=list("abc"))
    table = ReplicateConsistency.score(Scored(lambda: ad.AnnData(np.zeros((3, 2)), obs=obs)), ConsistencySettings())
    assert table["value"].isna().all()
    assert table["n"].tolist() == [0, 0, 0]
    assert json.loads(table["detail"][0])["n_dropped"] == 3


def test_map_without_the_columns_is_refused() -> None:
    with pytest.raises(ContractError, match="no column consistency and p"):
        ReplicateConsistency.score(Scored(lambda: ad.AnnData(np.zeros((3, 2)))), ConsistencySettings())


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="alpha is 1"):
        ConsistencySettings(alpha=1)
    for key in ("n_plate_bootstrap", "seed"):
        with pytest.raises(ConfigError, match=f"{key} is -1"):
            ConsistencySettings(**{key: -1})
    with pytest.raises(ConfigError, match="n_null is 0"):
        consistency(np.eye(2), ["a", "a"], np.ones(2, dtype=bool), n_null=0)


@pytest.mark.parametrize("kind", ["wells", "matched"])
def test_random_sets_too_few_for_alpha_are_refused(kind: str) -> None:
    """The smallest p is 1 / (1 + n_null): with fewer sets a share of 0 would look measured."""
    with pytest.raises(ConfigError, match="18 random sets give no p") as caught:
        ConsistencySettings(null_kind=kind, n_null=18)
    assert caught.value.remedy == "use at least 19"
    with pytest.raises(ConfigError, match="99 random sets"):
        ConsistencySettings(null_kind=kind, n_null=99, alpha=0.001)
    for n_null, alpha in ((19, 0.05), (99, 0.01), (999, 0.001)):
        assert 1 / (1 + ConsistencySettings(null_kind=kind, n_null=n_null, alpha=alpha).n_null) <= alpha + 1e-12
    assert ConsistencySettings(null_kind="controls", n_null=1).n_null == 1


def test_multinomial_weights_are_resamples() -> None:
    weights = multinomial_weights(50, 400, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.05)


def test_mean_interval_has_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(1).standard_normal(400)
    low, high = mean_interval(values, 4000, seed=0)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert np.isnan(mean_interval(values[:0], 10, 0)).all()


def test_one_perturbation_has_a_value_and_the_reason_why_no_interval() -> None:
    """All resamples of one unit are the same: a width of 0 would look certain."""
    assert np.isnan(mean_interval(np.ones(1), 10, 0)).all()
    obs = pd.DataFrame({"consistency": [0.9, np.nan], "p": [0.001, np.nan]}, index=list("ab"))
    table = ReplicateConsistency.score(Scored(lambda: ad.AnnData(np.zeros((2, 2)), obs=obs)), ConsistencySettings())
    assert table["value"].tolist() == [1.0, 0.9, 1.0]
    assert table[["ci_low", "ci_high"]].isna().all(axis=None)
    assert all("1 unit" in json.loads(detail)["interval_reason"] for detail in table["detail"])


def test_percentile_interval_ignores_what_could_not_be_measured() -> None:
    low, high = percentile_interval(np.append(np.arange(101.0), [np.nan] * 50))
    assert (low, high) == pytest.approx((2.5, 97.5))
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()
