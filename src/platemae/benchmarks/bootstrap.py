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


def mean_interval(values_N: FloatArray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """Percentile interval of a mean, from resampling its units.

    Parameters
    ----------
    values_N
        One finite value a unit.
    n_bootstrap, seed
        Replicates and their seed.
    """
    if not len(values_N):
        return np.nan, np.nan
    weights_BN = multinomial_weights(len(values_N), n_bootstrap, np.random.default_rng(seed))
    return percentile_interval(weights_BN @ values_N / len(values_N))


def check_at_least(value: int, least: int, key: str) -> None:
    """Refuse a count that is too small.

    Raises
    ------
    ConfigError
        Naming the key.
    """
    if value < least:
        raise ConfigError(f"{key} is {value}", f"benchmarks: {key}", f"use at least {least}")
