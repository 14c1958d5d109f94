"""UMAP coordinates by scanpy, seeded.

Shapes: N wells, D features.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

MAX_WELLS = 20_000
"""More wells than this are thinned: the picture would not gain, the page would not open."""

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
    import anndata
    import scanpy

    wells = anndata.AnnData(np.ascontiguousarray(x_ND, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed keeps it on one thread, which is wanted
        components = min(PCA_ABOVE, wells.n_obs - 1)
        wide = wells.n_vars > components
        if wide:
            scanpy.pp.pca(wells, n_comps=components, random_state=seed)
        scanpy.pp.neighbors(
            wells,
            n_neighbors=min(neighbors, wells.n_obs - 1),
            use_rep="X_pca" if wide else "X",
            random_state=seed,
        )
        scanpy.tl.umap(wells, random_state=seed)
    return np.asarray(wells.obsm["X_umap"], dtype=np.float64)


def thinned(n: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the places of at most ``most`` of ``n`` wells, in order, drawn without replacement."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
