"""What the maps page shows of one map: cosines of some rows in clustered order, and the nearest rows of each.

A lookup in the map for display, at its full precision; the benchmarks' numbers come from the score tables alone.

Shapes: G rows of the map, D features, S rows shown, K neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from platemae.contracts import check_columns
from platemae.errors import ContractError

NEIGHBORS = 10
BLOCK = 1024
"""Rows compared with all others at once."""

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MapRows:
    """The rows of a map that have a direction.

    Parameters
    ----------
    names
        (G,) genes, compounds or perturbations.
    unit_GD
        Rows scaled to length 1.
    agreement_G
        Mean cosine of a row's replicates, NaN where it has one.
    left_out
        Names of rows that are zero or not finite.
    """

    names: list[str]
    unit_GD: Floats
    agreement_G: Floats
    left_out: list[str]


def read_map(path: Path) -> MapRows:
    """Read a map.

    Raises
    ------
    ContractError
        When it cannot be read or lacks a column.
    """
    try:
        table = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError) as error:
        raise ContractError(f"a map cannot be read: {error}", str(path), "delete it and run again") from None
    check_columns(table.obs.columns, ("gene", "consistency"), str(path))
    x_GD = np.asarray(table.X, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        length_G = np.linalg.norm(x_GD, axis=1)
    usable_G = np.isfinite(length_G) & (length_G > 0)
    names = table.obs["gene"].astype(str).to_numpy()
    agreement_G = table.obs["consistency"].to_numpy(dtype=np.float64)[usable_G]
    unit_GD = x_GD[usable_G] / length_G[usable_G, None]
    return MapRows(list(names[usable_G]), unit_GD, agreement_G, list(names[~usable_G]))


def most_consistent(rows: MapRows, most: int) -> Places:
    """Return the places of the rows whose replicates agree best, at most so many, in the order of the map."""
    if len(rows.names) <= most:
        return np.arange(len(rows.names))
    order = np.lexsort((np.array(rows.names), -np.nan_to_num(rows.agreement_G, nan=-2.0)))
    return np.sort(order[:most])


def clustered(unit_SD: Floats) -> tuple[Places, Floats]:
    """Return the order of average linkage by 1 - cosine, with like rows side by side, and the (S, S) cosines in it.

    Leaves are turned so that neighbours in the order are as near as the tree allows (Bar-Joseph et al. 2001).
    """
    cosine_SS = np.clip(unit_SD @ unit_SD.T, -1, 1)
    order = np.arange(len(unit_SD))
    if len(order) > 2:
        distance_SS = 1 - (cosine_SS + cosine_SS.T) / 2
        np.fill_diagonal(distance_SS, 0)
        tree = linkage(squareform(np.maximum(distance_SS, 0), checks=False), "average", optimal_ordering=True)
        order = leaves_list(tree).astype(np.int64)
    return order, cosine_SS[np.ix_(order, order)]


def nearest(unit_GD: Floats, k: int = NEIGHBORS) -> tuple[Places, Floats]:
    """Return the (G, K) places and cosines of each row's nearest others, K = min(k, G - 1); ties by place."""
    count = len(unit_GD)
    k = min(k, count - 1)
    places_GK, cosine_GK = np.zeros((count, max(k, 0)), np.int64), np.zeros((count, max(k, 0)))
    for start in range(0, count if k > 0 else 0, BLOCK):
        cosine_BG = np.round(np.clip(unit_GD[start : start + BLOCK] @ unit_GD.T, -1, 1), 12)
        here = np.arange(len(cosine_BG))
        cosine_BG[here, start + here] = -np.inf
        some_BK = np.sort(np.argpartition(-cosine_BG, k - 1, axis=1)[:, :k], axis=1)
        rank_BK = np.argsort(-np.take_along_axis(cosine_BG, some_BK, axis=1), axis=1, kind="stable")
        near_BK = np.take_along_axis(some_BK, rank_BK, axis=1)
        places_GK[start : start + BLOCK] = near_BK
        cosine_GK[start : start + BLOCK] = np.take_along_axis(cosine_BG, near_BK, axis=1)
    return places_GK, cosine_GK
