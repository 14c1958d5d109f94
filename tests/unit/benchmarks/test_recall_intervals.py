"""Intervals of recall: genes and plates are resampled as explicit copies would be."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.recall import KnownRelations, RecallSettings, score_recall
from platemae.benchmarks.scored import Scored
from tests.unit.benchmarks.known import FAST, names, planted, random_pairs, relations, slow_recall


@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
def test_bootstrap_weights_equal_explicit_copies_of_genes(ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replicate must be the recall of a map in which drawn genes stand as often as they were drawn."""
    rng = np.random.default_rng(5)
    x = rng.integers(-1, 2, (12, 3)) + 0.0 if ties else rng.standard_normal((12, 4))
    x[~x.any(axis=1)] = 1
    pairs = random_pairs(25, 12)
    seen: list[np.ndarray] = []

    def spy(shares: np.ndarray, n_pairs: int) -> tuple[float, float]:
        seen.append(shares[1:])
        assert n_pairs == 25
        return 0.0, 1.0

    monkeypatch.setattr("platemae.benchmarks.recall.pair_interval", spy)
    monkeypatch.setattr("platemae.benchmarks.recall_scores._REPLICATES", 7)
    config = RecallSettings(thresholds=((0.2, 0.8),), min_entities=2, n_bootstrap=30, n_shuffles=2, seed=3)
    score_recall(x, names(12), {"s": relations(pairs)}, config)
    draws = np.random.default_rng(3).multinomial(12, [1 / 12] * 12, size=30)
    expected = [slow_recall(x, pairs, 0.2, 0.8, row.tolist()) for row in draws]
    np.testing.assert_allclose(seen[0], expected, rtol=1e-12)


def test_interval_resamples_genes_not_pairs() -> None:
    """Whole genes, each with ten pairs, decide: the interval must be far wider than that of as many free pairs."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((240, 30))
    modules = np.arange(240) // 12
    x[modules % 4 == 0] += 4 * rng.standard_normal((20, 30))[modules[modules % 4 == 0]]
    pairs = [(i, j) for i in range(240) for j in range(i + 1, 240) if modules[i] == modules[j]]
    config = RecallSettings(n_bootstrap=300, thresholds=((0.05, 0.95),))
    row = score_recall(x, names(240), {"s": relations(pairs)}, config).iloc[0]
    of_pairs = 2 * 1.96 * np.sqrt(row["value"] * (1 - row["value"]) / row["n"])
    assert 0.2 < row["value"] < 0.6
    assert row["ci_high"] - row["ci_low"] > 2 * of_pairs
    assert row["ci_low"] < row["value"] < row["ci_high"]


def test_resamples_without_any_known_pair_are_not_counted() -> None:
    """A source that hangs on one gene cannot be scored in the resamples that lack it, 37 % of them."""
    x = np.random.default_rng(4).standard_normal((150, 30))
    sources = {"hub": relations([(0, j) for j in range(1, 80)]), "free": relations(random_pairs(79, 150, 8))}
    table = score_recall(x, names(150), sources, RecallSettings(n_bootstrap=300))
    used = {
        row.source: json.loads(row.detail)["n_bootstrap"] for row in table[table["metric"] == "recall"].itertuples()
    }
    assert 160 <= used["hub"] <= 220
    assert used["free"] == 300


def test_same_seed_same_rows_and_other_seed_other_interval() -> None:
    x, pairs = planted(genes=60)
    x += np.random.default_rng(0).standard_normal(x.shape) * 2
    one, same, other = (
        score_recall(x, names(60), {"s": relations(pairs)}, RecallSettings(n_bootstrap=50, seed=seed))
        for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(one, same)
    assert one["value"][0] == other["value"][0]
    assert (one["ci_low"][0], one["ci_high"][0]) != (other["ci_low"][0], other["ci_high"][0])


def plates_screen(noise: float, plates: int = 6, genes: int = 60, seed: int = 0) -> tuple[ad.AnnData, list]:
    """Each plate holds every gene once; pairs share a direction; a plate's noise is its own."""
    rng = np.random.default_rng(seed)
    x, pairs = planted(genes=genes, module=2)
    rows = [x[g] + noise * rng.standard_normal(50) for _ in range(plates) for g in range(genes)]
    obs = pd.DataFrame({"Metadata_Plate": np.repeat([f"p{i}" for i in range(plates)], genes)})
    obs["Metadata_Gene"] = obs["Metadata_Perturbation"] = names(genes) * plates
    obs["Metadata_Control_Type"] = "treatment"
    obs["Metadata_Well"] = [f"w{i}" for i in range(len(obs))]
    return ad.AnnData(np.array(rows), obs=obs.set_axis(obs["Metadata_Well"])), pairs


def test_interval_of_plates_holds_the_recall_of_copied_plates(tmp_path: Path) -> None:
    wells, pairs = plates_screen(3.0)
    relations(pairs).pairs.to_csv(tmp_path / "known.csv", index=False)
    how = AggregateSettings(n_null=9)
    settings = RecallSettings(relations=str(tmp_path / "known.csv"), n_plate_bootstrap=25, seed=3, **FAST)
    scored = Scored(lambda: build_gene_map(wells.X, wells.obs, how), lambda: wells, how)
    table = KnownRelations.score(scored, settings)
    row, shuffled = (table[table["metric"] == metric].iloc[0] for metric in ("recall", "recall_shuffled"))
    draws = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, size=25)
    expected = []
    for draw in draws:
        mean = np.average(wells.X.reshape(6, 60, 50), axis=0, weights=draw)
        expected.append(slow_recall(mean, pairs, 0.05, 0.95, [1] * 60))
    low, high = np.quantile(expected, [0.025, 0.975])
    assert (row["plate_ci_low"], row["plate_ci_high"]) == pytest.approx((low, high), abs=1.5 / len(pairs))
    assert high > low
    assert json.loads(row["detail"])["n_plates"] == 6
    assert np.isnan(shuffled["plate_ci_low"])


@pytest.mark.parametrize("side", ["two", "upper"])
def test_without_resamples_the_values_are_the_same(side: str) -> None:
    rng = np.random.default_rng(3)
    x, source = rng.standard_normal((80, 6)), {"s": relations(random_pairs(200, 80))}
    slow = score_recall(x, names(80), source, RecallSettings(side=side, **FAST))
    quick = score_recall(x, names(80), source, RecallSettings(side=side, n_bootstrap=0, n_shuffles=0))
    assert not quick["metric"].str.contains("shuffled").any()
    assert quick[["ci_low", "ci_high"]].isna().all().all()
    assert quick["value"].tolist() == slow.loc[~slow["metric"].str.contains("shuffled"), "value"].tolist()
