"""Intervals of shares where all units agree, against the exact ones of the binomial test of SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from platemae.benchmarks.bootstrap import mean_interval, pair_interval, share_interval, unless_certain
from platemae.benchmarks.cluster_bootstrap import cluster_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 60), (60, 60), (0, 2), (18, 18)])
def test_where_all_units_agree_the_interval_is_the_exact_one(hits: int, n: int) -> None:
    exact = binomtest(hits, n).proportion_ci(0.95, "exact")
    values = np.full(n, float(hits > 0))
    for low, high in (share_interval(values, 200, 0), cluster_interval(values, np.arange(n), 200, 0)):
        assert (low, high) == pytest.approx((exact.low, exact.high))


def test_none_of_60_is_not_below_a_chance_of_5_percent() -> None:
    assert share_interval(np.zeros(60), 200, 0)[1] > 0.05
    assert share_interval(np.zeros(75), 200, 0)[1] < 0.05


def test_units_that_differ_keep_the_interval_of_their_resamples() -> None:
    values = np.r_[np.zeros(30), np.ones(30)]
    assert share_interval(values, 200, 0) == mean_interval(values, 200, 0)
    assert unless_certain(1.0, (0.2, 1.0), 60) == (0.2, 1.0)  # never made narrower
    assert np.isnan(share_interval(np.zeros(1), 200, 0)).all()
    assert np.isnan(share_interval(np.zeros(0), 200, 0)).all()


def test_no_pair_of_18_is_not_below_a_chance_of_10_percent_though_tails_move() -> None:
    share_B = np.r_[0.0, np.zeros(190), np.full(10, 0.02)]  # limits of the tails differ between resamples
    low, high = pair_interval(share_B, 18)
    assert (low, high) == pytest.approx(tuple(binomtest(0, 18).proportion_ci(0.95, "exact")))
