"""Measures of how groups of vectors lie among each other: neighbours, silhouettes, principal components.

Shapes: N wells, D dimensions, C groups or components, K neighbours, R rows of a block.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from platemae.benchmarks.bootstrap import FloatArray, IntArray
from platemae.benchmarks.cosine import GRID

_ROWS = 256


def nearest(u_ND: FloatArray, k: int) -> IntArray:
    """Return the k nearest other wells of each by cosine, (N, K), in no order.

    Cosines are rounded to 1e-12; of equal ones the wells that come first are taken.
    """
    near_NK = np.empty((len(u_ND), k), dtype=np.int64)
    for start in range(0, len(u_ND), _ROWS):
        c_RN = np.rint(u_ND[start : start + _ROWS] @ u_ND.T * GRID)
        c_RN[np.arange(len(c_RN)), start + np.arange(len(c_RN))] = -np.inf
        cut_R = -np.partition(-c_RN, k - 1, axis=1)[:, k - 1]
        above_RN, at_RN = c_RN > cut_R[:, None], c_RN == cut_R[:, None]
        room_R = k - above_RN.sum(axis=1)
        taken_RN = above_RN | (at_RN & (np.cumsum(at_RN, axis=1) <= room_R[:, None]))
        near_NK[start : start + len(c_RN)] = np.nonzero(taken_RN)[1].reshape(-1, k)
    return near_NK


def inverse_simpson(batch_NK: IntArray) -> FloatArray:
    """Return the effective number of batches among each well's neighbours."""
    # sum over batches of p^2 is the share of ordered pairs of neighbours, a well with itself included, of one batch.
    simpson_N = np.zeros(len(batch_NK))
    for batch_N in batch_NK.T:
        simpson_N += (batch_NK == batch_N[:, None]).mean(axis=1)
    effective: FloatArray = batch_NK.shape[1] / simpson_N
    return effective


def silhouette(u_ND: FloatArray, group_N: IntArray) -> FloatArray:
    """Return the silhouette of each unit vector by cosine distance; 0 for a group of one.

    Parameters
    ----------
    u_ND
        Unit rows.
    group_N
        Groups from 0, none empty, at least two.

    Returns
    -------
    (N,) (b - a) / max(a, b), with a the mean distance to the own group's others and b that to the nearest other group
    (Rousseeuw 1987). The mean cosine with a group is the cosine with its sum over its size, so no pairs are formed.
    """
    size_C = np.bincount(group_N)
    members_CN = sparse.csr_array((np.ones(len(group_N)), (group_N, np.arange(len(group_N)))))
    sums_CD = members_CN @ u_ND
    value_N = np.zeros(len(group_N))
    for start in range(0, len(u_ND), _ROWS):
        own_R = group_N[start : start + _ROWS]
        rows = np.arange(len(own_R))
        total_RC = u_ND[start : start + _ROWS] @ sums_CD.T
        norm_R = (u_ND[start : start + _ROWS] ** 2).sum(axis=1)
        others_R = size_C[own_R] - 1
        a_R = 1 - (total_RC[rows, own_R] - norm_R) / np.maximum(others_R, 1)
        away_RC = 1 - total_RC / size_C
        away_RC[rows, own_R] = np.inf
        b_R = away_RC.min(axis=1)
        largest_R = np.maximum(a_R, b_R)
        usable_R = (others_R > 0) & (largest_R > 1e-12)
        value_N[start + rows] = np.where(usable_R, (b_R - a_R) / np.where(usable_R, largest_R, 1), 0.0)
    return value_N


def components(x_ND: FloatArray, n_components: int) -> FloatArray:
    """Return the scores of the first principal components, (N, C), by the Gram matrix of the smaller side."""
    y_ND = x_ND - x_ND.mean(axis=0)
    if len(y_ND) < y_ND.shape[1]:
        value_C, u_NC = np.linalg.eigh(y_ND @ y_ND.T)
        scores_NC = u_NC * np.sqrt(np.maximum(value_C, 0))
    else:
        value_C, v_DC = np.linalg.eigh(y_ND.T @ y_ND)
        scores_NC = y_ND @ v_DC
    kept = value_C > 1e-12 * max(value_C.max(initial=0), np.finfo(float).tiny)
    first: FloatArray = scores_NC[:, kept][:, ::-1][:, :n_components]
    return first


def variance_between(y_NC: FloatArray, batch_N: IntArray) -> float:
    """Return the share of the sum of squares of the columns that lies between batches.

    It equals the mean of each component's R2 on the batches, weighted by its variance.
    """
    y_NC = y_NC - y_NC.mean(axis=0)
    code_N = np.unique(batch_N, return_inverse=True)[1]
    sums_CC = sparse.csr_array((np.ones(len(code_N)), (code_N, np.arange(len(code_N))))) @ y_NC
    between = (sums_CC**2 / np.bincount(code_N)[:, None]).sum()
    total = (y_NC**2).sum()
    return float(between / total) if total > 0 else np.nan
