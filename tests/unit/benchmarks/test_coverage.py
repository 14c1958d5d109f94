"""Intervals hold the truth as often as they say, on maps drawn many times."""

import numpy as np
import pytest
from scipy.stats import binomtest

from platemae.benchmarks.bootstrap import multinomial_weights, pair_interval
from platemae.benchmarks.recall import RecallSettings, score_recall
from tests.unit.benchmarks.known import names, random_pairs, relations

MAPS = 240


def modules(genes: int, size: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(genes) for j in range(i + 1, genes) if i // size == j // size]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("genes", "dims", "pairs"),
    [
        (60, 16, modules(60, 6)),
        (70, 32, random_pairs(210, 70, 1)),
        (60, 8, [(h, j) for h in (0, 1) for j in range(2, 60)]),
    ],
    ids=["modules", "random", "hubs"],
)
def test_interval_of_recall_covers_chance_on_null_maps(genes: int, dims: int, pairs: list[tuple[int, int]]) -> None:
    inside = np.zeros(2)
    for seed in range(MAPS):
        x = np.random.default_rng([seed, genes]).standard_normal((genes, dims))
        settings = RecallSettings(n_bootstrap=150, n_shuffles=1, seed=seed)
        table = score_recall(x, names(genes), {"s": relations(pairs)}, settings)
        rows = table[table["metric"] == "recall"]
        inside += ((rows["ci_low"] <= rows["chance"]) & (rows["chance"] <= rows["ci_high"])).to_numpy()
    share = inside / MAPS
    assert (share >= 0.9).all(), share
    assert (share <= 0.98 + 0.01).all(), share  # one standard error of 240 maps


@pytest.mark.parametrize("of_genes", [0.0, 1.0], ids=["pairs alone", "genes"])
def test_width_is_that_of_the_share_over_new_genes(of_genes: float) -> None:
    """Hits decided pair by pair, or by what genes bring along: both spreads must come out, from one map each."""
    rng = np.random.default_rng(0)
    size, left, right = 80, *np.triu_indices(80, 1)

    def draw() -> np.ndarray:
        gene = of_genes * rng.standard_normal(size)
        return (gene[left] + gene[right] + rng.standard_normal(len(left)) > 1.2).astype(float)

    shares = [draw().mean() for _ in range(400)]
    widths = []
    for seed in range(40):
        hits = draw()
        weights = multinomial_weights(size, 300, np.random.default_rng(seed))
        pairs = weights[:, left] * weights[:, right]
        low, high = pair_interval(np.append(hits.mean(), pairs @ hits / pairs.sum(axis=1)), len(hits))
        assert low < hits.mean() < high
        widths.append((high - low) / 3.92)
    assert np.median(widths) == pytest.approx(np.std(shares), rel=0.2)


def test_a_share_of_all_or_none_has_the_exact_interval() -> None:
    assert pair_interval(np.array([1.0, 1.0, 0.9, 0.8, np.nan]), 50) == pytest.approx((0.805, 1.0))
    # No pair of 50, or every one: the exact binomial interval.
    exact = binomtest(0, 50).proportion_ci(method="exact")
    assert pair_interval(np.zeros(3), 50) == pytest.approx((exact.low, exact.high))
    assert pair_interval(np.ones(3), 50) == pytest.approx((1 - exact.high, 1.0))
    assert np.isnan(pair_interval(np.array([0.5, np.nan]), 50)).all()
