"""Known relations among numbered genes, and their recall counted pair by pair."""

import numpy as np
import pandas as pd

from platemae.benchmarks.annotations import Relations

FAST = {"n_bootstrap": 20, "n_shuffles": 20}


def names(count: int) -> list[str]:
    return [f"g{index:04d}" for index in range(count)]


def relations(pairs: list[tuple[int, int]], strength: list[float] | None = None) -> Relations:
    """Pairs of gene numbers as a source."""
    genes = [f"g{index:04d}" for index in range(10_000)]
    rows = [(genes[min(pair)], genes[max(pair)]) for pair in pairs]
    table = pd.DataFrame(rows, columns=["entity1", "entity2"])
    if strength is not None:
        table["strength"] = strength
    return Relations(table, {"pairs": len(rows)})


def random_pairs(count: int, genes: int, seed: int = 0) -> list[tuple[int, int]]:
    rng = np.random.default_rng(seed)
    every = [(i, j) for i in range(genes) for j in range(i + 1, genes)]
    return [every[index] for index in rng.choice(len(every), count, replace=False)]


def slow_recall(x: np.ndarray, pairs: list[tuple[int, int]], lo: float, hi: float, copies: list[int]) -> float:
    """Count pair by pair, each gene as often as ``copies`` says, pairs of copies of one gene left out."""
    drawn = [gene for gene, times in enumerate(copies) for _ in range(times)]
    known = {tuple(sorted(pair)) for pair in pairs}
    null, query = [], []
    for a in range(len(drawn)):
        for b in range(a + 1, len(drawn)):
            i, j = sorted((drawn[a], drawn[b]))
            if i != j:
                value = round(float(x[i] @ x[j] / np.sqrt((x[i] @ x[i]) * (x[j] @ x[j]))), 11)
                null.append(value)
                if (i, j) in known:
                    query.append(value)
    hits = 0
    for q in query:
        right = sum(value <= q for value in null) / len(null)
        left = sum(value < q for value in null) / len(null)
        hits += right <= lo or left >= hi
    return hits / len(query) if query else float("nan")


def values(table: pd.DataFrame, metric: str = "recall") -> list[float]:
    return table.loc[table["metric"] == metric, "value"].tolist()


def planted(genes: int = 200, module: int = 4, seed: int = 1) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Genes in small modules that share a direction."""
    rng = np.random.default_rng(seed)
    number = np.arange(genes) // module
    x = rng.standard_normal((genes // module, 50))[number] + 0.2 * rng.standard_normal((genes, 50))
    return x, [(i, j) for i in range(genes) for j in range(i + 1, genes) if number[i] == number[j]]


def ranks(x: np.ndarray, pair: tuple[int, int], null: list[tuple[int, int]]) -> tuple[float, float]:
    """L and R of one pair by counting."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.round([unit[i] @ unit[j] for i, j in null], 11)
    own = round(float(unit[pair[0]] @ unit[pair[1]]), 11)
    return float((values < own).mean()), float((values <= own).mean())


def every(count: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(count) for j in range(i + 1, count)]
