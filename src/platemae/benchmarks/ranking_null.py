"""Average precision of random rankings: its expectation, its distribution, and p-values from it.

Expectation of M positives among L: ((M - 1) / (L - 1) (L - H_L) + H_L) / L, with H_L the harmonic number.
The distribution is exact, all placings of the positives listed, where there are no more placings than ``null_size``;
else ``null_size`` placings are drawn at random. Draws depend on (seed, M, L) alone.

Shapes: N profiles, K configurations (M, L), S random rankings, M positives of one, G groups.
"""

from __future__ import annotations

from itertools import chain, combinations
from math import comb, prod

import numpy as np

from platemae.benchmarks.bootstrap import FloatArray, IntArray

_CELLS = 1 << 21
_SLACK = 1e-12


def expected_precision(n_positive_N: IntArray, n_total_N: IntArray) -> FloatArray:
    """Return the mean average precision of random rankings (N,); NaN without positives."""
    sizes, of_N = np.unique(n_total_N, return_inverse=True)
    harmonic_N = np.array([np.sum(1 / np.arange(1, size + 1)) for size in sizes])[of_N]
    m_N, l_N = n_positive_N.astype(np.float64), np.maximum(n_total_N, 1).astype(np.float64)
    spread_N = (m_N - 1) / np.maximum(l_N - 1, 1) * (l_N - harmonic_N)
    return np.where(n_positive_N > 0, (spread_N + harmonic_N) / l_N, np.nan)


def random_precision(n_positive: int, n_total: int, null_size: int, seed: int) -> tuple[FloatArray, bool]:
    """Return average precisions of random rankings in ascending order (S,), and whether they are all there are.

    Parameters
    ----------
    n_positive, n_total
        Positives, and candidates in all.
    null_size
        Number of rankings; where no more exist, each is there once.
    seed
        Of the draws.
    """
    if comb(n_total, n_positive) <= null_size:
        flat = chain.from_iterable(combinations(range(1, n_total + 1), n_positive))
        ranks_SM = np.fromiter(flat, dtype=np.int64).reshape(-1, n_positive)
        return np.sort(_precision_of(ranks_SM)), True
    rng = np.random.default_rng([seed, n_positive, n_total])
    step = max(1, _CELLS // n_total if 2 * n_positive > n_total else _CELLS // n_positive)
    parts = [
        _precision_of(_random_ranks(n_positive, n_total, min(step, null_size - start), rng))
        for start in range(0, null_size, step)
    ]
    return np.sort(np.concatenate(parts)), False


def p_values(
    precision_N: FloatArray, n_positive_N: IntArray, n_total_N: IntArray, group_N: IntArray, null_size: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Test the mean average precision of each group against random rankings.

    Parameters
    ----------
    precision_N, n_positive_N, n_total_N
        Average precision and counts of profiles; none NaN.
    group_N
        Group of each, 0 .. G-1.
    null_size, seed
        Random rankings of each configuration, and their seed.

    Returns
    -------
    mean_G, p_G
        p is the share of random rankings that reach the mean; (1 + such rankings) / (1 + null_size) where they are
        drawn. As in copairs, profiles of one configuration share their rankings, which makes p conservative, and
        those of different ones have independent rankings.
    """
    size_G = np.bincount(group_N)
    mean_G = np.bincount(group_N, precision_N) / size_G
    configs_K2, config_N = np.unique(np.stack([n_positive_N, n_total_N], axis=1), axis=0, return_inverse=True)
    of_G = _members(config_N.reshape(-1), group_N)
    p_G = np.empty(len(mean_G))
    alone: dict[int, list[int]] = {}
    for group, configs in enumerate(of_G):
        if len(configs) == 1:
            alone.setdefault(next(iter(configs)), []).append(group)
    for config, groups in alone.items():
        n_positive, n_total = configs_K2[config].tolist()
        null_S, exact = random_precision(n_positive, n_total, null_size, seed)
        reach = len(null_S) - np.searchsorted(null_S, mean_G[groups] - _SLACK, side="left")
        p_G[groups] = reach / len(null_S) if exact else (1 + reach) / (1 + null_size)
    drawn: dict[int, FloatArray] = {}
    for group in (group for group, configs in enumerate(of_G) if len(configs) > 1):
        null_S = np.zeros(null_size)
        for config, count in of_G[group].items():
            if config not in drawn:
                n_positive, n_total = configs_K2[config].tolist()
                drawn[config] = _shuffled(n_positive, n_total, null_size, seed)
            null_S += count * drawn[config]
        n_reach = int((null_S / size_G[group] >= mean_G[group] - _SLACK).sum())
        p_G[group] = (1 + n_reach) / (1 + null_size)
    return mean_G, p_G


def least_p(n_positive_N: IntArray, n_total_N: IntArray, group_N: IntArray, null_size: int) -> FloatArray:
    """Return the p (G,) of each group were all its rankings perfect: few candidates have few placings.

    Parameters
    ----------
    n_positive_N, n_total_N, group_N, null_size
        As of :func:`p_values`.
    """
    configs_K2, config_N = np.unique(np.stack([n_positive_N, n_total_N], axis=1), axis=0, return_inverse=True)
    placings_K = [comb(n_total, n_positive) for n_positive, n_total in configs_K2.tolist()]
    drawn, least = 1 / (1 + null_size), []
    for configs in _members(config_N.reshape(-1), group_N):
        placings = [placings_K[config] for config in configs]
        exact = len(placings) == 1 and placings[0] <= null_size
        least.append(1 / placings[0] if exact else max(1 / prod(placings), drawn))
    return np.array(least)


def _members(config_N: IntArray, group_N: IntArray) -> list[dict[int, int]]:
    """Return for each group its configurations and their counts."""
    of_G: list[dict[int, int]] = [{} for _ in range(int(group_N.max(initial=-1)) + 1)]
    pairs, counts = np.unique(np.stack([group_N, config_N], axis=1), axis=0, return_counts=True)
    for (group, config), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        of_G[group][config] = count
    return of_G


def _shuffled(n_positive: int, n_total: int, null_size: int, seed: int) -> FloatArray:
    """Return ``null_size`` random average precisions in random order, to be added to those of other configurations."""
    values, exact = random_precision(n_positive, n_total, null_size, seed)
    rng = np.random.default_rng([seed, n_positive, n_total, 1])
    return values[rng.integers(0, len(values), null_size)] if exact else rng.permutation(values)


def _precision_of(ranks_SM: IntArray) -> FloatArray:
    """Return the average precision of each set of ascending ranks, counted from 1."""
    return np.asarray((np.arange(1, ranks_SM.shape[1] + 1) / ranks_SM).mean(axis=1))


def _random_ranks(n_positive: int, n_total: int, n_sets: int, rng: np.random.Generator) -> IntArray:
    """Draw (S, M) different ranks of 1 .. L in ascending order, every set equally likely.

    Few of many: ranks are drawn freely and repeated ones drawn again until none is left. The rule treats all ranks
    alike, so it favours no set.
    """
    if 2 * n_positive > n_total:
        keys = rng.random((n_sets, n_total))
        return np.sort(np.argpartition(keys, n_positive - 1, axis=1)[:, :n_positive], axis=1) + 1
    ranks_SM = np.sort(rng.integers(1, n_total + 1, (n_sets, n_positive)), axis=1)
    open_S = np.arange(n_sets)
    while len(open_S):
        rows = ranks_SM[open_S]
        again = np.zeros(rows.shape, dtype=bool)
        again[:, 1:] = rows[:, 1:] == rows[:, :-1]
        rows[again] = rng.integers(1, n_total + 1, int(again.sum()))
        ranks_SM[open_S] = np.sort(rows, axis=1)
        open_S = open_S[again.any(axis=1)]
    return ranks_SM
