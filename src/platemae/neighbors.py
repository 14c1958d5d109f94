"""Graphs of nearest neighbours by scanpy, and what is drawn from them: UMAP and Leiden clusters, seeded.

scanpy is imported when it is used: it takes seconds. All steps run in one thread with a seed, so equal input gives
equal output on one machine.

Shapes: N rows, D features.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from platemae.errors import MachineError

if TYPE_CHECKING:
    from anndata import AnnData

LEAST_ROWS = 4
"""Fewer have no neighbourhoods."""


def neighbor_graph(
    x_ND: npt.NDArray[Any], neighbors: int, seed: int, metric: str = "euclidean", pca: int = 0
) -> AnnData:
    """Return rows with their graph of nearest neighbours.

    Parameters
    ----------
    x_ND
        Finite rows, at least 4.
    neighbors
        Neighbours of a row, cut to N - 1.
    seed
        Of PCA and graph.
    metric
        Distance between rows.
    pca
        Wider features go through a PCA of this many components first; 0 for none.
    """
    import anndata
    import scanpy

    rows = anndata.AnnData(np.ascontiguousarray(x_ND, dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        components = min(pca, rows.n_obs - 1)
        wide = 0 < components < rows.n_vars
        if wide:
            scanpy.pp.pca(rows, n_comps=components, random_state=seed)
        scanpy.pp.neighbors(
            rows,
            n_neighbors=min(neighbors, rows.n_obs - 1),
            use_rep="X_pca" if wide else "X",
            metric=metric,
            transformer="sklearn",  # exact; scanpy's approximate search of many rows fails: see docs/decisions.md
            random_state=seed,
        )
    return rows


def umap(graph: AnnData, seed: int) -> npt.NDArray[np.float64]:
    """Return (N, 2) coordinates of a graph's rows."""
    import scanpy

    # Its start from eigenvectors needs more rows than that, and dimensions below their number.
    start = "spectral" if graph.n_obs > LEAST_ROWS + 1 else "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns that a seed keeps it on one thread, which is wanted
        scanpy.tl.umap(graph, init_pos=start, random_state=seed)
    return np.asarray(graph.obsm["X_umap"], dtype=np.float64)


def leiden(graph: AnnData, resolution: float, seed: int) -> list[str]:
    """Return the cluster of each row of a graph, ``0`` the largest.

    Raises
    ------
    MachineError
        When igraph is not installed.
    """
    import scanpy

    try:
        import igraph  # noqa: F401
    except ImportError:
        what, remedy = "Leiden clusters need igraph, which is not installed", "pip install 'platemae[leiden]'"
        raise MachineError(what, "map.embed", remedy) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.tl.leiden(
            graph, resolution=resolution, random_state=seed, flavor="igraph", n_iterations=2, directed=False
        )
    return [str(cluster) for cluster in graph.obs["leiden"]]
