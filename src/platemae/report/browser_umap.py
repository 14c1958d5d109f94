"""UMAP of very many rows: fitted on some, the others placed among them.

Shapes: N rows, K components.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from platemae.report.umap import thinned, umap

AMONG = 5
"""Fitted neighbours whose mean place a row gets that was not fitted."""


def umap_of_some(x_NK: npt.NDArray[np.float32], neighbors: int, seed: int, most: int) -> npt.NDArray[np.float64]:
    """Return (N, 2) coordinates of rows, of which UMAP sees at most ``most``.

    Each other row lies at the mean place of its five nearest fitted rows, weighted by one over the distance: where
    umap-learn's own ``transform`` would start from, at a small part of its cost.

    Parameters
    ----------
    x_NK
        Finite rows.
    neighbors, seed
        Of UMAP.
    most
        Rows that are fitted, drawn with the seed.
    """
    fitted = thinned(len(x_NK), most, seed)
    places_F2 = umap(np.ascontiguousarray(x_NK[fitted], dtype=np.float32), neighbors, seed)
    if len(fitted) == len(x_NK):
        return places_F2
    tree = NearestNeighbors(n_neighbors=min(AMONG, len(fitted)), algorithm="brute").fit(x_NK[fitted])
    out_N2 = np.empty((len(x_NK), 2))
    distance, near = tree.kneighbors(x_NK)
    weight = 1.0 / np.maximum(distance, 1e-12)
    out_N2[:] = (places_F2[near] * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    out_N2[fitted] = places_F2
    return out_N2
