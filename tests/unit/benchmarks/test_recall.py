"""Recall of known relations against a slow loop, chance and planted truth."""

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from platemae.benchmarks import cosine
from platemae.benchmarks.recall import KnownRelations, RecallSettings, score_recall
from platemae.benchmarks.rows import ROW_COLUMNS, stamp
from platemae.benchmarks.scored import Scored
from platemae.contracts import SCORE_COLUMNS
from platemae.errors import ConfigError, ContractError, InputError
from tests.unit.benchmarks.known import FAST, names, planted, random_pairs, relations, slow_recall, values


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
def test_equals_the_slow_loop(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((33, 6))
    if ties:
        x = rng.integers(-1, 2, (33, 3)).astype(float)
        x[~x.any(axis=1)] = 1
    pairs = random_pairs(60, 33, seed)
    config = RecallSettings(thresholds=((0.05, 0.95), (0.1, 0.9), (0.25, 0.6)), **FAST)
    table = score_recall(x, names(33), {"s": relations(pairs)}, config)
    assert values(table) == [slow_recall(x, pairs, lo, hi, [1] * 33) for lo, hi in config.thresholds]


def test_ties_at_the_very_threshold_follow_the_ranks() -> None:
    """Ten equal cosines hold the lowest tenth: right rank counts them at 0.1 and none at 0.05."""
    angles = np.zeros(5)
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    x = np.vstack([x, -x[:1]])
    pairs = [(0, 5)]
    config = RecallSettings(thresholds=((0.05, 0.95), (0.3, 0.7), (1 / 3, 0.7)), min_entities=2, **FAST)
    table = score_recall(x, names(6), {"s": relations(pairs)}, config)
    assert values(table) == [slow_recall(x, pairs, lo, hi, [1] * 6) for lo, hi in config.thresholds]
    assert values(table) == [0.0, 0.0, 1.0]


def test_blocks_and_narrow_windows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((150, 8)) + 2 * rng.standard_normal((10, 8))[rng.integers(0, 10, 150)]
    source = {"s": relations(random_pairs(300, 150))}
    config = RecallSettings(n_bootstrap=60, n_shuffles=10)
    whole = score_recall(x, names(150), source, config)
    monkeypatch.setattr(cosine, "_ROWS", 17)
    narrow = cosine._window
    monkeypatch.setattr(cosine, "_window", lambda f, spread, *rest: narrow(f, spread / 100, *rest))
    pd.testing.assert_frame_equal(score_recall(x, names(150), source, config), whole)


def test_random_vectors_are_at_chance_and_the_interval_covers_it() -> None:
    x = np.random.default_rng(0).standard_normal((300, 64))
    table = score_recall(x, names(300), {"s": relations(random_pairs(3000, 300))}, RecallSettings(n_bootstrap=200))
    recall = table[table["metric"] == "recall"]
    np.testing.assert_allclose(recall["chance"], [0.1, 0.2])
    np.testing.assert_allclose(recall["value"], recall["chance"], atol=0.025)
    assert (recall["ci_low"] <= recall["chance"]).all()
    assert (recall["chance"] <= recall["ci_high"]).all()


def test_planted_modules_are_recalled_and_shuffled_labels_are_not() -> None:
    x, pairs = planted()
    table = score_recall(x, names(200), {"s": relations(pairs)}, RecallSettings(n_bootstrap=100))
    recall, shuffled = (table[table["metric"] == metric].iloc[0] for metric in ("recall", "recall_shuffled"))
    assert recall["value"] == 1.0
    assert recall["ci_low"] > 0.9
    assert recall["n"] == len(pairs) == 300
    assert shuffled["value"] == pytest.approx(0.1, abs=0.01)
    assert shuffled["ci_low"] < 0.1 < shuffled["ci_high"]
    assert json.loads(shuffled["detail"])["n_shuffles"] == 200


def test_opposite_vectors_count_too() -> None:
    x, pairs = planted(module=2)
    x[1::2] *= -1
    assert values(score_recall(x, names(200), {"s": relations(pairs)}, RecallSettings(**FAST)))[0] == 1.0


def test_rows_for_each_strength_follow_the_whole_source() -> None:
    x, pairs = planted(genes=80)
    graded = [1.0 if pair[0] < 40 else 0.25 for pair in pairs]
    x[40:] += 3 * np.random.default_rng(3).standard_normal((40, 50))
    table = score_recall(x, names(80), {"planted": relations(pairs, graded)}, RecallSettings(**FAST))
    recall = table[(table["metric"] == "recall") & (table["threshold"] == 0.05)].set_index("source")
    assert recall.index.tolist() == ["planted", "planted[strength=0.25]", "planted[strength=1.0]"]
    assert recall["n"].tolist() == [120, 60, 60]
    assert recall["value"].iloc[2] > recall["value"].iloc[1]
    assert recall["value"].iloc[0] == pytest.approx(recall["value"].iloc[1:].mean())


def test_zero_and_nan_rows_are_left_out_counted_and_named() -> None:
    """The published code lets 200 zero rows into null and query, and recall shifts in silence."""
    x, pairs = planted()
    clean = score_recall(x, names(200), {"s": relations(pairs)}, RecallSettings(**FAST))
    bad = np.vstack([x, np.zeros((200, 50)), np.full((1, 50), np.nan)])
    extra = [*pairs, (0, 250), (3, 400), (250, 251)]
    table = score_recall(bad, names(401), {"s": relations(extra)}, RecallSettings(**FAST))
    assert values(table) == values(clean)
    detail = json.loads(table["detail"][0])
    assert (detail["n_genes_map"], detail["n_dropped"], detail["n_pairs_outside_map"]) == (200, 201, 3)
    assert detail["dropped"][:2] == ["g0200", "g0201"]


def test_genes_named_twice_are_refused_by_name() -> None:
    x, pairs = planted(genes=40)
    genes = names(40)
    genes[7] = genes[3]
    with pytest.raises(ContractError, match="1 genes have more than one row: g0003"):
        score_recall(x, genes, {"s": relations(pairs)}, RecallSettings(**FAST))


def test_source_of_other_names_is_refused_and_case_is_recognised() -> None:
    x, pairs = planted(genes=40)
    with pytest.raises(InputError, match="no gene of the map is in 's'") as caught:
        score_recall(x, [f"other{i}" for i in range(40)], {"s": relations(pairs)}, RecallSettings(**FAST))
    assert caught.value.where == "benchmarks: relations: s"
    with pytest.raises(InputError) as caught:
        score_recall(x, [name.upper() for name in names(40)], {"s": relations(pairs)}, RecallSettings(**FAST))
    assert "upper and lower case" in caught.value.remedy


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(0, 900), (1, 901)], "no known pair has both genes in the map"),
        ([(0, 1), (2, 3)], "4 genes with a known pair"),
    ],
)
def test_too_small_a_source_gives_a_row_with_its_reason(pairs: list[tuple[int, int]], reason: str) -> None:
    x, good = planted(genes=40)
    table = score_recall(x, names(40), {"bad": relations(pairs), "good": relations(good)}, RecallSettings(**FAST))
    bad = table[table["source"] == "bad"]
    assert bad["value"].isna().all()
    assert len(bad) == 2
    assert json.loads(bad["detail"].iloc[0])["reason"].startswith(reason)
    assert table.loc[table["source"] == "good", "value"].notna().all()


def test_position_decides_not_the_index_of_the_table(tmp_path: Path) -> None:
    x, pairs = planted(genes=40)
    path = tmp_path / "known.csv"
    relations(pairs).pairs.to_csv(path, index=False)
    config = RecallSettings(relations={"planted": str(path)}, **FAST)
    plain = ad.AnnData(x, obs=pd.DataFrame({"gene": names(40)}, index=names(40)))
    odd = ad.AnnData(x, obs=pd.DataFrame({"gene": names(40)}, index=[f"{(i * 7) % 40}" for i in range(40)]))
    table = KnownRelations.score(Scored(lambda: plain), config)
    pd.testing.assert_frame_equal(KnownRelations.score(Scored(lambda: odd), config), table)
    assert tuple(table.columns) == ROW_COLUMNS
    stamped = stamp(table, "mae", "tvn", "none")
    assert tuple(stamped.columns) == SCORE_COLUMNS
    stamped.to_parquet(tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), stamped)


@pytest.mark.parametrize("bad", [{"n_bootstrap": -1}, {"n_shuffles": -1}, {"thresholds": ((0.9, 0.1),)}])
def test_bad_settings_are_named(bad: dict) -> None:
    with pytest.raises(ConfigError) as caught:
        RecallSettings(**bad)
    assert next(iter(bad)) in caught.value.where


def test_no_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="no relation file"):
        score_recall(np.eye(3), names(3), {}, RecallSettings())


@hypothesis_settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_order_of_rows_and_scale_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x, pairs = planted(genes=40, seed=seed)
    x += rng.standard_normal(x.shape)
    how = RecallSettings(curve=True, **FAST)
    table = score_recall(x, names(40), {"s": relations(pairs)}, how)
    order = rng.permutation(40)
    scales = scale * rng.uniform(0.5, 2, (40, 1))
    mixed = score_recall((x * scales)[order], [names(40)[row] for row in order], {"s": relations(pairs)}, how)
    pd.testing.assert_frame_equal(mixed, table)


def test_the_defaults_give_what_they_gave_before_there_was_a_choice() -> None:
    """Values, shuffled range and order of rows from when all pairs and both tails were all there was."""
    x, pairs = planted(genes=80)
    x = x + np.random.default_rng(0).standard_normal(x.shape)
    graded = [1.0 if pair[0] < 40 else 0.25 for pair in pairs]
    config = RecallSettings(n_bootstrap=50, n_shuffles=20)
    table = score_recall(x, names(80), {"s": relations(pairs, graded)}, config)
    expected = [
        ("recall", "s", 0.05, 120, 0.925),
        ("recall", "s[strength=0.25]", 0.05, 60, 0.916666666667),
        ("recall", "s[strength=1.0]", 0.05, 60, 0.933333333333),
        ("recall_shuffled", "s", 0.05, 120, 0.095416666667),
        ("recall", "s", 0.1, 120, 0.991666666667),
        ("recall", "s[strength=0.25]", 0.1, 60, 0.983333333333),
        ("recall", "s[strength=1.0]", 0.1, 60, 1.0),
        ("recall_shuffled", "s", 0.1, 120, 0.19375),
    ]
    found = [
        (row.metric, row.source, row.threshold, row.n, round(row.value, 12)) for row in table.itertuples(index=False)
    ]
    assert found == expected
    ranges = table.loc[table["metric"] == "recall_shuffled", ["ci_low", "ci_high"]].to_numpy()
    np.testing.assert_allclose(ranges, [[0.040833333333, 0.129375], [0.128958333333, 0.246041666667]], atol=1e-12)
