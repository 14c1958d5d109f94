"""Graphs of more rows than those of which scanpy itself would search neighbours exactly."""

import numpy as np
import pytest

from platemae.neighbors import neighbor_graph

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("metric", "rows"), [("cosine", 4_200), ("euclidean", 8_300)])
def test_neighbours_of_many_rows_are_the_nearest(metric: str, rows: int) -> None:
    x_ND = np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32)
    distances = neighbor_graph(x_ND, 5, 0, metric).obsp["distances"].tocsr()
    for row in (0, 17, rows - 1):
        if metric == "cosine":
            away = 1 - x_ND @ x_ND[row] / np.linalg.norm(x_ND, axis=1) / np.linalg.norm(x_ND[row])
        else:
            away = np.linalg.norm(x_ND - x_ND[row], axis=1)
        assert set(distances[[row]].indices) == set(np.argsort(away)[1:5]), "four others: scanpy counts the row itself"
