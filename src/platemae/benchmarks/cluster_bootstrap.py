"""Interval of a mean over profiles that depend on each other within a label.

Positives come in pairs: when i is near j, j is near i. So profiles of one label are no independent draws, and labels
are resampled, each with all its profiles. Few labels make percentiles too narrow; they are taken further out, as for a
t interval (the expanded percentile interval of Hesterberg 2015, The American Statistician 69:371). On random maps such
intervals cover chance in 92 to 94 of 100 with 30 labels, 87 to 92 with 5; those of single profiles in 74 to 91.

Shapes: N values, U labels, B resamples.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from platemae.benchmarks.bootstrap import LEVEL, FloatArray, multinomial_weights, unless_certain


def cluster_interval(values_N: FloatArray, unit_N: np.ndarray, n_bootstrap: int, seed: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean, from resampling units with all their values.

    Parameters
    ----------
    values_N
        Finite values, at most 1; where all are 0 or all are 1, the interval has the exact width for as many units.
    unit_N
        Unit of each: names or codes.
    n_bootstrap, seed
        Resamples and their seed.

    Returns
    -------
    NaN twice for fewer than two units.
    """
    code_N, units = pd.factorize(np.asarray(unit_N), sort=True)
    if len(units) < 2:
        return np.nan, np.nan
    sums_U, sizes_U = np.bincount(code_N, values_N), np.bincount(code_N)
    weights_BU = multinomial_weights(len(units), n_bootstrap, np.random.default_rng(seed))
    means_B = (weights_BU @ sums_U) / (weights_BU @ sizes_U)
    tail = norm.cdf(t.ppf((1 - LEVEL) / 2, len(units) - 1) * np.sqrt(len(units) / (len(units) - 1)))
    low, high = np.quantile(means_B, [tail, 1 - tail])
    return unless_certain(float(np.mean(values_N)), (float(low), float(high)), len(units))
