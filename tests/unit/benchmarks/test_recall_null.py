"""What recall is measured against: one tail or two, all pairs or drawn ones, and which rows of the map."""

import json
import random
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from platemae.benchmarks.recall import KnownRelations, RecallSettings, score_recall
from platemae.benchmarks.recall_null import drawn_limits
from platemae.benchmarks.scored import Scored
from platemae.errors import ContractError, InputError
from tests.unit.benchmarks.known import FAST, every, names, planted, random_pairs, ranks, relations, slow_recall, values


def test_shuffled_recall_equals_recall_with_names_permuted() -> None:
    x, pairs = planted(genes=40)
    config = RecallSettings(n_bootstrap=5, n_shuffles=1, seed=9, thresholds=((0.05, 0.95),))
    table = score_recall(x, names(40), {"s": relations(pairs)}, config)
    rng = np.random.default_rng(9)
    rng.multinomial(40, np.full(40, 1 / 40), size=5)
    order = rng.permutation(40)
    moved = [(int(order[i]), int(order[j])) for i, j in pairs]
    assert values(table, "recall_shuffled") == [slow_recall(x, moved, 0.05, 0.95, [1] * 40)]


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
