"""UMAP coordinates by scanpy, seeded.

Shapes: N wells, D features.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from platemae.neighbors import neighbor_graph
from platemae.neighbors import umap as layout

MIN_WELLS = 5
PCA_ABOVE = 50
"""Wider features go through a PCA of this many components first, as scanpy does."""


def umap(x_ND: npt.NDArray[np.float32], neighbors: int, seed: int) -> npt.NDArray[np.float64]:
    """Return (N, 2) coordinates.

    Parameters
    ----------
    x_ND
        Wells, all finite.
    neighbors
        Neighbours of the graph, cut to N - 1.
    seed
        Seed of PCA, graph and layout.
    """
    return layout(neighbor_graph(x_ND, neighbors, seed, pca=PCA_ABOVE), seed)


def thinned(n: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of at most ``most`` of ``n`` wells, in order, drawn without replacement."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
