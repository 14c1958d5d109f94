"""Recall of known relations against a slow loop, chance, planted truth, and explicit duplication of genes."""

import json
import random
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from platemae.benchmarks import cosine, exact_ranks
from platemae.benchmarks.aggregate import AggregateSettings, build_gene_map
from platemae.benchmarks.annotations import Relations
from platemae.benchmarks.recall import KnownRelations, RecallSettings, score_recall
from platemae.benchmarks.recall_null import drawn_limits
from platemae.benchmarks.rows import ROW_COLUMNS, stamp
from platemae.benchmarks.scored import Scored
from platemae.contracts import SCORE_COLUMNS
from platemae.errors import ConfigError, ContractError, InputError

FAST = {"n_bootstrap": 20, "n_shuffles": 20}


def names(count: int) -> list[str]:
    return [f"g{index:04d}" for index in range(count)]


def relations(pairs: list[tuple[int, int]], strength: list[float] | None = None) -> Relations:
    """Pairs of gene numbers as a source."""
    genes = [f"g{index:04d}" for index in range(10_000)]
    rows = [(genes[min(pair)], genes[max(pair)]) for pair in pairs]
    table = pd.DataFrame(rows, columns=["entity1", "entity2"])
    if strength is not None:
        table["strength"] = strength
    return Relations(table, {"pairs": len(rows)})


def random_pairs(count: int, genes: int, seed: int = 0) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    every = [(i, j) for i in range(genes) for j in range(i + 1, genes)]
    return [every[index] for index in rng.choice(len(every), count, replace=False)]


def slow_recall(x: np.ndarray, pairs: list[tuple[int, int]], lo: float, hi: float, copies: list[int]) -> float:
    """Count pair by pair, each gene as often as ``copies`` says, pairs of copies of one gene left out."""
    drawn = [gene for gene, times in enumerate(copies) for _ in range(times)]
    known = {tuple(sorted(pair)) for pair in pairs}
    null, query = [], []
    for a in range(len(drawn)):
        for b in range(a + 1, len(drawn)):
            i, j = sorted((drawn[a], drawn[b]))
            if i != j:
                value = round(float(x[i] @ x[j] / np.sqrt((x[i] @ x[i]) * (x[j] @ x[j]))), 11)
                null.append(value)
                if (i, j) in known:
                    query.append(value)
    hits = 0
    for q in query:
        right = sum(value <= q for value in null) / len(null)
        left = sum(value < q for value in null) / len(null)
        hits += right <= lo or left >= hi
    return hits / len(query) if query else float("nan")


def values(table: pd.DataFrame, metric: str = "recall") -> list[float]:
    return table.loc[table["metric"] == metric, "value"].tolist()


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


def planted(genes: int = 200, module: int = 4, seed: int = 1) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Genes in small modules that share a direction."""
    rng = np.random.default_rng(seed)
    number = np.arange(genes) // module
    x = rng.standard_normal((genes // module, 50))[number] + 0.2 * rng.standard_normal((genes, 50))
    return x, [(i, j) for i in range(genes) for j in range(i + 1, genes) if number[i] == number[j]]


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


def test_shuffled_recall_equals_recall_with_names_permuted() -> None:
    x, pairs = planted(genes=40)
    config = RecallSettings(n_bootstrap=5, n_shuffles=1, seed=9, thresholds=((0.05, 0.95),))
    table = score_recall(x, names(40), {"s": relations(pairs)}, config)
    rng = np.random.default_rng(9)
    rng.multinomial(40, np.full(40, 1 / 40), size=5)
    order = rng.permutation(40)
    moved = [(int(order[i]), int(order[j])) for i, j in pairs]
    assert values(table, "recall_shuffled") == [slow_recall(x, moved, 0.05, 0.95, [1] * 40)]


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


def ranks(x: np.ndarray, pair: tuple[int, int], null: list[tuple[int, int]]) -> tuple[float, float]:
    """L and R of one pair by counting."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.round([unit[i] @ unit[j] for i, j in null], 11)
    own = round(float(unit[pair[0]] @ unit[pair[1]]), 11)
    return float((values < own).mean()), float((values <= own).mean())


def every(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
def test_upper_tail_and_curve_equal_counting(ties: bool) -> None:
    rng = np.random.default_rng(11)
    x = rng.integers(-1, 2, (40, 3)) + 0.0 if ties else rng.standard_normal((40, 6))
    x[~x.any(axis=1)] = 1
    pairs = random_pairs(70, 40, 1)
    counted = [ranks(x, pair, every(40)) for pair in pairs]
    for side in ("two", "upper"):
        table = score_recall(x, names(40), {"s": relations(pairs)}, RecallSettings(side=side, curve=True, **FAST))
        kind = {"two": "recall", "upper": "recall_upper"}[side]
        assert set(table["metric"]) == {kind, f"{kind}_shuffled", f"{kind}_curve"}
        main = table[table["metric"] == kind]
        curve = table[table["metric"] == f"{kind}_curve"]
        for rows, chance in ((main, [0.1, 0.2]), (curve, 2 * curve["threshold"])):
            expected = [np.mean([left >= 1 - q or (side == "two" and right <= q) for left, right in counted]) for q in
                        rows["threshold"]]  # fmt: skip
            np.testing.assert_allclose(rows["value"], expected, atol=1e-12)
            np.testing.assert_allclose(rows["chance"], np.array(chance) / (1 if side == "two" else 2))
            assert (rows["ci_low"] <= rows["value"]).all()
            assert (rows["value"] <= rows["ci_high"]).all()


def test_drawn_null_equals_a_labelled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the first release does it: two seeds of the standard generator, numpy's legacy choice among sorted names."""
    rng = np.random.default_rng(2)
    x, pairs = rng.standard_normal((35, 5)), random_pairs(60, 35, 4)
    shuffled = rng.permutation(35)
    genes = [names(35)[place] for place in shuffled]
    monkeypatch.setattr("platemae.benchmarks.recall_scores.drawn_limits", partial(drawn_limits, n_drawn=45))
    source = random.Random(42)
    expected = []
    for _ in range(3):
        drawn = []
        for _ in range(2):
            np.random.seed(source.randint(0, 2**31 - 1))  # noqa: NPY002
            drawn.append(np.random.choice(names(35), 45))  # noqa: NPY002
        place = {gene: row for row, gene in enumerate(genes)}
        null = [(place[a], place[b]) for a in drawn[0] for b in drawn[1] if a != b]
        known = [(place[names(35)[a]], place[names(35)[b]]) for a, b in pairs]
        counted = [ranks(x, pair, null) for pair in known]
        expected.append(np.mean([right <= 0.05 or left >= 0.95 for left, right in counted]))
    settings = RecallSettings(null_kind="drawn", thresholds=((0.05, 0.95),), **FAST)
    row = score_recall(x, genes, {"s": relations(pairs)}, settings).iloc[0]
    detail = json.loads(row["detail"])
    assert row["value"] == pytest.approx(np.mean(expected))
    assert detail["recall_by_draw"] == pytest.approx(expected)
    assert detail["sd_over_draws"] == pytest.approx(np.std(expected, ddof=1))


def kinds_map(genes: int = 40, compounds: int = 50) -> tuple[ad.AnnData, list[tuple[int, int]]]:
    """Genes in modules, then compounds that all point the same way; p above 0.5 for every fifth row."""
    x, pairs = planted(genes=genes)
    x = x + 2 * np.random.default_rng(8).standard_normal(x.shape)
    crowd = np.random.default_rng(0).standard_normal((compounds, 50)) * 0.1 + 1
    obs = pd.DataFrame({"gene": names(genes + compounds)}, index=names(genes + compounds))
    obs["entity_kind"] = ["gene"] * genes + ["compound"] * compounds
    obs["p"] = np.where(np.arange(len(obs)) % 5 == 0, 0.6, 0.01)
    obs.loc[obs.index[:3], "p"] = np.nan
    return ad.AnnData(np.vstack([x, crowd]), obs=obs), pairs


def score_file(gene_map: ad.AnnData, pairs: list[tuple[int, int]], folder: Path, **settings: object) -> pd.DataFrame:
    relations(pairs).pairs.to_csv(folder / "known.csv", index=False)
    how = RecallSettings(relations=str(folder / "known.csv"), min_entities=2, **FAST, **settings)
    return KnownRelations.score(Scored(lambda: gene_map), how)


@pytest.mark.parametrize(("null_rows", "rows"), [("all", 90), ("genes", 40), ("source", 24)])
def test_rows_of_the_null_are_those_named(tmp_path: Path, null_rows: str, rows: int) -> None:
    gene_map, pairs = kinds_map()
    pairs = [pair for pair in pairs if pair[1] < 24]
    table = score_file(gene_map, pairs, tmp_path, null_rows=null_rows)
    expected = [slow_recall(gene_map.X[:rows], pairs, lo, hi, [1] * rows) for lo, hi in ((0.05, 0.95), (0.1, 0.9))]
    assert values(table) == pytest.approx(expected, abs=1e-12)
    assert json.loads(table["detail"][0])["null_rows"] == null_rows
    one_kind = gene_map[:, :].copy()
    del one_kind.obs["entity_kind"]
    if null_rows == "genes":
        same = score_file(one_kind[:40].copy(), pairs, tmp_path, null_rows="genes")
        np.testing.assert_array_equal(same["value"], table["value"])


def test_rows_above_the_filter_are_left_out_and_counted(tmp_path: Path) -> None:
    gene_map, pairs = kinds_map(40, 5)
    table = score_file(gene_map, pairs, tmp_path, filter_consistency_p=0.05)
    kept = gene_map[(gene_map.obs["p"] <= 0.05).to_numpy()].copy()
    again = score_file(kept, pairs, tmp_path)
    np.testing.assert_array_equal(table["value"], again["value"])
    detail = json.loads(table["detail"][0])
    assert (detail["n_inconsistent"], detail["n_without_p"], detail["n_genes_map"]) == (8, 3, 34)
    del gene_map.obs["p"]
    with pytest.raises(ContractError, match="no column p"):
        score_file(gene_map, pairs, tmp_path, filter_consistency_p=0.05)
    gene_map.obs["p"] = 1.0
    with pytest.raises(InputError, match="no row of the map is left"):
        score_file(gene_map, pairs, tmp_path, filter_consistency_p=0.05)


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


@pytest.mark.parametrize("make", ["plain", "ties", "hubs"])
def test_one_pass_in_single_precision_gives_the_exact_order_statistics(
    make: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted in float64, at both ends, in the middle, and where thousands of pairs tie."""
    monkeypatch.setattr(exact_ranks, "_SAMPLE", 20)
    monkeypatch.setattr(exact_ranks, "_ROWS", 32)
    monkeypatch.setattr(exact_ranks, "_COLUMNS", 50)
    rng = np.random.default_rng(6)
    x = rng.standard_normal((230, 12))
    if make == "ties":
        x = rng.integers(-1, 2, (230, 4)) + 0.0
        x[~x.any(axis=1)] = 1
    if make == "hubs":
        x[:30] = x[0] + 1e-9 * rng.standard_normal((30, 12))
    u, _ = cosine.unit_rows(x)
    expected = np.sort(np.rint((u @ u.T)[np.triu_indices(230, 1)] * cosine.GRID))
    ranks = np.array([0, 1, 700, len(expected) // 2, len(expected) - 900, len(expected) - 1])
    np.testing.assert_array_equal(exact_ranks.exact_order_statistics(u, ranks), expected[ranks])


@pytest.mark.parametrize("side", ["two", "upper"])
def test_without_resamples_the_values_are_the_same(side: str) -> None:
    rng = np.random.default_rng(3)
    x, source = rng.standard_normal((80, 6)), {"s": relations(random_pairs(200, 80))}
    slow = score_recall(x, names(80), source, RecallSettings(side=side, **FAST))
    quick = score_recall(x, names(80), source, RecallSettings(side=side, n_bootstrap=0, n_shuffles=0))
    assert not quick["metric"].str.contains("shuffled").any()
    assert quick[["ci_low", "ci_high"]].isna().all().all()
    assert quick["value"].tolist() == slow.loc[~slow["metric"].str.contains("shuffled"), "value"].tolist()


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
