"""Average precision and AUROC of many short rankings at once.

Shapes: C rankings, K entries of each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from platemae.benchmarks.bootstrap import FloatArray


def rank_metrics(
    score_CK: FloatArray, positive_CK: npt.NDArray[np.bool_], valid_CK: npt.NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """Average precision and AUROC of every row, ties as scikit-learn counts them.

    Parameters
    ----------
    score_CK, positive_CK
        Scores and labels.
    valid_CK
        Entries that count.

    Returns
    -------
    Two arrays (C,), NaN for a row without a positive or without a negative.
    """
    score_CK = np.where(valid_CK, score_CK, -np.inf)
    order_CK = np.argsort(-score_CK, axis=1, kind="stable")
    score_CK = np.take_along_axis(score_CK, order_CK, axis=1)
    hit_CK = np.take_along_axis(positive_CK & valid_CK, order_CK, axis=1)
    miss_CK = np.take_along_axis(~positive_CK & valid_CK, order_CK, axis=1)
    width = score_CK.shape[1]
    ends_CK = np.ones(score_CK.shape, dtype=bool)
    ends_CK[:, :-1] = score_CK[:, :-1] != score_CK[:, 1:]
    last_CK = np.minimum.accumulate(np.where(ends_CK, np.arange(width), width)[:, ::-1], axis=1)[:, ::-1]
    hits_CK, misses_CK = (np.take_along_axis(kind.cumsum(axis=1), last_CK, axis=1) for kind in (hit_CK, miss_CK))
    n_hit_C, n_miss_C = hit_CK.sum(axis=1), miss_CK.sum(axis=1)
    usable_C = (n_hit_C > 0) & (n_miss_C > 0)
    precision_CK = hits_CK / np.maximum(hits_CK + misses_CK, 1)
    ap_C = (precision_CK * hit_CK).sum(axis=1) / np.maximum(n_hit_C, 1)
    # Negatives below a positive count 1, those as high count 1/2: half of what is not above, and half of what is below.
    starts_CK = np.concatenate([np.ones((len(score_CK), 1), dtype=bool), ends_CK[:, :-1]], axis=1)
    first_CK = np.maximum.accumulate(np.where(starts_CK, np.arange(width), 0), axis=1)
    above_CK = np.take_along_axis(miss_CK.cumsum(axis=1) - miss_CK, first_CK, axis=1)
    below_CK = n_miss_C[:, None] - 0.5 * (above_CK + misses_CK)
    auroc_C = (below_CK * hit_CK).sum(axis=1) / np.maximum(n_hit_C * n_miss_C, 1)
    return np.where(usable_C, ap_C, np.nan), np.where(usable_C, auroc_C, np.nan)
