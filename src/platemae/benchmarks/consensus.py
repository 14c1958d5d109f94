"""Consensus of replicates: a mean in which a replicate that agrees with the others weighs more.

Weights as in MODZ (Subramanian et al., Cell 2017; pycytominer ``consensus(operation="modz")``): the Spearman
correlations of a replicate with each other one, negative ones counted as 0, are averaged; averages below 0.01 become
0.01; weights sum to 1. Differences from pycytominer: weights are not rounded to four decimals, and a replicate without
variation, whose correlation is undefined, counts as uncorrelated (there it makes the whole profile empty).

Shapes: N replicates, D dimensions, P groups, K replicates of a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.stats import rankdata

from platemae.benchmarks.bootstrap import FloatArray, IntArray

LEAST_WEIGHT = 0.01
"""Of a replicate, before weights are scaled to sum 1."""
_BLOCK = 8192


def consensus(x_ND: npt.NDArray[Any], code_N: IntArray) -> FloatArray:
    """Return the consensus of each group of replicates.

    Parameters
    ----------
    x_ND
        (N, D) finite replicates.
    code_N
        (N,) group of each, 0 to P - 1, none of them empty.

    Returns
    -------
    (P, D), float64. One replicate is returned as it is; of two, the mean.
    """
    weight_N = consensus_weights(x_ND, code_N)
    members_PN = sparse.csr_array((weight_N, (code_N, np.arange(len(code_N)))))
    summed: FloatArray = members_PN @ np.asarray(x_ND, dtype=np.float64)
    return summed


def consensus_weights(x_ND: npt.NDArray[Any], code_N: IntArray) -> FloatArray:
    """Return (N,) weights of replicates, summing to 1 in each group."""
    order_N = np.argsort(code_N, kind="stable")
    starts = np.flatnonzero(np.diff(code_N[order_N], prepend=-1))
    bounds = [*starts.tolist(), len(order_N)]
    weight_N, first = np.empty(len(order_N)), 0
    while first < len(bounds) - 1:
        # Ranks of many groups at once: scipy's call is what costs.
        last = first + 1
        while last < len(bounds) - 1 and bounds[last + 1] - bounds[first] <= _BLOCK:
            last += 1
        rows = order_N[bounds[first] : bounds[last]]
        z_KD = _standardised_ranks(np.asarray(x_ND)[rows])
        for low, high in zip(bounds[first:last], bounds[first + 1 : last + 1], strict=True):
            own = slice(low - bounds[first], high - bounds[first])
            weight_N[rows[own]] = _weights(z_KD[own])
        first = last
    return weight_N


def _standardised_ranks(x_KD: npt.NDArray[Any]) -> FloatArray:
    """Return ranks as unit vectors of mean 0, so that a product is Spearman's correlation; constant rows are 0."""
    ranks_KD = rankdata(x_KD, axis=1)
    ranks_KD -= ranks_KD.mean(axis=1, keepdims=True)
    norm_K = np.linalg.norm(ranks_KD, axis=1)
    unit_KD: FloatArray = ranks_KD / np.where(norm_K > 0, norm_K, 1.0)[:, None]
    return unit_KD


def _weights(z_KD: FloatArray) -> FloatArray:
    count = len(z_KD)
    if count <= 2:
        return np.full(count, 1 / count)
    cor_KK = np.clip(z_KD @ z_KD.T, 0, None)
    np.fill_diagonal(cor_KK, 0)
    raw_K = np.maximum(cor_KK.sum(axis=1) / (count - 1), LEAST_WEIGHT)
    weights_K: FloatArray = raw_K / raw_K.sum()
    return weights_K
