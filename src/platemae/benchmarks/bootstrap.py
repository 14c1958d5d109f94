"""Resampling that the benchmarks share.

Shapes: B replicates, N units resampled (genes, perturbations).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from platemae.errors import ConfigError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVEL = 0.95
"""Coverage of every interval and range."""
LEAST_UNITS = 2
"""Fewer units say nothing about their spread."""


def multinomial_weights(n_units: int, n_bootstrap: int, rng: np.random.Generator) -> IntArray:
    """Draw (B, N) how often each unit appears in a resample of N units with replacement."""
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_bootstrap).astype(np.int64)


def percentile_interval(values_B: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of the finite values; NaN twice if there is none."""
    finite = values_B[np.isfinite(values_B)]
    if not len(finite):
        return np.nan, np.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def pair_interval(share_B: FloatArray, n_pairs: int) -> tuple[float, float]:
    """Interval of a share of pairs, from resampling the units that the pairs are made of.

    Parameters
    ----------
    share_B
        The share among the units as they are, then in every resample, a pair counted w_i w_j times.
    n_pairs
        Pairs behind the first.

    Returns
    -------
    The percentile interval, its distances from the share made smaller by one factor. With w of mean and variance 1,
    w_i w_j has variance 3 and pairs with one unit in common covariance 1: noise of single pairs enters the resamples'
    variance three times, what pairs of a unit share once. So two of the three, s (1 - s) / n_pairs each, are taken off
    again; the rest is the variance that counts covariances of pairs with a common unit (Owen, "The pigeonhole
    bootstrap", Ann. Appl. Stat. 2007; Aronow, Samii, Assenova, Political Analysis 2015). It is not let fall below that
    of independent pairs, nor, where no pair counts or every one, below the exact one (:func:`unless_certain`).
    """
    share, drawn_B = float(share_B[0]), share_B[1:][np.isfinite(share_B[1:])]
    low, high = percentile_interval(drawn_B)
    of_pairs, spread = share * (1 - share) / max(n_pairs, 1), float(drawn_B.var()) if len(drawn_B) else 0.0
    if not spread > 0 or share in (0.0, 1.0):
        return unless_certain(share, (low, high), n_pairs)
    factor = min(1.0, np.sqrt(max(spread - 2 * of_pairs, of_pairs) / spread))
    return share + factor * (low - share), share + factor * (high - share)


def unless_certain(share: float, interval: tuple[float, float], n_units: int) -> tuple[float, float]:
    """Return an interval of a share, not narrower than the exact one where all units agree.

    Parameters
    ----------
    share
        Mean of units between 0 and 1.
    interval
        From resampling them; NaN twice stays so.
    n_units
        Units that are resampled.

    Returns
    -------
    The interval. Where the share is 0 or 1 every resample is like the units, and width 0 would look certain: then it
    reaches at least to the exact bound of as many independent units (Clopper and Pearson, Biometrika 1934), at 0 that
    is 1 - 0.025 ** (1 / n_units). Means of values within 0 and 1 are bounded by it, too.
    """
    low, high = interval
    if share not in (0.0, 1.0) or not np.isfinite(low):
        return interval
    reach = 1 - ((1 - LEVEL) / 2) ** (1 / max(n_units, 1))
    return (0.0, max(high, reach)) if share == 0 else (min(low, 1 - reach), 1.0)


def share_interval(values_N: FloatArray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """Interval of the mean of values between 0 and 1: :func:`mean_interval`, :func:`unless_certain`."""
    interval = mean_interval(values_N, n_bootstrap, seed)
    return unless_certain(float(values_N.mean()), interval, len(values_N)) if len(values_N) else interval


def mean_interval(values_N: FloatArray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """Percentile interval of a mean, from resampling its units.

    Parameters
    ----------
    values_N
        One finite value a unit.
    n_bootstrap, seed
        Replicates and their seed.

    Returns
    -------
    NaN twice for fewer than two units: all resamples of one are the same, and their width of 0 would look certain.
    """
    if len(values_N) < LEAST_UNITS:
        return np.nan, np.nan
    weights_BN = multinomial_weights(len(values_N), n_bootstrap, np.random.default_rng(seed))
    return percentile_interval(weights_BN @ values_N / len(values_N))


def interval_facts(n_units: int) -> dict[str, str]:
    """Return for ``detail`` why :func:`mean_interval` has no interval; nothing where it has one, or no value."""
    return {"interval_reason": f"1 unit to resample, fewer than {LEAST_UNITS}"} if n_units == 1 else {}


def check_at_least(value: int, least: int, key: str) -> None:
    """Refuse a count that is too small.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    if value < least:
        raise ConfigError(f"{key} is {value}", f"benchmarks: {key}", f"use at least {least}")
