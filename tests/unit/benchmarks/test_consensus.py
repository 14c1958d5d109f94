"""Consensus against pandas' own Spearman correlations, a group at a time."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from platemae.benchmarks import consensus as module
from platemae.benchmarks.consensus import consensus, consensus_weights


def slow(x: np.ndarray) -> np.ndarray:
    """Return the weights as pycytominer 1.7.1's ``modz_base`` computes them, without rounding."""
    if len(x) == 1:
        return np.ones(1)
    correlations = pd.DataFrame(x.T).corr(method="spearman").to_numpy().copy()
    np.fill_diagonal(correlations, np.nan)
    raw = np.maximum(np.nanmean(np.clip(correlations, 0, None), axis=1), 0.01)
    return raw / raw.sum()


def groups(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    code = rng.permutation(np.repeat(np.arange(6), [1, 2, 3, 5, 8, 4]))
    return np.round(rng.normal(size=(len(code), 12)) + rng.normal(size=(6, 12))[code], 1), code


def test_weights_and_consensus_equal_the_slow_way_whatever_the_blocks(monkeypatch):
    x, code = groups(0)
    for block in (1, 4, 10_000):
        monkeypatch.setattr(module, "_BLOCK", block)
        weights, found = consensus_weights(x, code), consensus(x, code)
        for group in range(6):
            own = code == group
            np.testing.assert_allclose(weights[own], slow(x[own]), atol=1e-12)
            np.testing.assert_allclose(found[group], slow(x[own]) @ x[own], atol=1e-12)


def test_pycytominers_rounded_weights_are_within_their_rounding():
    x, code = groups(1)
    weights = consensus_weights(x, code)
    assert np.abs(weights - np.round(weights, 4)).max() <= 5e-5
    np.testing.assert_allclose(np.bincount(code, weights), 1)


def test_a_replicate_that_disagrees_weighs_the_least_and_one_without_variation_harms_none():
    rng = np.random.default_rng(2)
    x = rng.normal(size=20) + 0.1 * rng.normal(size=(4, 20))
    x[3] = -x[0]
    weights = consensus_weights(x, np.zeros(4, dtype=int))
    assert weights[3] < 0.02
    x[3] = 5.0
    assert np.isfinite(consensus(x, np.zeros(4, dtype=int))).all()
    np.testing.assert_allclose(consensus_weights(np.ones((3, 4)), np.zeros(3, dtype=int)), 1 / 3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_order_and_scale_of_replicates_change_nothing(seed, scale):
    x, code = groups(3)
    order = np.random.default_rng(seed).permutation(len(x))
    np.testing.assert_allclose(consensus(x[order] * scale, code[order]), consensus(x, code) * scale, rtol=1e-9)
